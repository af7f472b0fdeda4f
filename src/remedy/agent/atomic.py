"""The one way to write a file: a sibling takes its place in one step, or the old file stands as it is."""

import errno
import os
import stat

from remedy.agent.kinds import Failed
from remedy.agent.paths import failed, native, text

SPARE = 1 << 20  # bytes that must stay free beside a file that is overwritten in place
_NAME_MAX = 255
# Where a file cannot be replaced: it is a mount point, or its folder is closed to us and it is not.
_IN_PLACE = (errno.EPERM, errno.EACCES, errno.EBUSY, errno.ETXTBSY, errno.EXDEV)
_SIGNATURES = ("security.ima", "security.evm")  # of the old content; the kernel makes them anew


def umask():
    """Return the process's umask."""
    now = os.umask(0o077)
    os.umask(now)
    return now


def xattrs(target):
    """Return {name: bytes} of the extended attributes, ACL and label included, of a path or a descriptor.

    A link's own, not those of what it leads to.
    """
    follow = {} if isinstance(target, int) else {"follow_symlinks": False}
    try:
        names = os.listxattr(target, **follow)
        return {name: os.getxattr(target, name, **follow) for name in names if name not in _SIGNATURES}
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENODATA, errno.ENOSYS):
            return {}
        raise


def dress(target, attributes):
    """Give a path or descriptor exactly these extended attributes; labels that it has besides stay."""
    follow = {} if isinstance(target, int) else {"follow_symlinks": False}
    now = xattrs(target)
    for name in now:
        if name not in attributes and not name.startswith("security."):
            os.removexattr(target, name, **follow)
    for name, value in attributes.items():
        if now.get(name) != value:
            os.setxattr(target, name, value, **follow)


def sibling(path):
    """Return an unused name beside a path."""
    folder, name = os.path.split(native(path))
    tail = b".remedy-" + os.urandom(8).hex().encode("ascii")
    return os.path.join(folder, b"." + name[: _NAME_MAX - 1 - len(tail)] + tail)


def sync(folder):
    """Make a folder's entries last through a loss of power."""
    opened = os.open(native(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some FUSE file systems cannot
            raise
    finally:
        os.close(opened)


def place(path, make):
    """Let `make(sibling)` make something beside a path, then put it there; in no case is a sibling left."""
    name = native(path)
    beside = sibling(name)
    try:
        make(beside)
        os.rename(beside, name)
    finally:
        try:
            os.unlink(beside)
        except OSError:
            pass  # it took its place, or was never made
    sync(os.path.dirname(name))


def write(path, chunks, mode=None, uid=None, gid=None, attributes=None, unsafe=False, proof=None):
    """Replace what is at a canonical path by a file with this content; see Files.write. Raises Failed."""
    name = native(path)
    proved = [proof is None]

    def make(beside):
        _fill(beside, chunks, name, old, mode, uid, gid, attributes)
        if proof is not None:
            proof(text(beside))
            proved[0] = True

    try:
        if unsafe:
            chunks = [b"".join(chunks)]  # they may be needed twice
        old = _old(name)
        try:
            place(name, make)
        except OSError as error:
            if not unsafe or old is None or error.errno not in _IN_PLACE or not proved[0]:
                raise
            _overwrite(name, chunks[0], mode, uid, gid)
    except OSError as error:
        raise failed(error, "write", path)


def _old(name):
    try:
        found = os.lstat(name)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    if stat.S_ISLNK(found.st_mode):
        return None
    if not stat.S_ISREG(found.st_mode):
        raise Failed("cannot write %s: it is there, and not a regular file; choose another path" % text(name))
    return found


def _fill(beside, chunks, name, old, mode, uid, gid, attributes):
    opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for chunk in chunks:
            _all(opened, chunk)
        if old is not None:
            uid = old.st_uid if uid is None else uid
            gid = old.st_gid if gid is None else gid
            mode = stat.S_IMODE(old.st_mode) if mode is None else mode
            attributes = xattrs(name) if attributes is None else attributes
        _own(opened, uid, gid)
        if attributes is not None:
            dress(opened, attributes)
        # last: a change of owner clears setuid, and an ACL brings a mask that the mode must agree with
        os.fchmod(opened, 0o666 & ~umask() if mode is None else _number(mode))
        os.fsync(opened)
    finally:
        os.close(opened)


def _overwrite(name, content, mode, uid, gid):
    free = os.statvfs(name)
    space = free.f_bavail * free.f_frsize
    if space < len(content) + SPARE:
        raise Failed(
            "cannot overwrite %s in place: %d bytes are free, %d must be, or it might be left cut off;"
            " free some first" % (text(name), space, len(content) + SPARE),
            cause="disk_full",
        )
    opened = os.open(name, os.O_RDWR | os.O_CLOEXEC)
    try:
        with open(opened, "rb", closefd=False) as stream:
            old = stream.read()
        try:
            _from_start(opened, content)
        except BaseException:
            _from_start(opened, old)
            raise
        _own(opened, uid, gid)
        if mode is not None and stat.S_IMODE(os.fstat(opened).st_mode) != _number(mode):
            os.fchmod(opened, _number(mode))
    finally:
        os.close(opened)


def _from_start(opened, content):
    os.lseek(opened, 0, os.SEEK_SET)
    _all(opened, content)
    os.ftruncate(opened, len(content))
    os.fsync(opened)


def _all(opened, chunk):
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(opened, rest) :]


def _own(opened, uid, gid):
    now = os.fstat(opened)
    if uid not in (None, now.st_uid) or gid not in (None, now.st_gid):
        os.fchown(opened, -1 if uid is None else uid, -1 if gid is None else gid)


def _number(mode):
    return mode if isinstance(mode, int) else int(mode, 8)
