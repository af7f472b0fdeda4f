"""remedy works on a host that is full, without inodes or read-only, and writes nothing there but what a task asks."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remedy.lab import Host, Lab
from tests.acceptance.host_tree import changed, look
from tests.acceptance.operator import Operator
from tests.conftest_lab import HostFactory

pytestmark = pytest.mark.lab

LOOKING = """
- hosts: all
  gather_facts: false
  tasks:
    - name: ping
      ping:
    - name: command
      command: id -un
    - name: setup
      setup:
    - name: stat
      stat: {path: /etc/passwd}
    - name: find
      find: {paths: /etc, patterns: '*.conf'}
    - name: disk_usage
      disk_usage: {above: 85%}
"""

# What a login and sudo themselves write: the message of the day, and when operator gave the password.
_LOGGING_IN = {"/run", "/run/motd.dynamic", "/run/motd.dynamic.new", "/run/utmp"}
_LOGGING_IN |= {"/run/sudo", "/run/sudo/ts", "/run/sudo/ts/operator"}

_EVERY_WRITABLE = r"""
import os
for line in open("/proc/self/mounts"):
    _, path, kind, options = line.split()[:4]
    room = os.statvfs(path)
    if kind in ("tmpfs", "overlay", "ext4") and not room.f_flag & os.ST_RDONLY and os.path.isdir(path):
        used = (room.f_blocks - room.f_bfree) * room.f_frsize
        if kind == "tmpfs":
            limits = "size=%d,nr_inodes=%d" % (used + 65536, room.f_files - room.f_ffree + 16)
            os.system("mount -o remount,%s %s" % (limits, path))
        print(path)
"""

_LEFT = r"""
import os, sys
for path in sys.argv[2:]:
    print(getattr(os.statvfs(path), sys.argv[1]))
"""


@pytest.fixture(scope="module")
def sick(lab: Lab, host_factory: HostFactory) -> Host:
    return host_factory("sick", root_size="64M", root_inodes=2048)


@pytest.fixture(autouse=True)
def _clean(lab: Lab, sick: Host) -> Iterator[None]:
    yield
    lab.reset(sick.name)


def writable(lab: Lab, name: str) -> list[str]:
    """Return every writable file system of a host; those in memory are made small enough to be filled."""
    return sorted(set(lab.run(name, ["python3", "-I", "-c", _EVERY_WRITABLE]).stdout.split()))


def left(lab: Lab, name: str, what: str, paths: list[str]) -> list[str]:
    return lab.run(name, ["python3", "-I", "-c", _LEFT, what, *paths]).stdout.split()


def healthy(lab: Lab, name: str) -> None:
    """Leave a host as it is: what is written anywhere would stay."""


def full(lab: Lab, name: str) -> None:
    paths = writable(lab, name)
    assert {"/", "/run", "/tmp", "/dev/shm"} <= set(paths)
    for path in reversed(paths):
        lab.fill(name, path)
    assert set(left(lab, name, "f_bavail", paths)) == {"0"}


def without_inodes(lab: Lab, name: str) -> None:
    paths = writable(lab, name)
    for path in reversed(paths):
        lab.fill_inodes(name, path)
    assert set(left(lab, name, "f_favail", paths)) == {"0"}


def read_only(lab: Lab, name: str) -> None:
    lab.read_only(name, "/")


def log_in(lab: Lab, name: str) -> None:
    """Do by hand what every change of remedy's is measured against."""
    # sudo takes a password on a terminal, and notes that terminal in utmp.
    on_terminal = "script -qec 'sudo -S true' /dev/null"
    for user, command in (("admin", "true"), ("admin", "sudo true"), ("operator", on_terminal)):
        subprocess.run(
            lab.ssh(name, command, user=user),
            input=f"{lab.password(user)}\n".encode(),
            check=True,
            timeout=60,
            capture_output=True,
        )


@pytest.mark.parametrize("fault", [healthy, full, without_inodes, read_only])
def test_looking_at_a_host_writes_nothing_there(
    lab: Lab, sick: Host, tmp_path: Path, fault: Callable[[Lab, str], None]
) -> None:
    name = sick.name
    log_in(lab, name)  # the first sudo leaves a mark in the home, the first password a folder
    fault(lab, name)
    untouched = look(lab, name)
    log_in(lab, name)
    before = look(lab, name)
    by_hand = changed(untouched, before)
    assert by_hand <= _LOGGING_IN

    for user, flags, who in (
        ("admin", (), "admin"),
        ("admin", ("-b",), "root"),
        ("operator", ("-b", "-K"), "root"),
    ):
        operator = Operator(tmp_path / user / who, lab, sick, ansible_user=user)
        done = operator.play(LOOKING, *flags, passwords=[lab.password(user)] if "-K" in flags else ())
        assert done.code == 0, done
        tasks = done.tasks()
        states = {module: task["status"] for module, task in tasks.items()}
        assert states == dict.fromkeys(("ping", "setup", "stat", "find", "disk_usage"), "ok") | {
            "command": "changed"
        }
        assert tasks["command"]["result"]["stdout"] == who
        mounts = {entry["mount"] for entry in tasks["disk_usage"]["result"]["full"]}
        assert ("/" in mounts) == (fault in (full, without_inodes)), mounts
    assert changed(before, look(lab, name)) - by_hand == set()
