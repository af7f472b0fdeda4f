"""Who a task runs as: order, every way to become somebody, one attempt with a wrong password, no secret leaks."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.lab import Host, Lab
from remedy.template.vault import encrypt
from tests.acceptance.operator import Operator
from tests.acceptance.watching import Watch

WRONG = "not the password"
COMMON_AUTH = """\
auth required pam_faillock.so preauth deny=99 even_deny_root
auth [success=1 default=ignore] pam_unix.so nullok
auth [default=die] pam_faillock.so authfail deny=99 even_deny_root
auth required pam_permit.so
"""
"""Every failed attempt is counted, as on a host where three of them lock the account."""

WHO = """\
- hosts: all
  gather_facts: false
  tasks:
    - {name: who, command: id -un, changed_when: false, become: true}
"""


@pytest.fixture(scope="module")
def host(lab: Lab, lab_host: Host) -> Host:
    lab.put(lab_host.name, "/etc/pam.d/common-auth", COMMON_AUTH.encode())
    return lab_host


@pytest.fixture
def sudoers(lab: Lab, host: Host) -> Iterator[Path]:
    """A file in sudoers.d, outside of the host for the test to fill with `put`."""
    path = Path("/etc/sudoers.d/zz-test")
    yield path
    lab.run(host.name, ["rm", "-f", str(path)])


@pytest.fixture
def operator(tmp_path: Path, lab: Lab, host: Host) -> Operator:
    return Operator(tmp_path, lab, host)


def who(operator: Operator, *flags: str, play: str = WHO, stdin: str = "") -> dict[str, str]:
    """Play and return who each task ran as."""
    result = operator.play(play, *flags, stdin=stdin)
    assert result.code == 0, result.stderr + result.stdout
    assert result.trips("h1") == 1
    return {name: task["result"]["stdout"] for name, task in result.tasks().items()}


def test_a_batch_of_three_identities_runs_in_order_in_one_flight(operator, lab, host):
    folder = "/srv/order"
    lab.run(host.name, ["sh", "-c", f"mkdir -p {folder} && chmod 777 {folder} && : > {folder}/log"])
    lab.run(host.name, ["chmod", "666", f"{folder}/log"])
    turns = ["admin", "root", "app"] * 4 + ["root", "admin", "app", "admin"]
    tasks = [
        f"    - name: turn {number}\n"
        f"      shell: echo {number} $(id -un) >> {folder}/log\n"
        "      changed_when: false\n"
        + ("" if user == "admin" else f"      become: true\n      become_user: {user}\n")
        for number, user in enumerate(turns)
    ]
    result = operator.play("- hosts: all\n  gather_facts: false\n  tasks:\n" + "".join(tasks))
    assert result.code == 0, result.stdout
    assert result.trips("h1") == 1
    log = lab.get(host.name, f"{folder}/log").decode().splitlines()
    assert log == [f"{number} {user}" for number, user in enumerate(turns)]


@pytest.mark.parametrize(
    ("login", "method", "become", "password", "rules"),
    [
        ("admin", "sudo", "root", None, ""),
        ("admin", "sudo", "app", None, ""),
        ("admin", "sudo", "app", None, "Defaults requiretty"),
        ("admin", "sudo", "root", None, "Defaults requiretty"),
        ("operator", "sudo", "root", "operator", ""),
        ("operator", "sudo", "app", "operator", "Defaults requiretty"),
        ("admin", "sudo", "root", "admin", ""),  # a password that nobody asks for
        ("plain", "su", "root", "root", ""),
        ("plain", "su", "app", "app", ""),
        ("root", "su", "app", None, ""),
        ("admin", "doas", "root", None, ""),
        ("operator", "doas", "app", "operator", ""),
    ],
)
def test_every_way_to_become_somebody(operator, lab, host, sudoers, login, method, become, password, rules):
    lab.put(host.name, str(sudoers), f"{rules}\n".encode(), mode=0o440)
    flags = ["-u", login, "--become-method", method, "--become-user", become]
    stdin = ""
    if password is not None:
        flags.append("-K")
        stdin = lab.password(password) + "\n"
    assert who(operator, *flags, "-e", "ansible_user=" + login, stdin=stdin) == {"who": become}


def test_a_password_that_sudo_remembers_is_not_needed_again(operator, lab, host, sudoers):
    lab.put(host.name, str(sudoers), b"Defaults timestamp_type=global\n", mode=0o440)
    secret = lab.password("operator")
    refused = operator.play(WHO, "-e", "ansible_user=operator")
    assert (refused.code, refused.report["hosts"]["h1"]["reason"]) == (4, "sudo_password")
    lab.run(host.name, ["sudo", "-S", "-v"], user="operator", stdin=secret.encode() + b"\n")
    assert who(operator, "-e", "ansible_user=operator") == {"who": "root"}
    with_password = who(operator, "-e", "ansible_user=operator", "-K", stdin=secret + "\n")
    assert with_password == {"who": "root"}


def sudo_says(lab: Lab, host: Host, user: str) -> str:
    """Return what sudo has logged of a refused password, which it does when PAM's delay is over."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        logged = lab.run(host.name, ["journalctl", "--no-pager", "-t", "sudo", "-g", "incorrect"], ok=None)
        if found := re.search(rf"{user} : (\d+ incorrect password attempts?)", logged.stdout):
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"sudo logged nothing about {user}")


