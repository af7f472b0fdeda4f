"""A path held fast: a folder that its owner swaps for a link meanwhile leads nobody astray.

root often works in folders that belong to others, who may rename and link there between a look and a change.
"""

import os
import stat
from errno import ESTALE

from remedy.agent.paths import native

_HERE = b"."
_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def hold(path):
    """Return (descriptor of the folder, name in it) of a canonical path, entered step by step, never by a link.

    Close the descriptor. Raises OSError: ENOTDIR or ELOOP where a folder has become a link.
    """
    parts = [part for part in native(path).split(b"/") if part]
    folder = os.open(b"/", _STEP)
    for part in parts[:-1]:
        try:
            inner = os.open(part, _STEP, dir_fd=folder)
        finally:
            os.close(folder)
        folder = inner
    return folder, parts[-1] if parts else _HERE


def set_mode(folder, name, mode):
    """Give a mode to what has this name in a folder (a descriptor), and to nothing that a link there leads to."""
    held = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        if stat.S_ISLNK(os.fstat(held).st_mode):
            return
        try:
            os.chmod("/proc/self/fd/%d" % held, mode)  # fchmod refuses such a descriptor
        except FileNotFoundError:  # no /proc here
            os.chmod(name, mode, dir_fd=folder)
    finally:
        os.close(held)


def read(path, found, most):
    """Return at most so many bytes of a file that `found` (its lstat) describes; OSError where it is another now."""
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(opened, "rb") as stream:
        now = os.fstat(opened)
        if (now.st_dev, now.st_ino) != (found.st_dev, found.st_ino):
            raise OSError(ESTALE, "it was replaced meanwhile", path)
        return stream.read(most)
