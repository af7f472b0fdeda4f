"""From what Python raises to what an operator can use: a cause, and a sentence."""

import errno
import os

from remedy.agent.kinds import Failed

_FRAMES = 6  # of a traceback: enough to find the place


def judge(error):
    """Return (message, cause, return values) for what a module let escape."""
    if isinstance(error, OSError):
        failed = explain(error)
        return failed.message, failed.cause, failed.result
    return trace(error)


def explain(error):
    """Return the Failed that says what an OSError means."""
    path = error.filename if error.filename is not None else error.filename2
    if isinstance(path, bytes):
        path = path.decode("utf-8", "surrogateescape")
    if isinstance(path, int):
        path = None
    number = error.errno
    if number in (errno.ENOSPC, errno.EDQUOT):
        return _no_space(path, number)
    if number == errno.EROFS:
        place = " at %s" % _mount(path) if path else ""
        return Failed("Read-only file system%s: %s" % (place, path or error.strerror), cause="read_only")
    if number in (errno.EACCES, errno.EPERM):
        who = "uid %d" % os.geteuid()
        return Failed("%s for %s%s" % (error.strerror, who, (path and ": " + path) or ""), cause="permission")
    cause = "timeout" if number == errno.ETIMEDOUT else None
    return Failed("%s%s" % (error.strerror or error, (path and ": " + path) or ""), cause=cause)


def _no_space(path, number):
    if number == errno.EDQUOT:
        return Failed("Disk quota exceeded%s" % ((path and ": " + path) or ""), cause="disk_full")
    if path is None:
        return Failed("No space left on device", cause="disk_full")
    mount = _mount(path)
    room = os.statvfs(mount)
    if room.f_files and not room.f_favail:
        text = "No inodes left: %s has none free (0 of %d)" % (mount, room.f_files)
        return Failed(text, cause="no_inodes")
    unit = room.f_frsize / 1e6
    sizes = (mount, room.f_bavail * unit, room.f_blocks * unit)
    return Failed("No space left: %s is full (%.0f of %.0f MB free)" % sizes, cause="disk_full")


def _mount(path):
    """Return the mount point that a path (or what there is of it) lies on."""
    path = os.path.abspath(path)
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    path = os.path.realpath(path)
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


def trace(error):
    """Return (message, cause, return values) for what a module did not foresee."""
    from traceback import format_exception

    lines = format_exception(type(error), error, error.__traceback__)
    text = "%s: %s" % (type(error).__name__, error)
    return text, None, {"exception": "".join(lines[:1] + lines[1:][-_FRAMES:])}
