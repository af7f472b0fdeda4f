"""Why a host could not be worked on: one word for programs, a sentence for people, and never a traceback."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remedy.errors import REASONS
from remedy.lab import Host, Lab
from remedy.lab.identity import make_key
from tests.acceptance.operator import Operator, finished
from tests.conftest_lab import HostFactory

pytestmark = pytest.mark.lab

EXPECTED = {
    "no-name": ("dns", "the name 'no-such-host.invalid' does not resolve"),
    "no-port": ("refused", "refuses the connection"),
    "no-host": ("no_route", "no route to"),
    "black-hole": ("timeout", "did not answer within 2 s"),
    "other-protocol": ("no_banner", "is open, but no SSH server answers"),
    "silent": ("no_banner", "is open, but no SSH server said a word within 2 s"),
    "no-key": ("authentication", "stranger at"),
    "bad-password": ("authentication", "was refused"),
    "unknown-key": ("host_key", "which known_hosts does not know"),
    "changed-key": ("host_key", "changed:1 knows SHA256:"),
    "no-sudo-password": ("sudo_password", "none was given"),
    "bad-sudo-password": ("sudo_password", "the password for sudo to root is wrong; one attempt was made"),
    "no-sudoer": ("not_in_sudoers", "plain is not in the sudoers file"),
    "no-sudoer-silent": ("sudo_password", "sudo wants a password for plain"),
    "no-python": ("no_python", "no Python 3.6 or newer"),
    "hung": ("hung_shell", "printed nothing, and started no agent within 2 s"),
}
"""Name in the inventory → the reason and a part of the sentence."""


@pytest.fixture(scope="module")
def hosts(lab: Lab, host_factory: HostFactory) -> tuple[Host, Host]:
    """One host with Python, one without."""
    host, bare = host_factory("reached"), host_factory("bare")
    lab.run(bare.name, ["sh", "-c", "for p in /usr/bin/python3*; do mv $p /root/; done"])
    return host, bare


@pytest.fixture
def other_protocol() -> Iterator[int]:
    """A port that speaks something else."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = server.accept()
                line.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                line.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(server.getsockname()[1])
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port whose connections nobody takes up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.fixture
def black_hole(lab: Lab) -> Iterator[str]:
    """An address of the lab's network whose packets vanish."""
    address = lab.network.address(249)
    neighbour = ["ip", "neighbour", "replace", address, "dev", lab.network.bridge]
    subprocess.run([*neighbour, "lladdr", "02:10:99:ff:ff:ff", "nud", "permanent"], check=True)
    yield address
    subprocess.run(["ip", "neighbour", "del", address, "dev", lab.network.bridge], check=True)


@pytest.fixture
def operator(
    lab: Lab,
    hosts: tuple[Host, Host],
    tmp_path: Path,
    other_protocol: int,
    silent: int,
    black_hole: str,
) -> Operator:
    """An operator whose every host has a trouble of its own."""
    host, bare = hosts
    operator = Operator(tmp_path, lab)
    operator.add("no-python", bare)
    operator.add("no-port", host, ansible_port=9)
    operator.place("no-name", ansible_host="no-such-host.invalid")
    operator.place("no-host", ansible_host=lab.network.address(248))
    operator.place("black-hole", ansible_host=black_hole, ansible_timeout=2)
    operator.place("other-protocol", ansible_host="127.0.0.1", ansible_port=other_protocol)
    operator.place("silent", ansible_host="127.0.0.1", ansible_port=silent, ansible_timeout=2)

    def at(name: str, **variables: object) -> None:
        operator.place(name, ansible_host=host.address, **variables)

    make_key(tmp_path / "stranger", "a stranger")
    at("no-key", ansible_user="stranger", ansible_ssh_private_key_file=str(tmp_path / "stranger"))
    at(
        "bad-password",
        ansible_ssh_private_key_file=str(tmp_path / "stranger"),
        ansible_password="never right",
    )
    make_key(tmp_path / "other", "another host")
    kind, key = (tmp_path / "other.pub").read_text().split()[:2]
    (tmp_path / "changed").write_text(f"{host.address} {kind} {key}\n")
    (tmp_path / "unknown").touch()
    for name in ("changed", "unknown"):
        options = f"-o UserKnownHostsFile={tmp_path / name} -o StrictHostKeyChecking=yes"
        at(f"{name}-key", ansible_ssh_common_args=options)
    at("no-sudo-password", ansible_user="operator", ansible_become=True)
    at("bad-sudo-password", ansible_user="operator", ansible_become=True, ansible_become_password="wrong")
    at("no-sudoer", ansible_user="plain", ansible_become=True, ansible_become_password=lab.password("plain"))
    at("no-sudoer-silent", ansible_user="plain", ansible_become=True)
    at("hung", ansible_user="hung", ansible_timeout=2)
    return operator


