"""disk_usage: real file systems that are full, read-only, out of inodes or dead, in a lab host."""

import os
import subprocess
import time

import pytest
from tests.modules.running import Talk, in_lab, params, run, step

from remedy.agent.host import Host
from remedy.errors import InputError
from remedy.lab import Disk
from remedy.modules import find
from remedy.modules.target import _mounts

DISKS = {
    "/data": Disk("64M"),
    "/few": Disk("16M", inodes=64),
    "/kept": Disk("64M", reserved=10),
    "/other": Disk("320M", fs="xfs"),
}


@pytest.fixture(scope="module")
def host(host_factory):
    return host_factory("disks", root_size="256M", disks=DISKS).name


@pytest.fixture
def sick(lab, host):
    yield host
    lab.reset(host)


def asked(lab, host, **given):
    [frame] = in_lab(lab, host, step("disk_usage", **given))
    assert frame["status"] == "ok", frame["reason"]
    return frame["result"]


def by_mount(result):
    return {each["mount"]: each for each in result["filesystems"]}


@pytest.mark.lab
def test_the_numbers_are_those_of_df(lab, host):
    found = by_mount(asked(lab, host))
    lines = lab.run(host, ["df", "-B1", "--output=target,size,used,avail,pcent", "-x", "devtmpfs"]).stdout
    for line in lines.splitlines()[1:]:
        mount, *numbers, percent = line.split()
        if mount in ("/", *DISKS):
            each = found[mount]
            assert [each["size"], each["used"], each["available"]] == [int(number) for number in numbers]
            assert f"{each['percent']}%" == percent
            assert each["state"] == "rw"
    lines = lab.run(host, ["df", "--output=target,itotal,iused,iavail,ipcent", *DISKS]).stdout
    for line in lines.splitlines()[1:]:
        mount, *numbers, percent = line.split()
        each = found[mount]
        assert [each["inodes"], each["inodes_used"], each["inodes_free"]] == [
            int(number) for number in numbers
        ]
        assert f"{each['inode_percent']}%" == percent
    assert found["/kept"]["reserved"] > found["/data"]["reserved"] + 6_000_000


@pytest.mark.lab
def test_a_file_system_appears_once_and_pseudo_ones_never(lab, sick):
    lab.run(sick, ["sh", "-c", "mkdir /again; mount --bind /data /again; mount --bind /data/lost+found /mnt"])
    result = asked(lab, sick)
    mounts = [each["mount"] for each in result["filesystems"]]
    assert len(mounts) == len(set(mounts))
    assert "/data" in mounts
    assert not {"/again", "/mnt", "/proc", "/sys", "/dev/pts"} & set(mounts)
    assert "/again" in by_mount(asked(lab, sick, mounts=["/again"]))


@pytest.mark.lab
def test_what_is_full_is_listed_worst_first_with_what_it_lacks(lab, sick):
    assert asked(lab, sick, above="85%", mounts=list(DISKS))["full"] == []
    lab.fill(sick, "/data")
    lab.fill_inodes(sick, "/few")
    room = by_mount(asked(lab, sick))["/kept"]["available"]
    lab.run(sick, ["fallocate", "-l", str(room - (2 << 20)), "/kept/most"])
    full = asked(lab, sick, above="85%")["full"]
    assert [each["mount"] for each in full][-1] == "/kept"
    found = {each["mount"]: each for each in full}
    assert found["/data"]["lacks"] == ["bytes"]
    assert (found["/data"]["percent"], found["/data"]["available"]) == (100, 0)
    assert found["/few"]["lacks"] == ["inodes"]
    assert (found["/few"]["inode_percent"], found["/few"]["inodes_free"]) == (100, 0)
    assert 85 < found["/kept"]["percent"] < 100


@pytest.mark.lab
def test_what_is_large_is_named_only_where_it_is_full(lab, sick):
    script = (
        "mkdir -p /data/app/logs/deep /data/small; fallocate -l 30M /data/app/logs/deep/big.log;"
        "fallocate -l 20M /data/app/logs/next.log; ln /data/app/logs/next.log /data/app/logs/same.log;"
        "echo x > /data/small/x; mkdir /data/under; mount --bind /other /data/under;"
        "fallocate -l 100M /other/elsewhere"
    )
    lab.run(sick, ["sh", "-c", script])
    [entry] = asked(lab, sick, above="70%", largest=2, mounts=["/data", "/other"])["largest"]
    assert (entry["mount"], entry["complete"]) == ("/data", True)
    assert [file["bytes"] for file in entry["files"]] == [30 << 20, 20 << 20]
    assert entry["files"][0]["path"] == "/data/app/logs/deep/big.log"
    assert [each["path"] for each in entry["directories"]] == ["/data/app/logs", "/data/app/logs/deep"]
    assert entry["directories"][0]["bytes"] == pytest.approx(50 << 20, rel=0.01)


@pytest.mark.lab
def test_where_inodes_are_gone_the_folders_with_most_entries_are_named(lab, sick):
    lab.fill_inodes(sick, "/few")
    [entry] = asked(lab, sick, above="90%", largest=1, mounts=["/few"])["largest"]
    assert entry["directories"][0]["path"] == "/few/.lab-inodes"


@pytest.mark.lab
def test_a_read_only_file_system_says_so(lab, sick):
    lab.fs_error(sick, "/data")
    assert by_mount(asked(lab, sick))["/data"]["state"] == "ro"


