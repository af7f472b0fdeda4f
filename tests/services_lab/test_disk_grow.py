"""disk-grow on loop devices of a booted host: amounts, look-alikes, bad input, a full root."""

from __future__ import annotations

import time

import pytest

from remedy.lab import Disk, Lab
from tests.conftest_lab import HostFactory
from tests.services_lab.growing import Bench, Machine, objects, said

pytestmark = pytest.mark.lab

MIB = 1 << 20


@pytest.mark.parametrize("fs", ["xfs", "ext4", "btrfs"])
@pytest.mark.parametrize("table", ["gpt", pytest.param("mbr", marks=pytest.mark.soak)])
def test_every_amount_is_reached_and_a_second_run_changes_nothing(
    machine: Machine, bench: Bench, fs: str, table: str
) -> None:
    disk = machine.short(fs=fs, table=table, short="disk")
    machine.shell("head -c 100M /dev/urandom > /data/kept; sha1sum /data/kept > /run/sum")
    identity = machine.shell("sfdisk -J $1 | grep -E 'uuid|type|start|\"id\"'", disk["disk"])
    for size, wanted, links in (
        ("350M", 350 * MIB, ["disk", "partition", "filesystem"]),
        (str(400 * MIB), 400 * MIB, ["partition", "filesystem"]),
        ("all", 510 * MIB, ["partition", "filesystem"]),
    ):
        first = bench.play(size=size, grow_offline=True)
        assert (first.code, objects(first)) == (0, links), said(first)
        [finding] = first.report["findings"]
        assert (finding["id"], finding["resolved"]) == ("disk-grow", True)
        chain = machine.chain()
        assert wanted - 8 * MIB <= chain["links"][0]["size_bytes"] <= wanted + MIB
        assert 0 <= chain["links"][1]["size_bytes"] - chain["links"][0]["size_bytes"] <= 8 * MIB
        again = bench.play(size=size, grow_offline=True)
        assert (again.code, again.report["changes"], again.report["findings"]) == (0, [], [])
    assert machine.shell("sha1sum -c /run/sum") == "/data/kept: OK"
    assert machine.shell("sfdisk -J $1 | grep -E 'uuid|type|start|\"id\"'", disk["disk"]) == identity
    assert "No errors detected" in machine.shell("sfdisk --verify $1", disk["disk"])


def test_what_is_added_is_not_added_twice_unless_it_is_meant(machine: Machine, bench: Bench) -> None:
    machine.short(fs="xfs", short="filesystem", grown="1G")
    first = bench.play(size="+20%")
    assert (first.code, objects(first)) == (0, ["filesystem"]), said(first)
    assert [finding["resolved"] for finding in first.report["findings"]] == [True]
    grown = machine.chain()["links"][0]["size_bytes"]
    assert abs(grown - 384 * MIB) <= MIB
    again = bench.play(size="+20%")
    assert (again.code, again.report["changes"], again.report["findings"]) == (0, [], [])
    assert "has grown by +20% already, by the run" in again.stdout
    assert objects(bench.play(size="+100M")) == ["filesystem"]
    assert objects(bench.play(size="+100M", grow_again=True)) == ["filesystem"]
    assert abs(machine.chain()["links"][0]["size_bytes"] - grown - 200 * MIB) <= 2 * MIB


def test_check_shows_the_whole_plan_and_changes_nothing(machine: Machine, bench: Bench) -> None:
    machine.short(fs="xfs", short="disk")
    before = machine.about("/data")
    checked = bench.play("--check")
    assert (checked.code, objects(checked)) == (0, ["disk", "partition", "filesystem"]), said(checked)
    assert "partition /dev/loop" in said(checked)
    assert ": 320.0 MiB to 510.9 MiB; filesystem /data: 320.0 MiB to 510.9 MiB" in said(checked)
    assert machine.about("/data") == before
    done = bench.play()
    assert (done.code, {change["reversible"] for change in done.report["changes"]}) == (0, {False})
    # The old table is on the control machine's disk before the new one is on the host's.
    [table] = bench.operator.state.glob("runs/*/kept/grows/loop*.sfdisk")
    assert "label: gpt" in table.read_text()
    assert "size=      655360" in table.read_text()


