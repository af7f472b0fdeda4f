"""Block devices as the kernel shows them in /sys: what one is, what lies below it, how large it is, who it is."""

import os
import re
import stat

from remedy.agent.kinds import Failed

SECTOR = 512  # /sys counts in these, whatever the disk's own sectors are
DISKS = ("sd", "vd", "xvd", "nvme", "mmcblk", "hd")
_DM = (("LVM-", "lvm_lv"), ("CRYPT-", "crypt"), ("mpath-", "multipath"), ("DMRAID-", "dmraid"))
_VOLUME = re.compile(r"vol-?([0-9a-f]{8}|[0-9a-f]{17})\Z")
_OTHERS = ("bcache", "drbd", "nbd", "rbd", "zd", "zram", "ram", "sr", "dasd", "pmem")


class Block(object):
    """One block device.

    `number` "8:1", `name` the kernel's ("sda1"), `folder` in /sys, `kind` disk, loop, partition, lvm_lv, crypt,
    multipath, dmraid, dm, md, or the kernel's word for what remedy does not know.
    """

    def __init__(self, number, sys="/sys"):
        self.number = number
        self.sys = sys
        try:
            self.folder = os.path.realpath(os.path.join(sys, "dev", "block", number))
            with open(os.path.join(self.folder, "size")) as file:
                file.read(1)
        except OSError:
            raise Failed("the block device %s is not to be seen in %s" % (number, sys))
        self.name = os.path.basename(self.folder).replace("!", "/")
        self.kind = self._kind()

    @property
    def size(self):
        """Bytes, as the kernel sees them now."""
        return int(self.read("size") or 0) * SECTOR

    @property
    def start(self):
        """Where a partition begins on its disk, in bytes."""
        return int(self.read("start") or 0) * SECTOR

    @property
    def disk(self):
        """The disk that a partition is on."""
        with open(os.path.join(os.path.dirname(self.folder), "dev")) as file:
            return Block(file.read().strip(), self.sys)

    @property
    def lower(self):
        """The devices right below this one."""
        if self.kind == "partition":
            return [self.disk]
        folder = os.path.join(self.folder, "slaves")
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        found = []
        for name in names:
            with open(os.path.join(folder, name, "dev")) as file:
                found.append(Block(file.read().strip(), self.sys))
        return found

    @property
    def partitions(self):
        """The names of the partitions that the kernel knows on this device."""
        names = sorted(os.listdir(self.folder))
        return [each for each in names if os.path.exists(os.path.join(self.folder, each, "partition"))]

    @property
    def holders(self):
        """The names of the devices that are made of this one, such as dm-0 or md127."""
        folder = os.path.join(self.folder, "holders")
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    @property
    def serial(self):
        """The disk's serial number ("vol0abc..." of an EBS volume), None where it tells none."""
        for name in ("serial", "device/serial", "wwid", "device/wwid"):
            text = self.read(name)
            if text:
                return text
        return None

    @property
    def cloud_volume(self):
        """The id of the cloud's volume that this disk is, as its serial tells it; None where it tells none."""
        return volume_in(self.folder)

    def read(self, name):
        """Return one attribute's text, None where there is none."""
        return _read(os.path.join(self.folder, name))

    def node(self):
        """Return the path under /dev that leads to this device, None where none does."""
        names = ["/dev/" + self.name, "/dev/block/" + self.number]
        label = self.read("dm/name")
        if label:
            names.insert(0, "/dev/mapper/" + label)
        for path in names:
            if number_of(path) == self.number:
                return path
        for name in sorted(os.listdir("/dev")):
            if number_of("/dev/" + name) == self.number:
                return "/dev/" + name
        return None

    def _kind(self):
        if os.path.exists(os.path.join(self.folder, "partition")):
            return "partition"
        if os.path.isdir(os.path.join(self.folder, "dm")):
            uuid = self.read("dm/uuid") or ""
            uuid = re.sub(r"^part\d+-", "", uuid)  # kpartx: a partition on a multipath device or a RAID
            return next((kind for start, kind in _DM if uuid.startswith(start)), "dm")
        if os.path.isdir(os.path.join(self.folder, "md")):
            return "md"
        if re.match(r"loop\d+$", self.name):
            return "loop"
        for other in _OTHERS:
            if re.match(other + r"[\da-z]", self.name):
                return other
        return "disk" if self.name.startswith(DISKS) else self.name


def volume_of(serial):
    """Return the id of the volume of Amazon's block store that a serial is, None where it is none."""
    found = _VOLUME.match(serial.strip())
    return "vol-" + found.group(1) if found else None


def volume_in(folder):
    """Return the id of the volume that a disk is by its folder in /sys (NVMe, virtio), None where it shows none."""
    for name in ("serial", "device/serial"):
        volume = volume_of(_read(os.path.join(folder, name)) or "")
        if volume:
            return volume
    return None


def volumes(sys="/sys"):
    """Return {volume: name of its disk} for all disks whose serial is that of a volume."""
    folder = os.path.join(sys, "block")
    found = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        volume = volume_in(os.path.join(folder, name))
        if volume:
            found[volume] = name
    return found


def _read(path):
    try:
        with open(path, errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def number_of(path):
    """Return the "major:minor" of the block device at a path, None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISBLK(found.st_mode):
        return None
    return "%d:%d" % (os.major(found.st_rdev), os.minor(found.st_rdev))


def at(path, what="device"):
    """Return the Block at a path; raises Failed."""
    number = number_of(path)
    if number is None:
        there = "is no block device" if os.path.exists(path) else "is not there"
        raise Failed("%s %s %s: expected a path such as /dev/sdb1" % (what, path, there))
    return Block(number)


def all_below(block):
    """Return the numbers of a device and of everything that it lies on."""
    found, left = set(), [block]
    while left:
        each = left.pop()
        if each.number not in found:
            found.add(each.number)
            left += each.lower
    return found
