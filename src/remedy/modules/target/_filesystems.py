"""How large a file system is, and how large it could be: from its superblock or the kernel's own word.

Each answer is a dict: type, size (bytes), grain (bytes; it grows in steps of these), slack (bytes that may be left
over at the end of its device because nothing fits into them), uuid, label, trouble (why it is not to be grown, or
None), devices (how many it is on).
"""

import fcntl
import os
import struct

from remedy.agent.kinds import Failed

EXT = ("ext2", "ext3", "ext4")
KNOWN = EXT + ("xfs", "btrfs")
_XFS_GEOMETRY = 0x80705864  # _IOR('X', 100, struct xfs_fsop_geom_v1), 112 bytes
_XFS_LEAST = 64  # XFS_MIN_AG_BLOCKS: a last group that has fewer is not made
_BTRFS_INFO = 0x8400941F  # _IOR(0x94, 31, struct btrfs_ioctl_fs_info_args)
_BTRFS_DEVICE = 0xD000941E  # _IOWR(0x94, 30, struct btrfs_ioctl_dev_info_args)
_SYS_RESOURCE = 24


def of(kind, mount, node):
    """Return what is known of a mounted file system, or of an unmounted ext one (mount None); raises Failed."""
    if kind in EXT:
        return _ext(node)
    if mount is None:
        raise Failed("%s holds %s, which grows only while it is mounted: mount it first" % (node, kind))
    if kind == "xfs":
        return _xfs(mount)
    if kind == "btrfs":
        return _btrfs(mount)
    raise Failed("%s is not known here: only %s are grown" % (kind, ", ".join(KNOWN)))


def found_on(node):
    """Return the type of the file system whose superblock a device carries, None where it is not known."""
    head = _piece(node, 0, 4)
    if head == b"XFSB":
        return "xfs"
    if _piece(node, 0x10040, 8) == b"_BHRfS_M":
        return "btrfs"
    return "ext4" if _piece(node, 1024 + 56, 2) == b"\x53\xef" else None


def why_not_alone(host, block, node):
    """Return why an unmounted device is more, or other, than the file system whose superblock it carries, else None.

    A superblock outlives what it belonged to: e2fsck would repair it, and destroy what lies there by now.
    """
    if block.partitions:
        return "it has partitions (%s): name the one that is meant" % ", ".join(block.partitions)
    if block.holders:
        return "it is in use by %s" % ", ".join(block.holders)
    told = host.run(["blkid", "--probe", "--output", "export", node], c_locale=True, timeout=30, ok=None)
    lines = told.stdout.decode("utf-8", "replace").splitlines()
    known = dict(line.split("=", 1) for line in lines if "=" in line)
    if known.get("PTTYPE"):
        return "it carries a partition table (%s), too: name the partition that is meant" % known["PTTYPE"]
    if told.rc or known.get("USAGE") != "filesystem" or known.get("TYPE") not in KNOWN:
        said = known.get("TYPE") or told.stderr.decode("utf-8", "replace").strip() or "rc %d" % told.rc
        return "blkid does not find that file system alone on it (%s): look what it is" % said
    return None


def may_grow_online(status="/proc/self/status"):
    """Say whether this process may grow an ext file system while it is mounted: the kernel asks for a capability."""
    with open(status) as file:
        for line in file:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> _SYS_RESOURCE & 1)
    return True


def _ext(node):
    block = _piece(node, 1024, 1024)
    if len(block) < 1024 or block[56:58] != b"\x53\xef":
        raise Failed("%s carries no ext file system" % node)
    (low,) = struct.unpack_from("<I", block, 4)
    (log,) = struct.unpack_from("<I", block, 24)
    per_group, _, inodes = struct.unpack_from("<III", block, 32)
    (state,) = struct.unpack_from("<H", block, 58)
    compatible, incompatible = struct.unpack_from("<II", block, 92)
    (inode_size,) = struct.unpack_from("<H", block, 88)
    (reserved,) = struct.unpack_from("<H", block, 206)
    high = struct.unpack_from("<I", block, 0x150)[0] if incompatible & 0x80 else 0
    grain = 1024 << log
    size = (high << 32 | low) * grain
    groups = -(-(high << 32 | low) // max(1, per_group))
    table = -(-inodes * (inode_size or 128) // grain)
    descriptors = -(-groups * (64 if incompatible & 0x80 else 32) // grain)
    # What resize2fs wants of the last group: its own administration, and 50 blocks for data.
    slack = (2 + table + 1 + descriptors + reserved + 50) * grain
    trouble = None
    if state & 2:
        trouble = "it has errors: unmount it and let e2fsck repair it first"
    return {
        "type": "ext4" if incompatible & 0x40 else ("ext3" if compatible & 4 else "ext2"),
        "size": size,
        "grain": grain,
        "slack": slack,
        "uuid": _uuid(block[104:120]),
        "label": block[120:136].split(b"\0")[0].decode("utf-8", "replace"),
        "trouble": trouble,
        "devices": 1,
    }


def _xfs(mount):
    answer = bytearray(112)
    _ask(mount, _XFS_GEOMETRY, answer)
    (grain,) = struct.unpack_from("<I", answer, 0)
    blocks, real_time_blocks = struct.unpack_from("<QQ", answer, 32)
    trouble = "it has a real-time device" if real_time_blocks else None
    return {
        "type": "xfs",
        "size": blocks * grain,
        "grain": grain,
        "slack": _XFS_LEAST * grain,
        "uuid": _uuid(answer[64:80]),
        "label": None,
        "trouble": trouble,
        "devices": 1,
    }


def _btrfs(mount):
    answer = bytearray(1024)
    _ask(mount, _BTRFS_INFO, answer)
    last, count = struct.unpack_from("<QQ", answer, 0)
    total, path = 0, None
    for number in range(1, last + 1):
        device = bytearray(4096)
        struct.pack_into("<Q", device, 0, number)
        try:
            _ask(mount, _BTRFS_DEVICE, device)
        except OSError:
            continue  # numbers of devices that were taken out
        total += struct.unpack_from("<Q", device, 32)[0]
        path = bytes(device[3072:]).split(b"\0")[0].decode("utf-8", "replace")
        devid = number
    if path is None:
        raise Failed("btrfs tells of no device of %s" % mount)
    return {
        "type": "btrfs",
        "size": total,
        "grain": 4096,
        "slack": 1 << 16,
        "uuid": _uuid(answer[16:32]),
        "label": None,
        "trouble": "it is on %d devices" % count if count != 1 else None,
        "devices": count,
        "device": path,
        "devid": devid,
    }


def btrfs_device(uuid, sys="/sys"):
    """Return the "major:minor" of the one device of a mounted btrfs, None where /sys does not tell it.

    The path that btrfs tells is the one it was mounted by, which may lead to another device since (lvrename).
    """
    folder = os.path.join(sys, "fs/btrfs", uuid, "devices")
    try:
        [name] = os.listdir(folder)
        with open(os.path.join(folder, name, "dev")) as file:
            return file.read().strip()
    except (OSError, ValueError):
        return None


def _uuid(raw):
    # The module uuid of Python 3.6 looks for libuuid when it is imported: it runs ldconfig, or gcc.
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _ask(mount, request, answer):
    descriptor = os.open(mount, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, request, answer, True)
    finally:
        os.close(descriptor)


def _piece(node, place, size):
    with open(node, "rb", buffering=0) as file:
        file.seek(place)
        return file.read(size)