def test_what_looks_alike_is_left_alone(machine: Machine, bench: Bench) -> None:
    for path in ("/data", "/twin"):
        machine.short(path, fs="xfs")
        machine.shell('xfs_io -c "label -s same" $1', path)
    twin = machine.shell("findmnt -no SOURCE /twin")
    before = machine.about("/twin")
    assert objects(bench.play()) == ["partition", "filesystem"]
    assert machine.about("/twin") == before
    refused = machine.one("partition_grow", device=twin, mount="/data")
    assert (refused["status"], refused["change"]) == ("failed", None)
    assert refused["reason"].endswith("does not carry /data: nothing is done to it")
    rescan = machine.one("disk_rescan", device=twin.removesuffix("p1"), mount="/data")
    assert rescan["reason"].endswith("does not carry /data: nothing is done to it")
    assert machine.about("/twin") == before


def test_bad_input_is_told_and_nothing_is_changed(machine: Machine, bench: Bench) -> None:
    machine.short(fs="xfs")
    machine.shell("mkdir -p /data/inside")
    before = machine.about("/data")
    for values, text in (
        ({"mount": "/data/inside"}, "/data/inside is no mount point; it lies on the file system of /data"),
        ({"mount": "/nowhere"}, "/nowhere is no mount point: nothing is there"),
        ({"mount": "data"}, "mount 'data': expected an absolute path, such as /data"),
        ({"mount": "/run"}, "/run is tmpfs, which is not grown here: ext2, ext3, ext4, xfs, btrfs are"),
        ({"mount": "/"}, "/ is an overlay of folders, which is not grown here"),
        ({"size": "100M"}, "and 100.0 MiB (104857600 bytes) is wanted: remedy makes nothing smaller"),
        ({"size": "plenty"}, "size 'plenty': expected a size (20G), what to add (+5G, +20%), or all"),
        ({"size": "0"}, "size '0' is nothing: expected"),
        ({"size": "2T"}, "ends there: make it larger, and play again"),
    ):
        done = bench.play(**values)
        assert done.report.get("changes", []) == []
        assert (done.code in (2, 5), text in said(done) + done.stderr) == (True, True), (values, done)
    assert machine.about("/data") == before


def test_a_partition_with_another_one_behind_it_is_told(machine: Machine, bench: Bench) -> None:
    disk = machine.short(fs="xfs")
    machine.shell(
        "echo 'start=657408, size=8192' | sfdisk -q --append --no-reread --no-tell-kernel $1", disk["disk"]
    )
    refused = bench.play(size="400M")
    assert (refused.code, refused.report["changes"]) == (2, [])
    assert "as large as it can be: partition 2 begins behind it" in said(refused)
    frame = machine.one("partition_grow", device=disk["device"], size="400M")
    assert "partition 2 begins right behind that" in frame["reason"]
    # One that is full, and has nowhere to go, is told also where all that there is was asked for.
    machine.shell("fallocate -l 230M /data/full")
    done = bench.play()
    assert (done.code, done.report["changes"]) == (0, [])
    assert "no space waits below it" in said(done)


def test_one_that_is_in_use_is_not_unmounted(machine: Machine, bench: Bench) -> None:
    machine.short(fs="ext4", short="filesystem", table="none")
    assert "no CAP_SYS_RESOURCE: a container?" in said(bench.play())
    machine.shell("systemd-run -q --unit=user --working-directory=/data sleep 100")
    try:
        before = machine.about("/data")
        done = bench.play(grow_offline=True)
        assert (done.code, objects(done)) == (2, [])
        assert (
            "/data did not grow: nothing was done to it: it cannot be unmounted, for someone uses it"
            in said(done)
        )
        assert "target is busy" in said(done)
        assert machine.about("/data") == before
    finally:
        machine.shell("systemctl stop user")
    machine.shell("mount -o remount,noatime,nodev,commit=7 /data; grep ' /data ' /proc/mounts > /run/options")
    assert objects(bench.play(grow_offline=True)) == ["filesystem"]
    assert machine.shell("grep ' /data ' /proc/mounts | diff - /run/options && echo same") == "same"


def test_it_works_while_the_root_is_full_to_the_last_byte(machine: Machine, bench: Bench, lab: Lab) -> None:
    machine.short(fs="ext4", short="disk")
    lab.fill(machine.name, "/")
    try:
        assert machine.shell("df --output=avail / | tail -1") == "0"
        done = bench.play(grow_offline=True)
        assert (done.code, objects(done)) == (0, ["disk", "partition", "filesystem"]), said(done)
        assert machine.shell("df --output=avail / | tail -1") == "0"
    finally:
        lab.unfill(machine.name, "/")


