"""Writes on real file systems that are full, have no inode left, or are read-only: the original stands, whole."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.modules.harness import Bench, snapshot
from tests.modules.test_files import ACCESS, acl

from remedy.agent.kinds import Failed

ORIGINAL = b"the original\n" * 1000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small ext4 of its own, with a file that has all that a write must keep."""
    image = tmp_path / "image"
    with image.open("wb") as stream:
        stream.truncate(4 << 20)
    subprocess.run(
        ["mkfs.ext4", "-q", "-m", "0", "-N", "16", "-O", "^has_journal", str(image)], check=True, timeout=60
    )
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True, timeout=60)
    try:
        path = folder / "app.conf"
        path.write_bytes(ORIGINAL)
        os.chown(path, 1234, 4321)
        os.setxattr(path, "user.note", b"kept")
        os.setxattr(path, ACCESS, acl(4))
        path.chmod(0o4640)
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=60)


def fill(folder: Path) -> None:
    """Use up every block."""
    with (folder / "ballast").open("wb", buffering=0) as stream:
        for size in (1 << 16, 1 << 10, 1):
            with pytest.raises(OSError, match="No space left"):
                endlessly(stream.write, b"\0" * size)
        os.fsync(stream.fileno())


def endlessly(do: Callable[[Any], object], what: Any) -> None:
    while True:
        do(what)


def use_up_inodes(folder: Path) -> None:
    numbers = count()
    with pytest.raises(OSError, match="No space left"):
        endlessly(lambda _: (folder / f"i{next(numbers)}").touch(), None)


def tasks(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    path = str(folder / "app.conf")
    return [
        ("copy", {"dest": path, "content": "new\n" * 20000, "mode": "0600"}),
        ("copy", {"dest": path, "content": "new\n" * 20000, "unsafe_writes": True}),
        ("copy", {"dest": path, "content": "new\n" * 20000, "backup": True}),
        ("copy", {"dest": str(folder / "other"), "src": path, "remote_src": True}),
        ("lineinfile", {"path": path, "line": "one more"}),
        ("lineinfile", {"path": path, "line": "one more", "backup": True, "owner": "root"}),
    ]


def test_full(bench: Bench, disk: Path) -> None:
    fill(disk)
    before = snapshot(disk)
    for module, params in tasks(disk):
        ran = bench.run(module, **params)
        assert (ran.status, ran.result["cause"]) == ("failed", "disk_full"), ran.reason
        assert f"No space left: {disk} is full" in ran.reason
        assert snapshot(disk) == before
        assert ran.change is None


def test_no_inodes(bench: Bench, disk: Path) -> None:
    use_up_inodes(disk)
    before = snapshot(disk)
    for module, params in [*tasks(disk), ("file", {"path": f"{disk}/a/b", "state": "directory"})]:
        ran = bench.run(module, **params)
        assert (ran.status, ran.result["cause"]) == ("failed", "no_inodes"), ran.reason
        assert f"No inodes left: {disk} has none free" in ran.reason
        assert snapshot(disk) == before


def test_read_only(bench: Bench, disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, timeout=60)
    before = snapshot(disk)
    path = f"{disk}/app.conf"
    for module, params in [
        *tasks(disk),
        ("file", {"path": path, "mode": "0600"}),
        ("file", {"path": path, "state": "absent"}),
        ("file", {"path": f"{disk}/lost+found", "state": "absent"}),
        ("file", {"path": f"{disk}/l", "src": "app.conf", "state": "link"}),
    ]:
        ran = bench.run(module, **params)
        assert (ran.status, ran.result["cause"]) == ("failed", "read_only"), ran.reason
        assert f"Read-only file system at {disk}" in ran.reason
        assert snapshot(disk) == before


def test_removing_works_on_a_full_disk(bench: Bench, disk: Path) -> None:
    fill(disk)
    assert bench.run("file", path=f"{disk}/ballast", state="absent").status == "changed"
    assert bench.run("lineinfile", path=f"{disk}/app.conf", line="one more").status == "changed"


def test_a_backup_that_does_not_fit_leaves_no_half(bench: Bench, disk: Path) -> None:
    fill(disk)
    (disk / "ballast").write_bytes(b"")
    with (disk / "ballast").open("wb") as stream:
        free = os.statvfs(disk)
        stream.write(b"\0" * (free.f_bavail * free.f_frsize - 20000))
    before = snapshot(disk)
    ran = bench.run("copy", dest=f"{disk}/app.conf", content="x" * 30000, backup=True)
    assert ran.result["cause"] == "disk_full"
    after = snapshot(disk)
    backups = [name for name in after if name.startswith("app.conf.")]
    assert {name: entry for name, entry in after.items() if name not in backups} == before
    assert [after[name] for name in backups] == [before["app.conf"]]


@pytest.fixture
def mounted(disk: Path) -> Iterator[Path]:
    """A file that is a mount point of its own, as /etc/hosts in a container: nothing can take its place."""
    source = disk / "app.conf"
    target = disk / "bound"
    target.touch()
    subprocess.run(["mount", "--bind", str(source), str(target)], check=True, timeout=60)
    try:
        yield target
    finally:
        subprocess.run(["umount", str(target)], check=True, timeout=60)


def test_a_mount_point_is_overwritten_only_when_allowed(bench: Bench, mounted: Path) -> None:
    before = snapshot(mounted.parent)
    task = {"path": str(mounted), "line": "one more"}
    ran = bench.run("lineinfile", **task)
    assert ran.reason.endswith("a mount point can only be overwritten, with unsafe_writes: true")
    assert snapshot(mounted.parent) == before
    inode = mounted.stat().st_ino
    assert bench.run("lineinfile", **task, unsafe_writes=True).status == "changed"
    assert mounted.read_bytes() == ORIGINAL + b"one more\n"
    assert mounted.stat().st_ino == inode
    assert bench.run("lineinfile", **task, unsafe_writes=True).status == "ok"


def test_nothing_is_overwritten_without_space_to_spare(bench: Bench, mounted: Path) -> None:
    free = os.statvfs(mounted)
    with (mounted.parent / "ballast").open("wb") as stream:
        stream.write(b"\0" * (free.f_bavail * free.f_frsize - (1 << 19)))
    before = snapshot(mounted.parent)
    with pytest.raises(Failed, match=r"cannot overwrite .* in place: \d+ bytes are free, 1048579 must be"):
        bench.host.files.write(str(mounted), [b"new"], unsafe=True)
    assert snapshot(mounted.parent) == before


def test_absent_stops_before_a_mount_point(bench: Bench, mounted: Path) -> None:
    before = snapshot(mounted.parent)
    for path in (mounted, mounted.parent):
        ran = bench.run("file", path=str(path), state="absent")
        assert ran.status == "failed"
        assert f"{mounted} is a mount point; unmount it first" in ran.reason or path != mounted
        assert "mount point" in ran.reason
    assert snapshot(mounted.parent) == before