@pytest.mark.parametrize(
    ("login", "method", "become", "blamed"),
    [
        ("operator", "sudo", "root", "operator"),
        ("plain", "su", "app", "app"),
        ("plain", "su", "root", "root"),
        ("operator", "doas", "root", "operator"),
    ],
)
def test_a_wrong_password_costs_one_attempt_and_is_called_so(
    operator, lab, host, login, method, become, blamed
):
    lab.run(host.name, ["faillock", "--user", blamed, "--reset"])
    flags = ["-e", f"ansible_user={login}", "--become-method", method, "--become-user", become, "-K"]
    result = operator.play(WHO, *flags, stdin=f"{WRONG}\n", json=False)
    assert result.code == 4
    said = " ".join((result.stdout + result.stderr).split())
    assert f"the password for {method} to {become} is wrong; one attempt was made" in said
    if method == "sudo":
        # Its own count: PAM is asked a second time before sudo can be ended, and pam_faillock counts that too.
        assert sudo_says(lab, host, blamed) == "1 incorrect password attempt"
    else:
        attempts = lab.run(host.name, ["faillock", "--user", blamed]).stdout.splitlines()
        assert len([line for line in attempts if line[:2] == "20"]) == 1, attempts
    assert WRONG not in result.stdout + result.stderr


def test_a_play_a_block_a_task_a_host_and_a_flag_say_who(operator, lab, host, tmp_path):
    play = """\
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - {name: play, command: id -un, changed_when: false}
    - become_user: app
      block:
        - {name: block, command: id -un, changed_when: false}
        - {name: task in block, command: id -un, changed_when: false, become_user: plain}
    - {name: nobody else, command: id -un, changed_when: false, become: false}
    - {name: variables, command: id -un, changed_when: false, vars: {ansible_become_user: plain}}
    - {name: by doas, command: id -un, changed_when: false, become_method: doas}
"""
    assert who(operator, play=play) == {
        "play": "root",
        "block": "app",
        "task in block": "plain",
        "nobody else": "admin",
        "variables": "plain",
        "by doas": "root",
    }
    plain = WHO.replace(", become: true", "")
    assert who(operator, play=plain) == {"who": "admin"}
    assert who(operator, "-b", play=plain) == {"who": "root"}
    assert who(operator, "-b", "--become-user", "app", play=plain) == {"who": "app"}
    folder = tmp_path / "by-variables"
    folder.mkdir()
    named = Operator(folder, lab, ansible_become=True, ansible_become_user="app")
    named.add("h1", host)
    assert who(named, "--become-user", "plain", play=plain) == {"who": "app"}


def test_no_secret_is_seen_by_others_or_kept_in_a_log(tmp_path, lab, host):
    passwords = {"become": lab.password("operator"), "vault": "vault-Secret-71", "new": "vault-Secret-72"}
    hidden = {
        "no_log": "no-log-Secret-73",
        "content": "content-Secret-74",
        "vault password": "open-Sesame-75",
    }
    operator = Operator(tmp_path, lab, host)
    (tmp_path / "vault-password").write_text(hidden["vault password"])
    opener = hidden["vault password"].encode()
    play = f"""\
- hosts: all
  gather_facts: false
  become: true
  vars:
    quiet: {hidden["no_log"]}
  tasks:
    - name: a file with a vaulted value
      copy: {{content: "password = {{{{ vaulted }}}}\\n", dest: /root/secret.conf, mode: "0600"}}
    - name: said again by the host
      command: cat /root/secret.conf
      changed_when: false
      register: said
    - {{name: shown, debug: {{msg: "it is {{{{ vaulted }}}} and {{{{ said.stdout }}}}"}}}}
    - name: kept silent
      command: {{argv: [cat], stdin: "{{{{ quiet }}}}"}}
      no_log: true
    - name: a file of a silent task
      copy: {{content: "{hidden["content"]}", dest: /root/other.conf, mode: "0600"}}
      no_log: true
    - {{name: takes a while, command: sleep 0.5, changed_when: false, become_user: app}}
"""
    outputs = []
    with Watch() as watch:
        for secret, shape in ((passwords["vault"], True), (passwords["new"], False)):
            text = encrypt(secret.encode(), opener).decode().replace("\n", "\n    ")
            operator.write("inventory/group_vars/all.yml", f"vaulted: !vault |\n    {text}\n")
            flags = ["-e", "ansible_user=operator", "-K", "--diff", "-vvvv"]
            flags += ["--vault-password-file", str(tmp_path / "vault-password")]
            result = operator.play(play, *flags, stdin=passwords["become"] + "\n", json=shape)
            assert result.code == 0, result.stdout + result.stderr
            outputs.append(result.stdout + result.stderr)
            kept = lab.get(host.name, "/root/secret.conf").decode()
            assert kept == f"password = {secret}\n"  # the host has it, in the file alone
    assert watch.looks > 10
    assert b"sleep\x000.5" in watch.words()  # the host was watched
    assert b"--vault-password-file" in watch.words()  # and this side
    logs = lab.run(
        host.name, ["sh", "-c", "journalctl --no-pager -o export; cat -- $(find /var/log -type f)"]
    )
    places = {
        "seen by others": watch.words(),
        "the console": outputs[1].encode(),
        "the document": outputs[0].encode(),
        "the journal": operator.journal(),
        "the host's logs": logs.stdout.encode(),
    }
    assert "sudo" in logs.stdout
    for place, words in places.items():
        for name, secret in {**passwords, **hidden}.items():
            assert secret.encode() not in words, f"{name} is in {place}"
