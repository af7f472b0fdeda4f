"""The files of journald: what their headers say, and who has them open."""

import os
import re
import struct
import time

from remedy.modules.target import _holders

STEP = 8 << 20  # journald allocates in such steps, and a new file takes the first at once (journal-file.c)
_ARCHIVED = re.compile(r".+@(?:[0-9a-f]{32}-)?[0-9a-f]{16}-[0-9a-f]{16}\.journal~?")
_ACTIVE = re.compile(r"[^@]+\.journal")
# The file's header, at places that systemd promises to keep ("Journal File Format", systemd.io).
_HEADER = struct.Struct("<8s144xQ24xQQ")  # signature, n_entries, realtime of the head and of the tail


def archived(name):
    """Say whether a file's name is that of an archived journal."""
    return _ARCHIVED.fullmatch(name) is not None


def active(name):
    """Say whether a file's name is that of a journal that is written."""
    return _ACTIVE.fullmatch(name) is not None


class Journal(object):
    """A journal file: what it takes, what its going would free, and the times of its entries.

    Raises FileNotFoundError.
    """

    def __init__(self, path):
        self.path = path
        self.place = os.path.dirname(path)
        self.about = os.lstat(path)
        self.active = active(os.path.basename(path))
        self.size = self.about.st_blocks * 512
        self.gain = max(0, self.size - STEP) if self.active else self.size
        self.entries, self.oldest, self.newest = None, None, self.about.st_mtime
        with open(path, "rb") as file:
            head = file.read(_HEADER.size)
        if len(head) == _HEADER.size and head.startswith(b"LPKSHHRH"):
            _, self.entries, oldest, newest = _HEADER.unpack(head)
            if self.entries and newest:
                self.oldest, self.newest = oldest / 1e6, newest / 1e6

    @property
    def leftover(self):
        """Whether it is only what a rotation of ours leaves: taking it would make the next one, time and again."""
        return not self.active and self.entries is not None and self.entries <= 1

    @property
    def identity(self):
        # What is active grows, and journald cuts off what it has not used when it archives it.
        return [self.about.st_dev, self.about.st_ino, None if self.active else self.about.st_size]

    @property
    def span(self):
        if self.oldest is None:
            return "last written %s UTC" % _moment(self.newest)
        return "%d entries from %s to %s UTC" % (self.entries, _moment(self.oldest), _moment(self.newest))


def held(host, paths):
    """Return {path: [Holder]} for those of the journals that somebody has open and would not let go.

    Who follows the journal and watches its folder (`journalctl -f`, what ships logs) is left out: such a one
    closes a file when it is deleted (sd-journal.c), and never before.
    """
    inodes = {}
    for path in paths:
        try:
            about = os.lstat(path)
        except FileNotFoundError:
            continue
        inodes[about.st_dev, about.st_ino] = path
    found, follows = {}, {}
    for holder, numbers in _holders.holding(host, list(inodes.values()))[0] if inodes else ():
        path = inodes.get(tuple(numbers[:2]))
        if path is None:
            continue
        asked = holder.pid, os.path.dirname(path)
        if not holder.writes and asked not in follows:
            follows[asked] = _watches(*asked)
        if holder.writes or not follows[asked]:
            found.setdefault(path, []).append(holder)
    return found


def hidden(host, place):
    """Return the Holders of what is deleted below a folder, and takes its space until journald closes it."""
    return [
        holder
        for holder, _ in _holders.deleted(host)[0]
        if holder.writes and holder.target.startswith(place + "/")
    ]


def working(holder):
    """Say whether journald still brings to the disk what it archived: it closes nothing while it does.

    The rest of journald is one thread; that work has one of its own (journal_file_set_offline).
    """
    try:
        return len(os.listdir("/proc/%s/task" % holder.pid)) > 1
    except OSError:
        return False  # it ended


def _watches(pid, folder):
    """Say whether a process is told of what happens in a folder."""
    wanted = "ino:%x" % os.stat(folder).st_ino
    infos = "/proc/%s/fdinfo" % pid
    try:
        for number in os.listdir(infos):
            with open(os.path.join(infos, number)) as file:
                for line in file:
                    if line.startswith("inotify ") and wanted in line.split():
                        return True
    except OSError:
        pass  # it ended, or has just closed it
    return False


def _moment(seconds):
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