@pytest.mark.lab
def test_a_dead_mount_is_named_and_holds_nothing_up(lab, sick):
    lab.hang_mount(sick, "/dead")
    begun = time.monotonic()
    result = asked(lab, sick, above="1%", timeout=1, largest=1, budget="5s")
    assert time.monotonic() - begun < 20
    assert [each["mount"] for each in result["hung"]] == ["/dead"]
    assert result["complete"] is False
    assert {"/", *DISKS} <= set(by_mount(result))
    only = asked(lab, sick, mounts=["/dead"], timeout=1)
    assert only["hung"][0]["mount"] == "/dead"
    [facts] = in_lab(lab, sick, step("setup", gather_subset=["hardware"], gather_timeout=1))
    notes = {each["mount"]: each.get("note") for each in facts["result"]["ansible_facts"]["ansible_mounts"]}
    assert notes["/dead"] == "could not be asked in time: the mount hangs"
    assert notes["/data"] is None
    [frame] = in_lab(lab, sick, step("old_files", paths=["/dead/logs"], age=1))
    assert frame["status"] == "failed"
    assert frame["result"]["cause"] == "timeout"
    lab.revive_mount(sick, "/dead")


def test_the_budget_ends_the_search_with_a_partial_answer(tmp_path):
    result = run("disk_usage", paths=[str(tmp_path)], largest=3, budget=0)["result"]
    assert result["complete"] is False
    assert result["largest"][0]["complete"] is False


def test_the_deadline_leaves_room_for_the_budget():
    assert find("disk_usage").kind(params("disk_usage", largest=1, budget="2m")).deadline == 180
    assert find("disk_usage").kind(params("disk_usage", largest=1)).cost == "expensive"
    assert find("disk_usage").kind(params("disk_usage")).cost == "cheap"


def test_a_path_stands_for_its_file_system(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("/dev/shm")
    found = run("disk_usage", paths=[str(link)])["result"]["filesystems"]
    assert [each["mount"] for each in found] == ["/dev/shm"]


def test_a_mount_that_is_none_is_an_error(tmp_path):
    frame = run("disk_usage", mounts=[str(tmp_path)])
    assert frame["status"] == "failed"
    assert frame["reason"] == f"{tmp_path} is not a mount point; give paths to ask by any path"
    with pytest.raises(InputError, match="give mounts or paths, not both"):
        params("disk_usage", mounts=["/"], paths=["/"])


def test_a_read_only_image_is_never_full(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(os.urandom(5000))
    entry = {"options": "ro", "super_options": "ro", "type": "squashfs", "mount": "/snap/core"}
    from remedy.modules.target.disk_usage import DiskUsage, _filesystem

    names = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree")
    sizes = dict(zip(names, (4096, 4096, 100, 0, 0, 50, 0), strict=True))
    image = _filesystem({"mount": "/snap/core"}, entry, sizes)
    assert (image["image"], image["percent"], image["inode_percent"]) == (True, 100, 100)
    assert DiskUsage(params("disk_usage", above=50), None)._full([image]) == []
    disk = _filesystem({"mount": "/snap/core"}, {**entry, "type": "ext4"}, sizes)
    assert DiskUsage(params("disk_usage", above=50), None)._full([disk])[0]["lacks"] == ["bytes", "inodes"]


MOUNTINFO = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
23 22 0:21 / /proc rw - proc proc rw
24 22 8:2 / /data\040disk rw - xfs /dev/sdb1 rw
25 22 8:2 /sub /mnt rw - xfs /dev/sdb1 rw
26 22 0:40 /@ /btr ro - btrfs /dev/sdc ro
27 22 0:41 /@home /btr/home rw - btrfs /dev/sdc rw
28 22 0:50 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw,lowerdir=/l
29 22 0:60 / /tmp rw - tmpfs first rw
30 29 0:61 / /tmp rw - tmpfs second rw
31 22 8:1 /etc/hosts /etc/hosts rw - ext4 /dev/sda1 rw
"""


def test_each_file_system_is_taken_once_and_where_it_can_be_seen(tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTINFO.lstrip())
    every = _mounts.mounts(str(table))
    assert [(each["mount"], each["source"]) for each in _mounts.real(every)] == [
        ("/", "/dev/sda1"),
        ("/data disk", "/dev/sdb1"),
        ("/btr", "/dev/sdc"),
        ("/tmp", "second"),
    ]
    assert _mounts.holding(every, "/btr/home/x")["mount"] == "/btr/home"
    assert _mounts.holding(every, "/btrx")["mount"] == "/"
    assert [each["mount"] for each in every if _mounts.read_only(each)] == ["/btr"]


def test_a_mount_is_found_by_its_name_or_through_a_link(tmp_path):
    (tmp_path / "link").symlink_to("/dev/shm")
    host = Host(Talk())
    found = [_mounts.at(host, path) for path in ("/dev/shm/", f"{tmp_path}/link", str(tmp_path), "/none")]
    assert [each and each["mount"] for each in found] == ["/dev/shm", "/dev/shm", None, None]


def test_the_search_is_idle_and_leaves_no_mark(tmp_path):
    before = subprocess.run(["ionice", "-p", str(os.getpid())], capture_output=True, text=True).stdout
    nice = os.nice(0)
    run("disk_usage", paths=[str(tmp_path)], largest=1, budget="200ms")
    assert subprocess.run(["ionice", "-p", str(os.getpid())], capture_output=True, text=True).stdout == before
    assert os.nice(0) == nice
