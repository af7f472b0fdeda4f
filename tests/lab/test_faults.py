"""Hosts made sick, and still reachable from outside."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from remedy.lab import Disk, Lab, LabError
from tests.conftest_lab import HostFactory

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def sick(lab: Lab, host_factory: HostFactory) -> str:
    disks = {"/data": Disk("64M"), "/few": Disk("16M", inodes=64), "/kept": Disk("64M", reserved=5)}
    return host_factory("sick", root_size="64M", disks=disks).name


@pytest.fixture(autouse=True)
def _clean(lab: Lab, sick: str) -> Iterator[None]:
    yield
    lab.reset(sick)


def left(lab: Lab, name: str, path: str, what: str) -> int:
    return int(lab.run(name, ["df", f"--output={what}", path]).stdout.split()[1])


def write(lab: Lab, name: str, path: str, user: str = "root") -> str:
    done = lab.run(name, ["dd", "if=/dev/zero", f"of={path}", "bs=1", "count=1"], user=user, ok=None)
    return "" if done.code == 0 else done.stderr.splitlines()[0].rpartition(": ")[2]


@pytest.mark.parametrize("path", ["/", "/data", "/kept"])
def test_a_full_filesystem_is_full_to_the_last_byte(lab: Lab, sick: str, path: str) -> None:
    lab.fill(sick, path)
    assert left(lab, sick, path, "avail") == 0
    assert write(lab, sick, f"{path}/new") == "No space left on device"
    lab.unfill(sick, path)
    assert write(lab, sick, f"{path}/new") == ""


def test_a_full_root_is_full_for_users_too_and_the_host_still_runs(lab: Lab, sick: str) -> None:
    lab.fill(sick, "/")
    assert write(lab, sick, "/home/plain/new", user="plain") == "No space left on device"
    assert lab.run(sick, ["systemctl", "is-active", "ssh"]).stdout == "active\n"


def test_the_disk_of_the_machine_is_never_filled(lab: Lab, host_factory: HostFactory) -> None:
    host_factory("bare")
    for fill in (lab.fill, lab.fill_inodes):
        with pytest.raises(
            LabError, match=r"host bare: /var/log lies on the root .* this machine's own disk"
        ):
            fill("bare", "/var/log")


@pytest.mark.parametrize("path", ["/", "/few"])
def test_a_filesystem_without_inodes(lab: Lab, sick: str, path: str) -> None:
    lab.fill_inodes(sick, path)
    assert left(lab, sick, path, "iavail") == 0
    assert left(lab, sick, path, "avail") > 0
    assert write(lab, sick, f"{path}/new") == "No space left on device"
    lab.unfill(sick, path)
    assert write(lab, sick, f"{path}/new") == ""


@pytest.mark.parametrize("path", ["/", "/data"])
def test_a_read_only_filesystem(lab: Lab, sick: str, path: str) -> None:
    lab.read_only(sick, path)
    assert write(lab, sick, f"{path}/new") == "Read-only file system"
    mounts = [line.split() for line in lab.get(sick, "/proc/mounts").decode().splitlines()]
    assert any(fields[1] == path and "ro" in fields[3].split(",") for fields in mounts)


def test_a_filesystem_error_comes_in_the_middle_of_a_write(lab: Lab, sick: str) -> None:
    busy = "import time; f = open('/data/open', 'w'); time.sleep(1000)"
    lab.run(sick, ["systemd-run", "--quiet", "--unit=busy", "python3", "-c", busy])
    while lab.run(sick, ["test", "-e", "/data/open"], ok=(0, 1)).code:
        time.sleep(0.05)
    with pytest.raises(LabError, match="mount point is busy") as caught:
        lab.read_only(sick, "/data")
    assert "stop the services that write there, or use fs_error" in str(caught.value)
    lab.fs_error(sick, "/data")
    assert write(lab, sick, "/data/new") == "Read-only file system"


def test_a_dead_mount_hangs_beyond_sigkill_until_it_is_revived(lab: Lab, sick: str) -> None:
    lab.hang_mount(sick, "/mnt/dead")
    with pytest.raises(LabError, match="no end after"):
        lab.run(sick, ["stat", "-f", "/mnt/dead"], timeout=1)
    stuck = [line.split() for line in lab.run(sick, ["ps", "axo", "stat,comm"]).stdout.splitlines()]
    assert ["D", "stat"] in stuck
    lab.revive_mount(sick, "/mnt/dead")
    assert "/mnt/dead" not in lab.get(sick, "/proc/mounts").decode()
    deadline = time.monotonic() + 5
    while "D" in lab.run(sick, ["ps", "axo", "stat"]).stdout and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "D" not in lab.run(sick, ["ps", "axo", "stat"]).stdout


def test_a_host_with_a_dead_mount_can_be_reset(lab: Lab, sick: str) -> None:
    lab.hang_mount(sick, "/mnt/dead")
    with pytest.raises(LabError, match="no end after"):
        lab.run(sick, ["ls", "/mnt/dead"], timeout=1)
    started = time.monotonic()
    lab.reset(sick)
    assert time.monotonic() - started < 15
    assert lab.run(sick, ["true"]).code == 0