def test_an_ext4_that_is_not_mounted_grows_by_its_device(machine: Machine) -> None:
    disk = machine.short(fs="ext4", short="filesystem")
    mounted = machine.one("filesystem_grow", device=disk["device"])
    assert mounted["reason"] == f"{disk['device']} is mounted on /data: give mount instead of device"
    # Held open, its loop device stays while nobody has it mounted.
    machine.shell("systemd-run -q --unit=hold sh -c 'exec sleep 1000 < $1'".replace("$1", disk["device"]))
    try:
        machine.shell("sleep .3; umount /data")
        grown = machine.one("filesystem_grow", device=disk["device"])
        assert (grown["status"], grown["result"]["bytes"] > 500 * MIB) == ("changed", True), grown
        assert machine.one("filesystem_grow", device=disk["device"])["status"] == "ok"
        machine.shell("mount $1 /data", disk["device"])
    finally:
        machine.shell("systemctl stop hold")


def test_the_fault_removes_no_folder_of_others(machine: Machine) -> None:
    where = {"path": "/data", "name": "data", "fs": "xfs"}
    refused = machine.one("fault_disk_short", folder="/srv/none", **where)
    assert refused["reason"].startswith("there is no folder /srv/none on this host")
    machine.shell("mkdir -p /srv/disks/mine; ln -sfn /srv/disks/mine /srv/mine")
    for state, status in (("present", "changed"), ("present", "ok"), ("absent", "changed"), ("absent", "ok")):
        assert machine.one("fault_disk_short", folder="/srv/mine", state=state, **where)["status"] == status
    assert machine.shell("ls -A /srv/disks/mine; ls -d /srv/disks/mine /data || true") == "/srv/disks/mine"


def test_the_disk_of_another_host_is_not_taken_for_ours(
    machine: Machine, lab: Lab, host_factory: HostFactory
) -> None:
    """Hosts of one machine see each other's loop devices, and files of one name have one inode number there."""
    host_factory("grows2", role="disks", disks={"/srv/disks": Disk("2G")})
    other = Machine(lab, "grows2")
    image = "/srv/disks/remedy-drill-data.img"
    same = 'stat -c %i "$1"'
    number = machine.shell(': > "$1"; ' + same, image)
    # A new file takes the lowest number that is free.
    other.shell("for n in $(seq 12 $(($1 - 1))); do : > /srv/disks/before$n; done", number)
    disk = other.short()["disk"]
    machine.shell('[ -e "$1" ] || mknod -m 600 "$1" b 7 "${1#/dev/loop}"', disk)
    assert other.shell(same, image) == number
    machine.clean()
    assert machine.shell('ls "$1" 2> /dev/null || echo none', image) == "none"
    attached = 'findmnt -no SOURCE /data; losetup --noheadings --output BACK-FILE "$1"'
    assert other.shell(attached, disk).splitlines() == [f"{disk}p1", image]
    other.clean()


def test_a_dead_mount_is_told_and_holds_nobody_up(machine: Machine, lab: Lab) -> None:
    machine.short(fs="xfs")
    twin = machine.shell("findmnt -no SOURCE /data")
    lab.hang_mount(machine.name, "/dead")
    try:
        begun = time.monotonic()
        for module, params, text in (
            ("block_chain", {"mount": "/dead", "timeout": 1}, "/dead cannot be asked: it does not answer"),
            (
                "block_chain",
                {"mount": "/dead/in", "timeout": 1},
                "/dead/in cannot be asked: no answer within 1 seconds",
            ),
            ("filesystem_grow", {"mount": "/dead/"}, "/dead is fuse.sshfs, which is not grown here: "),
            (
                "partition_grow",
                {"device": twin, "mount": "/dead"},
                "is left alone: /dead is fuse.sshfs, which",
            ),
        ):
            frame = machine.one(module, **params)
            assert (frame["status"], text in frame["reason"]) == ("failed", True), frame
        assert time.monotonic() - begun < 30
        assert "/data" in [
            each["mount"] for each in machine.one("block_chain", timeout=1)["result"]["chains"]
        ]
    finally:
        lab.revive_mount(machine.name, "/dead")


def test_without_a_mount_it_only_looks(machine: Machine, bench: Bench) -> None:
    machine.short(fs="xfs")
    before = machine.about("/data")
    done = bench.play(mount="")
    assert (done.code, done.report["changes"]) == (0, [])
    assert "/data could grow by 191.0 MiB" in said(done)
    assert machine.about("/data") == before