def test_every_reason_is_told_apart(operator: Operator) -> None:
    done = operator.run("all", "ping")
    assert done.code == 4, done
    assert {name: host["reason"] for name, host in done.report["hosts"].items()} == {
        name: reason for name, (reason, _) in EXPECTED.items()
    }
    assert {host["unreachable"] for host in done.report["hosts"].values()} == {1}
    assert done.report["run"]["outcome"] == "unreachable"
    assert done.report["run"]["exit_code"] == 4


def test_every_reason_is_told_in_words(operator: Operator) -> None:
    done = operator.run("all", "ping", json=False, environment={"COLUMNS": "400"})
    assert done.code == 4, done
    for name, (reason, sentence) in EXPECTED.items():
        told = paragraph(done.stdout, name)
        assert f"{REASONS[reason]}  [{reason}]" in told, told
        assert sentence in told, told
        assert len(told.splitlines()) > 2 or "ansible_become" in told, f"no advice: {told}"


def paragraph(text: str, host: str) -> str:
    """Return what the console says of a host that was left out."""
    lines = text[text.index("LEFT OUT") :].splitlines()[1:]
    starts = [number for number, line in enumerate(lines) if line.startswith("  ") and line[2:3] != " "]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        if lines[start].split()[0].rstrip(":") == host:
            return "\n".join(lines[start:end])
    raise AssertionError(f"nothing is said of {host}: {text}")


# -- lost in the middle

SLEEPING = """
- hosts: all
  gather_facts: false
  tasks:
    - name: first
      command: 'true'
    - name: sleep
      command: sleep 61
    - name: never
      command: touch /tmp/never
"""

KILL_AGENT = r"""
import os, signal
# Every process of remedy carries its label; the oldest that is Python is the agent itself.
found = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open("/proc/%s/cmdline" % pid, "rb") as stream:
            words = stream.read().split(b"\0")
        python = os.readlink("/proc/%s/exe" % pid).startswith("/usr/bin/python3")
    except OSError:
        continue
    if python and any(word.startswith(b"remedy 2") for word in words):
        found.append(int(pid))
os.kill(min(found), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("flags", "how", "reason", "sentence"),
    [
        ((), "agent", "agent_killed", "the agent of admin at"),
        (("-b",), "agent", "agent_killed", "the agent of admin at"),
        ((), "sshd", "link_lost", "ended in the middle of the work"),
    ],
)
def test_a_host_lost_in_the_middle(
    lab: Lab,
    hosts: tuple[Host, Host],
    tmp_path: Path,
    flags: tuple[str, ...],
    how: str,
    reason: str,
    sentence: str,
) -> None:
    name = hosts[0].name
    operator = Operator(tmp_path, lab, hosts[0])
    with operator.start("play", str(operator.write("sleeping.yml", SLEEPING)), *flags) as process:
        try:
            wait_for(lab, name, "pgrep -f '[s]leep 61$'", process)
            # results that follow each other travel together: the first one may still be on its way
            until(lambda: b'"event":"TaskDone"' in operator.journal())
            if how == "agent":
                lab.run(name, ["python3", "-I", "-c", KILL_AGENT])
            else:
                lab.run(name, ["pkill", "-KILL", "-f", "^sshd: admin"])
            out, err = process.communicate(timeout=15)
        finally:
            process.kill()
    done = finished(process.returncode, out, err)
    assert done.code == 4, done
    host = done.report["hosts"][name]
    assert (host["reason"], host["unreachable"]) == (reason, 1)
    tasks = done.tasks()
    assert tasks["first"]["status"] == "changed"
    assert tasks["sleep"]["status"] == "not_run"
    assert sentence in tasks["sleep"]["reason"]
    assert "whether it ran is not known" in tasks["sleep"]["reason"]
    wait_for(lab, name, "! pgrep -f '[s]leep 61$'")
    assert lab.run(name, ["ls", "/tmp/never"], ok=(2,))


def until(true: Callable[[], bool]) -> None:
    """Wait until something is true on this machine."""
    deadline = time.monotonic() + 15
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for(lab: Lab, name: str, condition: str, meanwhile: subprocess.Popen[str] | None = None) -> None:
    """Wait until a shell condition holds on a host, while a program runs."""
    deadline = time.monotonic() + 15
    while lab.run(name, ["sh", "-c", f"{condition} >/dev/null"], ok=None).code:
        assert meanwhile is None or meanwhile.poll() is None, meanwhile.communicate()
        assert time.monotonic() < deadline, f"{condition} did not come true on {name}"
        time.sleep(0.05)
