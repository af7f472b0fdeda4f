"""What a run changed can be taken back, byte for byte, and nothing else is touched."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from remedy.template import encrypt
from tests.acceptance.operator import REMEDY, Operator, Result, finished
from tests.acceptance.twenty import CHANGES, FILES, differing
from tests.acceptance.twenty_hosts import SOURCE, Remote

Make = Callable[..., Operator]


@pytest.fixture(scope="module")
def hosts(host_factory) -> list[Any]:
    return [host_factory(name) for name in ("r1", "r2")]


@pytest.fixture
def place(tmp_path, lab, hosts) -> Remote:
    """A tree on a host."""
    return Remote(tmp_path, lab, hosts[0])


@pytest.fixture
def make(tmp_path, lab, hosts) -> Make:
    """Make an operator of one host or of two; what earlier tests left on the hosts is gone."""

    def one(count: int = 1, **variables: Any) -> Operator:
        for host in hosts:
            lab.run(host.name, ["sh", "-c", "rm -rf /srv/* && mkdir /srv/app && echo old > /srv/app/conf"])
        return Operator(tmp_path, lab, *hosts[:count], **variables)

    return one


def conf(operator: Operator, name: str = "r1") -> str | None:
    """Return the content of the file that the small plays change."""
    found = operator.lab.run(name, ["cat", "/srv/app/conf"], ok=None)
    return found.stdout if found.code == 0 else None


def ran(result: Result, code: int = 0) -> str:
    """Check how a run ended; return its id."""
    assert result.code == code, result.stdout + result.stderr
    name: str = result.report["run"]["id"]
    return name


def test_twenty_changes_go_and_come_back(place):
    operator = place.operator
    before = place.build()
    assert ran(operator.play("twenty"))
    changed = place.look()
    assert len(differing(before, changed)) > CHANGES

    first = operator.rollback("--yes")
    undone = ran(first)
    assert len(first.report["changes"]) == CHANGES
    assert first.report["hosts"]["r1"]["changed"] == CHANGES
    assert place.look() == before

    ran(operator.rollback(undone))  # what was taken back comes again
    assert place.look() == changed


def test_in_check_mode_nothing_is_taken_back(place):
    operator = place.operator
    place.build()
    run = ran(operator.play("twenty"))
    changed = place.look()
    result = operator.rollback(run, "-C")
    ran(result)
    assert result.report["run"]["mode"] == "check"
    assert len(result.report["changes"]) == CHANGES
    assert place.look() == changed


def test_what_was_changed_since_is_named_and_left_alone(place):
    operator = place.operator
    before = place.build()
    run = ran(operator.play("twenty"))
    script = "echo '# by hand' >> odd.conf; chmod 0604 private; rm new.txt; ln -sfn releases current"
    operator.lab.run("r1", ["sh", "-c", f"cd {place.root} && {script}"])
    changed = place.look()

    result = operator.rollback(run)
    ran(result, 2)
    skipped = [task for task in result.report["tasks"] if task["status"] == "skipped"]
    assert all("changed since" in task["reason"] for task in skipped)
    after = place.look()
    assert differing(before, after) == {"odd.conf", "private", "current"}
    assert {path: after[path] for path in ("odd.conf", "private", "current")} == {
        path: changed[path] for path in ("odd.conf", "private", "current")
    }
    console = operator.rollback(run, "-C", json=False)
    for name in ("odd.conf", "private", "current"):
        assert name in console.stdout


def test_what_cannot_be_taken_back_is_listed_first(make):
    operator = make()
    run = ran(
        operator.play(
            """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - name: Change the file
      copy: {dest: /srv/app/conf, content: "new\\n"}
    - name: Something of our own
      command: touch /srv/app/mark
    - name: A file too large to keep
      copy: {dest: /srv/app/large, content: ""}
"""
        )
    )
    result = operator.rollback(run, "-C", json=False)
    first, second, third = result.stderr.splitlines()[:3]
    assert first.startswith(f"run {run}: ")
    assert "(just now) by " in second
    assert second.endswith(": 2 changes on 1 host can be taken back")
    assert third == "cannot be taken back (1):"
    assert "Something of our own" in result.stderr
    result = operator.rollback(run)
    ran(result)
    assert "Something of our own" in result.stderr
    assert conf(operator) == "old\n"
    assert operator.lab.run("r1", ["ls", "/srv/app"]).stdout.split() == ["conf", "mark"]


def test_only_the_limited_hosts_are_taken_back(make):
    operator = make(2)
    run = ran(
        operator.play(
            "- hosts: all\n  gather_facts: false\n  become: true\n  tasks:\n"
            '    - copy: {dest: /srv/app/conf, content: "new\\n"}\n'
        )
    )
    result = operator.rollback(run, "-l", "r2")
    ran(result)
    assert (conf(operator, "r1"), conf(operator, "r2")) == ("new\n", "old\n")
    assert list(result.report["hosts"]) == ["r2"]
    ran(operator.rollback(run))
    assert (conf(operator, "r1"), conf(operator, "r2")) == ("old\n", "old\n")


def test_handlers_are_notified_again(make):
    operator = make()
    run = ran(
        operator.play(
            """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - copy: {dest: /srv/app/conf, content: "new\\n"}
      notify: Tell
    - copy: {dest: /srv/app/other, content: "quiet\\n"}
  handlers:
    - name: Tell
      shell: cat /srv/app/conf >> /srv/told
