"""Files that take room: their blocks are really allocated, and a failure leaves what was written to `lift`."""

import errno
import os

from remedy.agent.atomic import native
from remedy.agent.kinds import Failed

BLOCK = 4096
_LARGEST = 1 << 40


def room(path):
    """Return (bytes free for root, bytes free for others, all bytes that others could use, free inodes)."""
    sizes = os.statvfs(native(path))
    unit = sizes.f_frsize
    used = sizes.f_blocks - sizes.f_bfree
    return sizes.f_bfree * unit, sizes.f_bavail * unit, (used + sizes.f_bavail) * unit, sizes.f_ffree


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
