"""Paths as bytes and as text, and what to say where one could not be worked on."""

import errno
import os

from remedy.agent.kinds import Failed

_HINTS = {
    errno.EPERM: "; use become, or a user that may",
    errno.EACCES: "; use become, or a user that may",
    errno.EBUSY: "; a mount point can only be overwritten, with unsafe_writes: true",
    errno.ETXTBSY: "; a program that runs can only be replaced, not overwritten",
}


def native(word):
    """Return a path or word as bytes, whatever the locale: Python 3.6 under LC_ALL=C refuses what is not ASCII."""
    return word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogateescape")


def text(path):
    """Return a path as text; bytes that are not UTF-8 survive the way back."""
    return path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path


def failed(error, doing, path):
    """Return the Failed that says why an OSError stopped `doing` something at a path, with its cause."""
    from remedy.agent import faults

    where = text(path)
    about = where if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS) else None
    try:
        why = faults.explain(OSError(error.errno, error.strerror, about))
    except ValueError:  # a path that this locale's Python cannot look at
        why = faults.explain(OSError(error.errno, error.strerror))
    hint = _HINTS.get(error.errno, "")
    if error.errno == errno.EPERM and os.geteuid() == 0:
        hint = "; lsattr shows whether it is immutable"
    return Failed("cannot %s %s: %s%s" % (doing, where, why.message, hint), cause=why.cause)