"""
        )
    )
    ran(operator.rollback(run))
    assert operator.lab.get("r1", "/srv/told") == b"new\nold\n"


def test_secrets_are_encrypted_and_can_be_taken_back(make):
    operator = make()
    secrets = [
        "first-hidden-word",
        "second-hidden-word",
        "word-of-a-whole-file",
        "word-of-one-value",
        "word-of-a-file",
    ]
    operator.write("vault-pass", "open sesame\n")
    whole = encrypt(f"sealed: {secrets[2]}\n".encode(), b"open sesame").decode()
    operator.write("playbooks/vars/whole.yml", whole)
    scalar = encrypt(secrets[3].encode(), b"open sesame").decode()
    operator.write("playbooks/vars/scalar.yml", "scalar: !vault |\n" + textwrap.indent(scalar, "  "))
    vaulted = encrypt(f"{secrets[4]}\n".encode(), b"open sesame").decode()
    operator.write("playbooks/files/vaulted", vaulted)
    play = """
- hosts: all
  gather_facts: false
  become: true
  vars_files: [vars/whole.yml, vars/scalar.yml]
  tasks:
    - copy: {dest: /srv/app/conf, content: "{{ word }}\\n"}
      no_log: true
    - copy: {dest: /srv/app/vaulted, content: "key = {{ sealed }}\\n"}
    - lineinfile: {path: /srv/app/list, line: "{{ scalar }}", create: true}
    - copy: {dest: /srv/app/copied, src: vaulted}
"""
    flags = ("--vault-password-file", str(operator.folder / "vault-pass"))
    words = operator.write("words.yml", f"word: {secrets[0]}\n")
    first = operator.play(play, "-e", f"@{words}", *flags)
    run = ran(first)
    words.write_text(f"word: {secrets[1]}\n")
    second = operator.play(play, "-D", "-e", f"@{words}", *flags)
    assert conf(operator) == f"{secrets[1]}\n"

    results = [first, second, operator.rollback(ran(second), *flags)]
    assert conf(operator) == f"{secrets[0]}\n"
    results.append(operator.rollback(run, *flags))
    assert conf(operator) == "old\n"
    assert operator.lab.run("r1", ["ls", "/srv/app"]).stdout.split() == ["conf"]
    assert all(result.code == 0 for result in results)
    for secret in secrets:
        assert secret.encode() not in operator.journal()
        assert not any(secret in result.stdout + result.stderr for result in results)


def test_with_a_password_for_sudo(make, lab):
    operator = make(
        ansible_user="operator",
        ansible_become_password=lab.password("operator"),
        tree=Remote.root,
    )
    for name, text in FILES.items():
        operator.write(name, text)
    before = json.loads(lab.run("r1", ["python3", "-", "build", Remote.root], stdin=SOURCE).stdout)
    ran(operator.play("twenty"))
    ran(operator.rollback("--yes"))
    assert json.loads(lab.run("r1", ["python3", "-", "look", Remote.root], stdin=SOURCE).stdout) == before
    assert lab.password("operator").encode() not in operator.journal()


UNIT = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"


def test_a_rollback_that_failed_can_be_repeated(make, lab):
    operator = make()
    lab.put("r1", "/etc/systemd/system/app.service", UNIT.encode())
    lab.run("r1", ["sh", "-c", "systemctl daemon-reload && systemctl enable --now app"])
    play = """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - service: {name: app, state: stopped, enabled: false}
"""
    run = ran(operator.play(play, "--yes"))
    broken = UNIT.replace("[Install]", "ExecStartPre=/bin/false\n[Install]")
    lab.put("r1", "/etc/systemd/system/app.service", broken.encode())
    lab.run("r1", ["systemctl", "daemon-reload"])
    ran(operator.rollback(run), 2)

    lab.put("r1", "/etc/systemd/system/app.service", UNIT.encode())
    lab.run("r1", ["sh", "-c", "systemctl daemon-reload; systemctl reset-failed"])
    again = operator.rollback(run)
    ran(again)
    assert "were undone" not in again.stderr
    assert lab.run("r1", ["systemctl", "is-active", "app"]).stdout == "active\n"
    assert lab.run("r1", ["systemctl", "is-enabled", "app"]).stdout == "enabled\n"


def test_two_changes_of_one_file_are_taken_back_once(make):
    operator = make()
    play = """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - copy: {dest: /srv/app/conf, content: "first\\n"}
    - lineinfile: {path: /srv/app/conf, line: second}
