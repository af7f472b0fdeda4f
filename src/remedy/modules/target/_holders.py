"""Who holds which open file, and how: descriptors with their flags, what is mapped, and the unit behind a process."""

import fnmatch
import os
import re

from remedy.agent.kinds import Failed

_DELETED = " (deleted)"
_PATIENCE = 10  # seconds for asking all descriptors what they are; one on a dead mount does not answer


class Holder(object):
    """One descriptor of one process: `target` is its path as /proc shows it, `flags` are those of open(2)."""

    def __init__(self, pid, number, target, flags):
        self.pid = pid
        self.number = number
        self.target = target
        self.flags = flags

    @property
    def place(self):
        return "/proc/%s/fd/%s" % (self.pid, self.number)

    @property
    def reads(self):
        return self.flags & os.O_ACCMODE != os.O_WRONLY

    @property
    def writes(self):
        return self.flags & os.O_ACCMODE != os.O_RDONLY

    @property
    def appends(self):
        return bool(self.flags & os.O_APPEND)


def deleted(host):
    """Return ([(Holder, (device, inode, links, bytes on disk))] of deleted regular files, [processes not seen]).

    Memory files are left out, and what lies on a mount that does not answer.
    """
    return _numbered(host, lambda name: name.endswith(_DELETED) and not name.startswith("/memfd:"))


def holding(host, paths):
    """Return the same for the descriptors whose name is that of one of `paths`."""
    names = {os.path.basename(path) for path in paths}
    return named(host, lambda name: os.path.basename(name) in names)


def named(host, wanted):
    """Return the same for the descriptors whose name, as /proc shows it, is `wanted` (a function)."""
    return _numbered(host, wanted)


def named_by(target):
    """Return the path that a descriptor's target names: /proc says of a deleted file that it is one."""
    return target[: -len(_DELETED)] if target.endswith(_DELETED) else target


def mapped(inodes):
    """Return {inode: process} for those of the inodes that a process has mapped; the device is not compared.

    The device that maps shows is another one than stat's on btrfs and overlays: more is called mapped than is.
    """
    found = {}
    for pid in _pids():
        try:
            with open("/proc/%s/maps" % pid, "rb") as file:
                for line in file:
                    number = line.split(None, 5)[4]
                    if number != b"0" and int(number) in inodes:
                        found.setdefault(int(number), process(pid))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended, or is among those that cannot be seen
    return found


def started(pid):
    """Return when a process began (ticks since boot), None where it has ended: a number alone is used again."""
    try:
        with open("/proc/%s/stat" % pid, "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None


def process(pid):
    """Return a process as people know it: "nginx (pid 7)"."""
    try:
        with open("/proc/%s/comm" % pid, errors="replace") as file:
            return "%s (pid %s)" % (file.read().strip(), pid)
    except OSError:
        return "pid %s" % pid


def unit(pid):
    """Return the service of systemd that a process belongs to, else None."""
    try:
        with open("/proc/%s/cgroup" % pid, errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in sorted(lines, key=lambda line: "name=systemd" not in line):
        parts = line.split(":", 2)[-1].split("/")
        services = [part for part in parts if part.endswith(".service") and not part.startswith("user@")]
        if services:
            return services[-1]
    return None


def told(holders):
    """Return who holds a file, in one text: "nginx (pid 7, nginx.service) and 3 others"."""
    seen = {}
    for holder in holders:
        seen.setdefault(holder.pid, holder)
    first = next(iter(seen))
    service = unit(first)
    text = process(first)
    if service:
        text = "%s, %s)" % (text.rstrip(")"), service) if text.endswith(")") else "%s (%s)" % (text, service)
    more = len(seen) - 1
    return text + (" and %d other%s" % (more, "s" if more > 1 else "") if more else "")


def matches(path, patterns):
    """Say whether a path fits one of these: `**` goes through folders, `*` does not; without / the name counts."""
    for pattern in patterns:
        if "/" not in pattern:
            if fnmatch.fnmatchcase(os.path.basename(path), pattern):
                return True
        elif re.fullmatch(_expression(pattern), path, re.DOTALL):
            return True
    return False


def shown(size):
    """Return a size for people."""
    for name in ("B", "KiB", "MiB"):
        if size < 1024:
            return "%d %s" % (size, name) if name == "B" else "%.1f %s" % (size, name)
        size /= 1024.0
    return "%.1f GiB" % size


def _expression(pattern):
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    known = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(known.get(part) or re.escape(part) for part in parts)


def _pids():
    return [name for name in os.listdir("/proc") if name.isdigit()]


def _numbered(host, wanted):
    found, unseen = [], []
    for pid in _pids():
        try:
            found.extend(_descriptors(pid, wanted))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended
        except PermissionError:
            unseen.append(process(pid))
    if not found:
        return [], unseen
    places = [holder.place for holder in found]
    try:
        numbers = host.in_child(lambda: [_about(place) for place in places], _PATIENCE)
    except Failed:
        numbers = [_alone(host, place) for place in places]
    return [(each, tuple(numbers[at])) for at, each in enumerate(found) if numbers[at]], unseen


def _descriptors(pid, wanted):
    folder = "/proc/%s/fd" % pid
    for number in os.listdir(folder):
        try:
            target = os.readlink(os.path.join(folder, number))
            if target.startswith("/") and wanted(target):
                yield Holder(pid, number, target, _flags(pid, number))
        except FileNotFoundError:
            continue  # closed


def _flags(pid, number):
    with open("/proc/%s/fdinfo/%s" % (pid, number)) as file:
        for line in file:
            if line.startswith("flags:"):
                return int(line.split()[1], 8)
    return os.O_RDWR  # not told: the careful answer


def _about(place):
    """Return [device, inode, links, bytes on disk] of a regular file, [] for anything else."""
    try:
        about = os.stat(place)
    except OSError:
        return []
    if about.st_mode & 0o170000 != 0o100000:
        return []
    return [about.st_dev, about.st_ino, about.st_nlink, about.st_blocks * 512]


def _alone(host, place):
    try:
        return host.in_child(lambda: _about(place), 1)
    except Failed:
        return []
