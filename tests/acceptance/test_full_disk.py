"""A write that cannot be done leaves the original whole, and says why: in words, and as a cause."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Disk, Host, Lab
from tests.acceptance.operator import Operator
from tests.conftest_lab import HostFactory

pytestmark = pytest.mark.lab

ORIGINAL = "listen 80;\n" + "# an original that must stand\n" * 400

PREPARE = r"""
set -eu
cat > /data/app.conf
chown 1234:4321 /data/app.conf
chmod 0640 /data/app.conf
setfacl -m u:app:rw /data/app.conf
setfattr -n user.note -v kept /data/app.conf
ln -s app.conf /data/link
mkdir /data/folder
"""

LOOK = r"""
import base64, json, os, sys
seen = {}
for folder, folders, names in os.walk("/data"):
    for name in [*names, *folders]:
        path = os.path.join(folder, name)
        known = os.lstat(path)
        content = os.readlink(path).encode() if os.path.islink(path) else None
        if os.path.isfile(path) and not os.path.islink(path) and ".lab-" not in path:
            with open(path, "rb") as stream:
                content = stream.read()
        attributes = {} if os.path.islink(path) else {
            key: base64.b64encode(os.getxattr(path, key)).decode() for key in os.listxattr(path)
        }
        # A sibling that came and went shows in the times of its folder; nothing else may change.
        times = [] if name in folders else [known.st_mtime_ns, known.st_ctime_ns]
        seen[path] = [
            known.st_mode, known.st_uid, known.st_gid, known.st_size, known.st_ino, times,
            None if content is None else base64.b64encode(content).decode(), attributes,
        ]
print(json.dumps(seen))
"""

WRITES = """
- hosts: all
  gather_facts: false
  tasks:
    - name: copy
      copy: {dest: /data/app.conf, content: "{{ 'new line\n' * 5000 }}", mode: '0600'}
      ignore_errors: true
    - name: copy new
      copy: {dest: /data/folder/new, content: "{{ 'new line\n' * 5000 }}"}
      ignore_errors: true
    - name: copy backup
      copy: {dest: /data/app.conf, content: "{{ 'new line\n' * 5000 }}", backup: true}
      ignore_errors: true
    - name: copy unsafe
      copy: {dest: /data/app.conf, content: "{{ 'new line\n' * 5000 }}", unsafe_writes: true}
      ignore_errors: true
    - name: template
      template: {src: big.j2, dest: /data/app.conf}
      ignore_errors: true
    - name: lineinfile
      lineinfile: {path: /data/app.conf, regexp: '^listen', line: "listen 8080;{{ ' # padding' * 3000 }}"}
      ignore_errors: true
    - name: lineinfile link
      lineinfile: {path: /data/link, line: one more}
      ignore_errors: true
"""

NEEDS_INODE = """
    - name: touch
      file: {path: /data/folder/touched, state: touch}
      ignore_errors: true
    - name: directory
      file: {path: /data/folder/deep/deeper, state: directory}
      ignore_errors: true
    - name: link
      file: {path: /data/folder/pointer, src: ../app.conf, state: link}
      ignore_errors: true
"""

NEEDS_WRITABLE = """
    - name: absent
      file: {path: /data/app.conf, state: absent}
      ignore_errors: true
    - name: absent folder
      file: {path: /data/folder, state: absent}
      ignore_errors: true
    - name: mode
      file: {path: /data/app.conf, mode: '0600'}
      ignore_errors: true
"""


@pytest.fixture(scope="module")
def host(lab: Lab, host_factory: HostFactory) -> Host:
    return host_factory("writes", disks={"/data": Disk("16M", inodes=64)})


@pytest.fixture(autouse=True)
def _original(lab: Lab, host: Host) -> Iterator[None]:
    lab.run(host.name, ["sh", "-c", PREPARE], stdin=ORIGINAL.encode())
    yield
    lab.reset(host.name)


def look(lab: Lab, host: Host) -> dict[str, Any]:
    """Return everything on the disk, to the last attribute; two equal looks mean that nothing was touched."""
    seen: dict[str, Any] = json.loads(lab.run(host.name, ["python3", "-I", "-B", "-c", LOOK]).stdout)
    assert base64.b64decode(seen["/data/app.conf"][6]).decode() == ORIGINAL
    assert set(seen["/data/app.conf"][7]) == {"user.note", "system.posix_acl_access"}
    return seen


def full(lab: Lab, host: Host) -> None:
    lab.fill(host.name, "/data")


def without_inodes(lab: Lab, host: Host) -> None:
    lab.fill_inodes(host.name, "/data")


def read_only(lab: Lab, host: Host) -> None:
    lab.read_only(host.name, "/data")


def broken(lab: Lab, host: Host) -> None:
    """The kernel finds an error while a program has a file of the disk open."""
    lab.fs_error(host.name, "/data")


def not_ours(lab: Lab, host: Host) -> None:
    """The disk is as it was; it is somebody else who comes."""


@pytest.mark.parametrize(
    ("fault", "flags", "tasks", "cause", "words"),
    [
        (full, ("-b",), WRITES, "disk_full", "No space left: /data is full (0 of "),
        (without_inodes, ("-b",), WRITES + NEEDS_INODE, "no_inodes", "No inodes left: /data has none free"),
        (
            read_only,
            ("-b",),
            WRITES + NEEDS_INODE + NEEDS_WRITABLE,
            "read_only",
            "Read-only file system at /data",
        ),
        (
            broken,
            ("-b",),
            WRITES + NEEDS_INODE + NEEDS_WRITABLE,
            "read_only",
            "Read-only file system at /data",
        ),
        (not_ours, (), WRITES + NEEDS_INODE + NEEDS_WRITABLE, "permission", "denied for uid 2001"),
    ],
)
def test_a_write_that_fails_leaves_the_original_whole(
    lab: Lab,
    host: Host,
    tmp_path: Path,
    fault: Callable[[Lab, Host], None],
    flags: tuple[str, ...],
    tasks: str,
    cause: str,
    words: str,
) -> None:
    fault(lab, host)
    before = look(lab, host)
    operator = Operator(tmp_path, lab, host)
    operator.write(
        "playbooks/templates/big.j2", "{% for number in range(9000) %}line {{ number }}\n{% endfor %}"
    )
    done = operator.play(tasks, *flags)
    assert look(lab, host) == before
    told = done.tasks()
    assert list(told) == [line.partition("name: ")[2] for line in tasks.splitlines() if "name: " in line]
    for name, task in told.items():
        assert task["status"] == "failed", name
        assert task["result"].get("cause") == cause, (name, task["result"])
        assert words in task["reason"], (name, task["reason"])
        assert task["result"]["msg"] == task["reason"]
    assert done.report["changes"] == []
    assert done.code == 0, "every failure was ignored"


def test_the_cause_is_told_at_the_console_and_decides_the_exit_code(
    lab: Lab, host: Host, tmp_path: Path
) -> None:
    full(lab, host)
    done = Operator(tmp_path, lab, host).run(
        "all", "lineinfile", "path=/data/app.conf line=one", "-b", json=False
    )
    assert done.code == 2
    assert "No space left: /data is full (0 of " in done.stdout
