"""disk-grow on an emulated machine, for what needs a kernel of its own: LVM, ext4 that grows mounted, the root."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from remedy.lab.qemu import Guest, Guests
from tests.acceptance.operator import Operator, Result
from tests.modules import moto_ec2
from tests.services_lab.growing import Machine, objects, words
from tests.soak.lvm import CHAIN, CLEAN, DISK, SERIAL, TWIN, chain, twin

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1800)]

_SIZES = """
vgs --noheadings --nosuffix --units b -o vg_free data; blockdev --getsize64 /dev/data/lv
dumpe2fs -h /dev/data/lv 2> /dev/null | awk '/^Block (count|size)/ {print $3}'
"""
_SNAPSHOT = """
pvcreate -q -y "$1"; vgcreate -q data "$1"; lvcreate -q -y -L 100M -n lv data; mkfs.ext4 -q /dev/data/lv; mkdir -p /data
mount /dev/data/lv /data; lvcreate -q -y -s -L 50M -n snap data/lv
"""
_STRIPED = """
umount /data; lvremove -q -f data/snap; lvremove -q -f data/lv; pvcreate -q -y "$1"; vgextend -q data "$1"
lvcreate -q -y -i 2 -L 64M -n lv data; mkfs.ext4 -q /dev/data/lv; mount /dev/data/lv /data
"""
_MAPPED = """
mkdir -p /data; modprobe -a dm-mod
dmsetup create odd --table "0 200000 linear $(readlink -f "$1") 0"; udevadm settle
mkfs.ext4 -q /dev/mapper/odd; mount /dev/mapper/odd /data
"""
# As cryptsetup would make it.
_CRYPT = """
mkdir -p /data; modprobe dm-crypt; key=$(printf '%0128d' 7)
dmsetup create odd --uuid CRYPT-PLAIN-odd --table "0 200000 crypt aes-xts-plain64 $key 0 $(readlink -f "$1") 0"
udevadm settle; mkfs.ext4 -q /dev/mapper/odd; mount /dev/mapper/odd /data
"""
# By the kernel's own means: mdadm and multipathd would not be asked for more.
_MULTIPATH = """
mkdir -p /data; modprobe -a dm-multipath dm-round-robin
dmsetup create odd --uuid mpath-36001405remedy \\
    --table "0 200000 multipath 0 0 1 1 round-robin 0 1 1 $(readlink -f "$1") 1000"