def test_a_superblock_that_outlived_its_file_system_is_not_grown(machine: Machine) -> None:
    """e2fsck would repair it, and destroy what lies in the partition by now."""
    disk = machine.short(fs="ext4", table="mbr", short="disk")
    machine.shell("head -c 60M /dev/urandom > /data/kept; sha1sum /data/kept > /run/sum; sync -f /data")
    old = machine.shell(
        "truncate -s 320M /run/old.img; mkfs.ext4 -q -b 1024 /run/old.img; "
        "dd if=/run/old.img of=$1 bs=1024 skip=1 seek=1 count=1 conv=notrunc status=none; rm /run/old.img; "
        "blkid -p -o export $1 | grep -E '^(TYPE|PTTYPE)='",
        disk["disk"],
    )
    assert old.split() == ["TYPE=ext4", "PTTYPE=dos"]
    name = disk["device"].removeprefix("/dev/")
    refused = machine.one("filesystem_grow", device=disk["disk"])
    assert (refused["status"], refused["change"]) == ("failed", None), refused
    assert f"it has partitions ({name}): name the one that is meant" in refused["reason"]
    # A kernel that was not told of the partitions knows of none.
    machine.shell("systemd-run -q --unit=hold sh -c 'exec sleep 1000 < $1'".replace("$1", disk["disk"]))
    try:
        machine.shell("sleep .3; umount /data; partx -d $1", disk["disk"])
        refused = machine.one("filesystem_grow", device=disk["disk"])
        assert (refused["status"], refused["change"]) == ("failed", None), refused
        assert "it carries a partition table (dos), too" in refused["reason"]
        machine.shell("partx -a $1; mount $2 /data", disk["disk"], disk["device"])
        assert machine.shell("sha1sum -c /run/sum") == "/data/kept: OK"
    finally:
        machine.shell("systemctl stop hold")


def test_one_that_is_mounted_in_a_namespace_of_its_own_too_is_told(machine: Machine, bench: Bench) -> None:
    machine.short(fs="ext4", short="filesystem", table="none")
    machine.shell(
        "systemd-run -q --unit=apart unshare -m --propagation private sh -c 'echo > /run/apart; exec sleep 100'; "
        "until [ -e /run/apart ]; do sleep .05; done"
    )
    try:
        before = machine.about("/data")
        done = bench.play(grow_offline=True)
        assert (done.code, objects(done)) == (2, [])
        assert "a container, or a unit with mounts of its own, may have it mounted" in said(done)
        assert "run e2fsck" not in said(done)
        assert machine.about("/data") == before
    finally:
        machine.shell("systemctl stop apart; rm /run/apart")


def test_a_unit_that_is_bound_to_the_mount_is_not_stopped_with_it(machine: Machine, bench: Bench) -> None:
    machine.short(fs="ext4", short="filesystem", table="none")
    # systemd reads of a new mount a moment after it was made.
    machine.shell("for k in $(seq 200); do systemctl -q is-active data.mount && break; sleep .05; done; "
                  "systemd-run -q --unit=bound -p BindsTo=data.mount -p After=data.mount sleep 1000")  # fmt: skip
    try:
        done = bench.play(grow_offline=True)
        assert (done.code, objects(done)) == (2, [])
        assert "bound.service would be stopped with the mount of /data (BindsTo)" in said(done)
        assert machine.shell("systemctl is-active bound") == "active"
    finally:
        machine.shell("systemctl stop bound")
    assert objects(bench.play(grow_offline=True)) == ["filesystem"]


def test_what_is_added_is_not_added_twice_by_another_name_of_the_mount(machine: Machine, bench: Bench) -> None:
    machine.short(fs="xfs", short="filesystem", grown="1G")
    machine.shell("ln -sfn /data /run/data")
    assert objects(bench.play(size="+50M")) == ["filesystem"]
    for name in ("/data/", "/run/data"):
        again = bench.play(mount=name, size="+50M")
        assert (again.code, again.report["changes"]) == (2, [])
        assert f"{name} leads to the mount point /data: name that" in said(again)
    assert objects(bench.play(mount="/data/", size="all"))[-1] == "filesystem"


def test_a_btrfs_whose_path_leads_to_another_device_by_now(machine: Machine, bench: Bench) -> None:
    """As after lvrename: what it was mounted by is another's name."""
    machine.short(fs="btrfs")
    machine.short("/twin", fs="btrfs")
    own, other = (machine.shell(f"findmnt -no SOURCE {path}") for path in ("/data", "/twin"))
    before = machine.about("/twin")
    machine.shell('mv "$1" /dev/moved; cp -a "$2" "$1"; mv "$2" /dev/others', own, other)
    try:
        chain = machine.chain()
        assert (chain["links"][1]["name"], chain["links"][1]["path"]) == (own.removeprefix("/dev/"), "/dev/moved")
        done = bench.play()
        assert (done.code, objects(done)) == (0, ["partition", "filesystem"]), said(done)
    finally:
        machine.shell('mv /dev/moved "$1"; mv /dev/others "$2"', own, other)
    assert machine.about("/twin") == before