"""
    run = ran(operator.play(play))
    ran(operator.rollback(run))
    assert conf(operator) == "old\n"
    again = operator.rollback(run)
    ran(again)
    assert {task["status"] for task in again.report["tasks"]} == {"ok"}
    assert conf(operator) == "old\n"


CHANGE = """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - copy: {dest: /srv/app/conf, content: "new\\n"}
"""


def test_where_nobody_can_be_asked_the_newest_run_needs_a_yes(make):
    operator = make()
    run = ran(operator.play(CHANGE))
    operator.run("r1", "command", "uptime")
    refused = operator.rollback()
    assert refused.code == 3
    assert "skipping 1 newer run that changed nothing, or nothing that can be taken back: " in refused.stderr
    assert (
        f"no run was named, and nobody is there to be asked: take back 1 change of run {run} by "
        in refused.stderr
    )
    assert f"`remedy rollback {run}`" in refused.stderr
    assert conf(operator) == "new\n"
    ran(operator.rollback("--check"))
    ran(operator.rollback("--yes"))
    assert conf(operator) == "old\n"
    nothing = operator.rollback("--yes")
    assert nothing.code == 5
    assert "has anything that can be taken back" in nothing.stderr


def test_a_run_of_another_project_is_taken_back_only_by_its_name(make, tmp_path):
    operator = make()
    run = ran(operator.play(CHANGE))
    (tmp_path / "other" / "inventory").mkdir(parents=True)

    def from_there(*words: str) -> Result:
        done = subprocess.run(
            [REMEDY, *words, "-i", operator.folder / "inventory/hosts.yml"],
            cwd=tmp_path / "other",
            env={**os.environ, "REMEDY_STATE": str(operator.state)},
            capture_output=True,
            text=True,
        )
        return finished(done.returncode, done.stdout, done.stderr)

    bare = from_there("rollback", "--yes")
    assert bare.code == 5
    assert f"no run of the project {tmp_path / 'other'} in " in bare.stderr
    assert f"name one of other projects, where it is meant: {run} ({operator.folder})" in bare.stderr
    assert conf(operator) == "new\n"
    named = from_there("rollback", run, "--yes")
    assert named.code == 0, named.stderr
    assert f"  of another project: {operator.folder}\n" in named.stderr
    assert conf(operator) == "old\n"


@pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, "old\n"), ("n", 3, "new\n")])
def test_on_a_terminal_it_asks_once(make, answer, code, left):
    operator = make()
    run = ran(operator.play(CHANGE))
    outside, inside = pty.openpty()
    os.write(outside, f"{answer}\n".encode())
    inventory = operator.folder / "inventory/hosts.yml"
    done = subprocess.run(
        [REMEDY, "rollback", run, "-i", inventory],
        cwd=operator.folder,
        env={**os.environ, "REMEDY_STATE": str(operator.state)},
        stdin=inside,
        stdout=subprocess.PIPE,
        stderr=inside,
        timeout=60,
    )
    said = os.read(outside, 1 << 16).decode()
    os.close(inside)
    os.close(outside)
    assert done.returncode == code, said
    assert said.count("[y/N]") == 1
    assert f"take back 1 change of run {run} by " in said
    assert conf(operator) == left


def test_the_inventory_and_the_playbook_are_found_from_any_folder(make, tmp_path, monkeypatch):
    operator = make()
    operator.write(
        "playbooks/told.yml",
        CHANGE
        + "      notify: Tell\n  handlers:\n    - name: Tell\n      shell: cat /srv/app/conf >> /srv/told\n",
    )
    operator.write("inventory/prod.yml", (operator.folder / "inventory/hosts.yml").read_text())
    monkeypatch.chdir(operator.folder)
    monkeypatch.setenv("REMEDY_STATE", str(operator.state))
    played = subprocess.run(
        [REMEDY, "play", "playbooks/told.yml", "-i", "prod", "--format", "json"],
        capture_output=True,
        text=True,
    )
    run = ran(finished(played.returncode, played.stdout, played.stderr))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    back = subprocess.run([REMEDY, "rollback", run, "--format", "json"], capture_output=True, text=True)
    result = finished(back.returncode, back.stdout, back.stderr)
    ran(result)
    assert result.report["run"]["inventory"] == "prod"
    assert f"run {run}: playbooks/told.yml, inventory prod\n" in result.stderr
    assert operator.lab.get("r1", "/srv/told") == b"new\nold\n"