udevadm settle; mkfs.ext4 -q /dev/mapper/odd; mount /dev/mapper/odd /data
"""
_RAID = """
mkdir -p /data; modprobe -a md-mod raid1; disk=$(readlink -f "$1"); name=${disk#/dev/}
echo md127 > /sys/module/md_mod/parameters/new_array; cd /sys/block/md127/md
echo none > metadata_version; echo raid1 > level; echo 1 > raid_disks; cat "/sys/block/$name/dev" > new_dev
echo 100000 > "dev-$name/size"; echo 100000 > component_size; echo 0 > "dev-$name/slot"; echo active > array_state
udevadm settle
"""
_ON_RAID = """
mkfs.ext4 -q /dev/md127; mount /dev/md127 /data
"""
_GROUP_ON_RAID = """
umount /data; wipefs -q -a /dev/md127; pvcreate -q -y /dev/md127; vgcreate -q data /dev/md127
lvcreate -q -y -L 40M -n lv data; mkfs.ext4 -q /dev/data/lv; mount /dev/data/lv /data
"""
_NO_RAID = """
umount /data; vgremove -q -f data; echo clear > /sys/block/md127/md/array_state; udevadm settle
"""
# The guest has no thin_check, which LVM would run at each start of a pool.
_THIN = """
printf 'global { thin_check_executable = "" }\\n' > /etc/lvm/lvmlocal.conf; mkdir -p /data
pvcreate -q -y "$1"; vgcreate -q data "$1"; lvcreate -q -y -L 200M -T data/pool
lvcreate -q -y -V 152M -T data/pool -n lv; lvcreate -q -y -L 100M -n plain data
mkfs.ext4 -q /dev/data/lv; mount /dev/data/lv /data
"""
_BESIDE = """
mkfs.ext4 -q /dev/data/plain; mkdir -p /twin; mount /dev/data/plain /twin
"""
_TWO = """
- hosts: all
  become: true
  gather_facts: false
  tasks:
    - lvm_lv: {device: /dev/data/lv}
    - lvm_lv: {device: /dev/data/lv}
    - lvm_lv: {device: /dev/data/more}
    - lvm_lv: {device: /dev/data/more, size: +20M}
"""
_FILL = """
dd if=/dev/zero of=/full bs=1M 2> /dev/null || true; sync
dd if=/dev/zero of=/more bs=4k 2> /dev/null || true; sync
"""


def play(operator: Operator, *flags: str, **values: Any) -> Result:
    return operator.remedy("play", *words(*flags, **values), timeout=600)


def test_every_link_that_is_short_grows_mounted_and_nothing_else(
    operator: Operator, guests: Guests, machine: Machine
) -> None:
    chain(machine)
    whole = machine.shell("head -c 200M /dev/urandom > /data/kept; sync; sha256sum /data/kept")
    before = twin(machine)
    # A part of it first: the partition grows by what lacks.
    first = play(operator, size="400M")
    assert (first.code, objects(first)) == (0, ["partition", "lvm_pv", "lvm_lv", "filesystem"]), first.stderr
    assert int(machine.shell("blockdev --getsize64 /dev/data/lv")) == 400 << 20
    assert play(operator, size="400M").report["changes"] == []
    checked = play(operator, "--check")
    assert (checked.code, objects(checked)) == (0, ["partition", "lvm_pv", "lvm_lv", "filesystem"])
    done = play(operator)
    assert (done.code, objects(done)) == (0, ["partition", "lvm_pv", "lvm_lv", "filesystem"]), done.stderr
    assert play(operator).report["changes"] == []
    # Then the cloud makes it larger.
    guests.grow("grow", SERIAL, "700M")
    assert objects(play(operator)) == ["partition", "lvm_pv", "lvm_lv", "filesystem"]
    assert machine.shell("sha256sum /data/kept") == whole
    assert twin(machine) == before
    sizes = machine.shell(_SIZES).split()
    assert sizes[0] == "0"
    assert int(sizes[1]) - int(sizes[2]) * int(sizes[3]) < 4 << 20
    # The group's metadata was on the control machine before it was changed.
    saved = {path.name.split(".")[1] for path in operator.state.glob("runs/*/kept/grow/*")}
    assert saved == {"sfdisk", "vgcfg"}
    assert all(
        "physical_volumes" in path.read_text() for path in operator.state.glob("runs/*/kept/grow/*.vgcfg*")
    )


def test_the_chain_names_the_clouds_volume_and_what_would_help(operator: Operator, machine: Machine) -> None:
    chain(machine, "xfs")
    [found] = machine.one("block_chain", mount="/data", size="100G")["result"]["chains"]
    kinds = [link["kind"] for link in found["links"]]
    assert kinds == ["filesystem", "lvm_lv", "lvm_vg", "lvm_pv", "partition", "disk", "cloud_volume"]
    assert found["links"][-1]["name"] == "vol-0a1b2c3d4e5f60718"
    assert found["links"][5]["serial"] == SERIAL
    refused = found["plan"]["refused"]
    assert (
        "and 100.0 GiB (107374182400 bytes) is wanted: the cloud's volume vol-0a1b2c3d4e5f60718 (vd"
        in refused
    )
    assert "or add a physical volume to its group" in refused
    done = play(operator, size="100G")
    assert (done.code, done.report["changes"]) == (2, [])
    assert objects(play(operator)) == ["partition", "lvm_pv", "lvm_lv", "filesystem"]


def test_modules_take_a_share_and_refuse_what_does_not_carry_the_mount(machine: Machine) -> None:
    chain(machine)
    for module, device in (
        ("lvm_lv", "/dev/twin/lv"),
        ("lvm_pv", TWIN + "-part1"),
        ("partition_grow", TWIN + "-part1"),
    ):
        frame = machine.one(module, device=device, mount="/data")
        assert frame["status"] == "failed"
        assert "does not carry /data: nothing is done to it" in frame["reason"]
    assert machine.one("partition_grow", device=DISK + "-part1")["status"] == "changed"
    assert machine.one("lvm_pv", device=DISK + "-part1")["status"] == "changed"
    assert machine.one("lvm_pv", device=DISK + "-part1")["status"] == "ok"
    free = int(machine.shell("vgs --noheadings --nosuffix --units b -o vg_free data"))
    frame = machine.one("lvm_lv", device="/dev/data/lv", share="50%")
    assert frame["status"] == "changed"
    assert abs(frame["result"]["vg_free"] - free / 2) <= 8 << 20
    smaller = machine.one("lvm_lv", device="/dev/data/lv", size="100M")
    assert "remedy makes nothing smaller" in smaller["reason"]
    more = machine.one("lvm_lv", device="/dev/data/lv", size="10G")
    assert "let its physical volumes grow, or add one" in more["reason"]


def test_check_mode_counts_what_is_free_once(operator: Operator, machine: Machine) -> None:
    chain(machine)
    for module in ("partition_grow", "lvm_pv"):
        assert machine.one(module, device=DISK + "-part1")["status"] == "changed"
    machine.shell("lvcreate -q -y -L 20M -n more data")
    checked = operator.play(_TWO, "--check", timeout=600)
    assert [task["status"] for task in checked.report["tasks"]] == ["changed", "ok", "ok", "failed"], checked
    assert "the group data has 0 bytes free" in checked.report["tasks"][-1]["reason"]


def test_layouts_that_are_not_understood_are_named_and_left_alone(
    operator: Operator, machine: Machine
) -> None:
    def stops() -> str:
        [found] = machine.one("block_chain", mount="/data")["result"]["chains"]
        done = play(operator)
        assert (done.code, done.report["changes"]) == (2, [])
        assert found["stops_at"] in str(done.report["findings"])
        return str(found["stops_at"])

    machine.shell(_SNAPSHOT, DISK)
    assert stops() == "the logical volume data/lv: it has a snapshot"
    machine.shell(_STRIPED, TWIN)
    assert stops() == "the logical volume data/lv: it is of the type striped, and only linear ones are known"
    machine.shell(CLEAN, DISK, TWIN)
    machine.shell(_CRYPT, DISK)
    assert "is an encrypted device (LUKS)" in stops()
    machine.shell(CLEAN, DISK, TWIN)
    machine.shell(_MAPPED, DISK)
    assert "is a device-mapper target that is no LVM volume" in stops()


def test_thin_pools_raid_and_multipath_are_named_and_left_alone(operator: Operator, machine: Machine) -> None:
    def stops(about: str) -> str:
        before = machine.shell(about)
        done = play(operator)
        assert (done.code, done.report["changes"]) == (2, [])
        assert machine.shell(about) == before
        [finding] = done.report["findings"]
        return str(finding["title"])

    sizes = "lsblk -bno NAME,SIZE; df -B1 /data; "
    machine.shell(_THIN, DISK)
    assert "the logical volume data/lv: it lies in the thin pool pool" in stops(
        sizes + "vgs -o seqno,vg_free data"
    )
    # A plain volume in the group of a thin pool is as any other, and takes nothing of the pool.
    machine.shell(_BESIDE)
    grown = play(operator, mount="/twin", size="160M")
    assert (grown.code, objects(grown)) == (0, ["lvm_lv", "filesystem"]), grown.stderr
    assert machine.shell("lvs --noheadings --units m --nosuffix -o lv_size data/pool data/lv").split() == [
        "152.00",
        "200.00",
    ]
    machine.shell(CLEAN, DISK, TWIN)
    machine.shell(_MULTIPATH, DISK)
    assert "dm-" in (said := stops(sizes + "dmsetup table odd"))
    assert "is a multipath device: each path and the map must learn the size (multipathd resize map)" in said
    machine.shell(CLEAN, DISK, TWIN)
    try:
        machine.shell(_RAID, DISK)
        machine.shell(_ON_RAID)
        assert "md127 is a software RAID (md): enlarge its members and the array by hand" in stops(sizes)
        machine.shell(_GROUP_ON_RAID)
        assert "md127 is a software RAID (md)" in stops(sizes + "vgs -o seqno,vg_free data")
    finally:
        machine.shell(_NO_RAID)


def test_the_clouds_volume_grows_first_where_it_was_asked_for(
    tmp_path: Path, lab: Lab, guests: Guests, booted: Guest, machine: Machine
) -> None:
    """The volume by the serial that its disk shows; what Amazon does to the disk is done here."""
    with moto_ec2.moto() as endpoint:
        ec2 = moto_ec2.session(endpoint)
        _, volume = moto_ec2.attached(ec2, size=1)
        serial = volume.replace("-", "")
        disk = f"/dev/disk/by-id/virtio-{serial}"
        guests.add_disk("grow", serial, "1G")
        machine.shell("for i in $(seq 300); do [ -e $1 ] && exit; sleep 0.1; done; exit 1", disk)
        operator = Operator(
            tmp_path, lab, ansible_become=True, aws_region=moto_ec2.REGION, aws_endpoint_url=endpoint
        )
        operator.add_guest(booted)

        def cloud(*flags: str, **values: Any) -> Result:
            keys = {"AWS_ACCESS_KEY_ID": moto_ec2.KEY, "AWS_SECRET_ACCESS_KEY": moto_ec2.SECRET}
            flags = words(*flags, size="1500M", **values)
            return operator.remedy("play", *flags, environment=keys, timeout=600)

        try:
            machine.shell("FS=ext4\n" + CHAIN, disk, TWIN)
            whole = machine.shell("head -c 200M /dev/urandom > /data/kept; sync; sha256sum /data/kept")
            refused = cloud()
            assert (refused.code, refused.report["changes"], moto_ec2.size(ec2, volume)) == (2, [], 1)
            links = ["ebs", "partition", "lvm_pv", "lvm_lv", "filesystem"]
            checked = cloud("--check", grow_cloud=True)
            assert (checked.code, moto_ec2.size(ec2, volume)) == (0, 1), checked.stderr
            assert objects(checked) == [
                "ebs",
                "disk",
                *links[1:],
            ]  # virtio tells the kernel itself, once it is so
            with moto_ec2.followed(ec2, volume, lambda size: guests.grow("grow", serial, f"{size}G")):
                done = cloud(grow_cloud=True)
            assert (done.code, objects(done)) == (0, links), done.stdout
            assert moto_ec2.size(ec2, volume) == 2
            assert int(machine.shell("blockdev --getsize64 /dev/data/lv")) == 1500 << 20
            assert cloud(grow_cloud=True).report["changes"] == []
            assert machine.shell("sha256sum /data/kept") == whole
        finally:
            machine.shell(CLEAN, disk, TWIN)


def test_a_root_that_is_full_to_the_last_byte_grows_mounted(
    operator: Operator, guests: Guests, machine: Machine
) -> None:
    chain(machine)
    machine.shell("head -c 100M /dev/urandom > /kept; sync")
    whole = machine.shell("sha256sum /kept")
    guests.grow("grow", "root", "3800M")
    machine.shell(_FILL)
    assert machine.shell("df --output=avail / | tail -1") == "0"
    try:
        # LVM beside it has no room for its archive.
        assert objects(play(operator)) == ["partition", "lvm_pv", "lvm_lv", "filesystem"]
        done = play(operator, mount="/")
        assert (done.code, objects(done)) == (0, ["partition", "filesystem"]), done.stderr
        assert play(operator, mount="/").report["changes"] == []
        assert int(machine.shell("df -B1M --output=avail / | tail -1")) > 200
        assert machine.shell("sha256sum /kept") == whole
    finally:
        machine.shell("rm -f /full /more /kept")
