"""The folder that a fault puts its files in: one that is there, or one named remedy-drill, made for it."""

import os
import re

from remedy.agent.kinds import Failed
from remedy.agent.paths import native
from remedy.modules.target.faults._fault import MARK


def real(written):
    """Return the canonical path of a folder that may still have to be made."""
    return os.path.realpath(native(written)).decode("utf-8", "surrogateescape")


def ours(written):
    """Say whether the folder is one that `make` made: named remedy-drill, and there."""
    return os.path.basename(real(written)) == MARK and os.path.isdir(native(real(written)))


def make(written):
    """Make the folder if it is one of ours; raises Failed for another that is not there."""
    path = real(written)
    if os.path.isdir(native(path)):
        return
    if os.path.basename(path) != MARK:
        raise Failed("there is no folder %s on this host; only one named %s is made" % (written, MARK))
    os.mkdir(native(path), 0o755)


def left(written):
    """Say whether the folder is one of ours, and empty: nobody needs it any more."""
    return ours(written) and not os.listdir(native(real(written)))


def family(path):
    """Return the files of a log: itself, and what became of it, such as .log.1.gz or .log-20240131."""
    folder, name = os.path.split(path)
    ours = re.compile(re.escape(name) + r"([.-].*)?")
    try:
        names = os.listdir(native(folder))
    except FileNotFoundError:
        return []
    found = [each.decode("utf-8", "surrogateescape") for each in names]
    return [os.path.join(folder, each) for each in sorted(found) if ours.fullmatch(each)]


def drop(written):
    """Remove the folder if nobody needs it any more."""
    if left(written):
        os.rmdir(native(real(written)))
