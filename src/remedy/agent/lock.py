"""One run at a time changes a host: a lock on the folder /run itself, which makes no file and needs no rights."""

import fcntl
import os

PLACE = "/run"
UNKNOWN = "unknown holder"


def acquire():
    """Return the descriptor that holds the host's lock, None when another process has it.

    Close it to free the lock; no other process may inherit it. Raises OSError where there is no such folder.
    """
    descriptor = os.open(PLACE, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def holder():
    """Return the label of the run that holds the lock, as it stands in its command line; None when it is free."""
    found = os.stat(PLACE)
    place = "%02x:%02x:%d" % (os.major(found.st_dev), os.minor(found.st_dev), found.st_ino)
    try:
        with open("/proc/locks") as file:
            lines = [line.split() for line in file]
    except OSError:
        return UNKNOWN
    # "1: FLOCK ADVISORY WRITE 1234 00:17:123 0 EOF"; waiting ones have "->" as the second word.
    locks = [words for words in lines if len(words) > 5 and words[1] == "FLOCK"]
    exact = [words[4] for words in locks if words[5] == place]
    # On overlays and in some containers the device here is not the one in the list.
    alike = [words[4] for words in locks if words[5].endswith(":%d" % found.st_ino)]
    for pid in exact or alike:
        label = _label(pid)
        if label is not None:
            return label
    return UNKNOWN


def _label(pid):
    """Return the last argument of an agent's command line, None when the process is none."""
    try:
        with open("/proc/%s/cmdline" % pid, "rb") as file:
            words = file.read().rstrip(b"\0").split(b"\0")
    except OSError:
        return None
    return words[-1].decode("utf-8", "replace") if b"-c" in words[:-3] else None
