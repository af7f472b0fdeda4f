"""Files that take room: their blocks are really allocated, and a failure leaves what was written to `lift`."""

import errno
import os
import time

from remedy.agent.kinds import Failed
from remedy.agent.paths import native

BLOCK = 4096
_LARGEST = 1 << 40
_PIECE = 1 << 20
_SLACK = 60  # seconds
_LINE = b"remedy drill: what nobody needs any more\n"


def room(path):
    """Return (bytes free for root, bytes free for others, all bytes that others could use, free inodes)."""
    sizes = os.statvfs(native(path))
    unit = sizes.f_frsize
    used = sizes.f_blocks - sizes.f_bfree
    return sizes.f_bfree * unit, sizes.f_bavail * unit, (used + sizes.f_bavail) * unit, sizes.f_ffree


def closed(path):
    """Return how many bytes at most are free and can be written by nobody."""
    sizes = os.statvfs(native(path))
    # ext4 keeps 2 % back for its own administration, at most 4096 clusters (ext4_calculate_resv_clusters).
    return min(sizes.f_blocks // 50, 4096) * sizes.f_frsize


def folder(written):
    """Return the canonical path of a folder that is there; raises Failed."""
    path = os.path.realpath(native(written)).decode("utf-8", "surrogateescape")
    if not os.path.isdir(native(path)):
        raise Failed("%s is no folder on this host" % written)
    return path


def allocate(path, size):
    """Make a file of so many bytes, or let it grow to them; return its size, less where there is no room."""
    opened = os.open(
        native(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        now = os.fstat(opened).st_size
        piece = _LARGEST
        while now < size and piece >= BLOCK:
            piece = min(piece, max(size - now, 1))
            try:
                os.posix_fallocate(opened, now, piece)
                now += piece
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EINTR):
                    raise
                piece //= 2
        os.fsync(opened)
        return now
    finally:
        os.close(opened)


def write(path, size, age):
    """Make a file of so many bytes of text, last written and read `age` seconds ago."""
    piece = _LINE * (_PIECE // len(_LINE))
    with open(native(path), "wb", buffering=0, opener=_fresh) as file:
        left = size
        while left > 0:
            left -= file.write(piece[:left])
    then = time.time() - age
    os.utime(native(path), (then, then))


def _fresh(path, flags):
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)


def is_old(path, size, age):
    """Say whether a file holds at least so many bytes, and was last written at least so long ago."""
    try:
        found = os.lstat(native(path))
    except FileNotFoundError:
        return False
    return found.st_size >= size and found.st_mtime <= time.time() - age + _SLACK


def last_blocks(path):
    """Write single blocks to a file until there is really nothing left."""
    opened = os.open(native(path), os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while os.write(opened, bytes(BLOCK)):
            pass
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
    finally:
        os.close(opened)


def size_of(path):
    """Return a file's bytes, None where there is no regular file."""
    try:
        found = os.lstat(native(path))
    except FileNotFoundError:
        return None
    return found.st_size if os.path.isfile(native(path)) and not os.path.islink(native(path)) else None


def remove(path):
    """Remove a file if it is there."""
    try:
        os.unlink(native(path))
    except FileNotFoundError:
        pass
