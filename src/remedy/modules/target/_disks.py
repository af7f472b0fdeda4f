"""How large a disk really is, where the kernel does not follow by itself: SCSI disks and loop devices."""

import array
import fcntl
import os
import struct

_SG_IO = 0x2285
_READ_CAPACITY_16 = b"\x9e\x10" + b"\0" * 11 + b"\x20" + b"\0\0"
_TIMEOUT_MS = 10000


def device_size(block):
    """Return the bytes that the device itself has, None where it cannot be asked.

    virtio, NVMe and Xen disks tell the kernel of a new size by themselves: it is the one that the kernel has.
    """
    if block.kind == "loop":
        return _backing_size(block)
    if block.name.startswith("sd"):
        return _capacity(block)
    return block.size


def _backing_size(block):
    """A loop device takes whole sectors of its file; None where the file is not to be seen from here."""
    path = block.read("loop/backing_file") or ""
    limit = int(block.read("loop/sizelimit") or 0)
    try:
        size = os.stat(path).st_size - int(block.read("loop/offset") or 0)
    except OSError:
        return None
    return (min(size, limit) if limit else size) // 512 * 512


def _capacity(block):
    """READ CAPACITY (16), by SG_IO: what the disk says, without the kernel taking it over."""
    node = block.node()
    if node is None:
        return None
    command, answer, sense = (array.array("B", part) for part in (_READ_CAPACITY_16, bytes(32), bytes(32)))
    head = struct.pack(
        "@iiBBHIPPPIIiPBBBBHHiII", ord("S"), -3, 16, 32, 0, 32,
        answer.buffer_info()[0], command.buffer_info()[0], sense.buffer_info()[0], _TIMEOUT_MS,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    )  # fmt: skip
    frame = bytearray(head)
    try:
        descriptor = os.open(node, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.ioctl(descriptor, _SG_IO, frame, True)
    except OSError:
        return None  # no SCSI after all, or a transport that lets nobody ask
    finally:
        os.close(descriptor)
    last, sector = struct.unpack(">QI", answer.tobytes()[:12])
    return (last + 1) * sector if sector else None
