"""Free the space of deleted logs that a process still holds open, without touching the process.

A deleted file takes its space until the last process closes it. It is emptied through the open descriptor
only if it is surely a log: every descriptor of it is write-only, no process has it mapped, and its former
path matches `log_paths`. Everything else is kept, with its size, who holds it and the unit to restart; a
database's temporary files are read as well as written, and stay. What the process goes on to write into an
emptied file takes space again and nobody can read it: restart its unit when that suits. Works only as root.
Cannot be undone. Returns `files` (path, size, processes, unit, taken, reason), the largest first, and
`units` (unit, size): who should be restarted, and how much deleted files of theirs took when they were found.
"""

import os
import re
import stat

from remedy.agent.kinds import Failed, Item, Param, Sweep
from remedy.modules.target import _holders, _mounts, _protected
from remedy.modules.target._looking import READS, Listing
from remedy.modules.target._open_files import _kernel

PARAMS = (
    Param(
        "log_paths",
        "list",
        default=("/var/log/**", "*.log"),
        elements="str",
        help="What is a log: shell patterns for the former path (** goes through folders) or, without /, for the name.",
    ),
    Param("min_size", "size", default=1 << 20, help="Only files that take at least this much of the disk."),
    READS,
)

EXAMPLES = """
- open_deleted: {reads: true}
  register: held
- open_deleted: {log_paths: ["/var/log/**", "/srv/*/logs/*"], min_size: 10M}
"""

# A nameless temporary file (O_TMPFILE), and the write-ahead log of a storage engine such as RocksDB.
_NO_LOG = re.compile(r"#\d+|\d+\.log")


def kind(params):
    return Look if params.get("reads") else OpenDeleted


class OpenDeleted(Sweep):
    happened = "emptied"
    deadline = 120
    _told = None

    def key(self):
        return "deleted files held open"

    def find(self):
        if os.geteuid() != 0:
            raise Failed(
                "deleted files are swept only as root: nobody else sees who holds them; add become: true",
                cause="permission",
            )
        files = self._look()
        items = []
        for identity, file in sorted(files.items(), key=lambda pair: -pair[1].size):
            if file.size >= self.params["min_size"]:
                take, reason = file.take, file.reason
                items.append(Item(file.id, take, reason, file.size, list(identity) + [file.holders_known()]))
        if self._told is None:
            self._told = [file for file in files.values() if file.size >= self.params["min_size"]]
        return items

    def drain(self, item):
        device, inode, known = item.identity
        file = self._look().get((device, inode))
        still = (
            []
            if file is None
            else [each for each in file.holders_known() if each in [list(k) for k in known]]
        )
        if not still:
            return "it changed since it was looked at: no one holds it as before"
        if not file.take:
            return file.reason
        pid, _, number = still[0]
        try:
            descriptor = os.open(
                "/proc/%s/fd/%s" % (pid, number), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
            )
        except FileNotFoundError:
            return "it was closed meanwhile"
        except PermissionError as error:
            return "it cannot be written: %s" % error.strerror.lower()
        try:
            about = os.fstat(descriptor)
            if (
                (about.st_dev, about.st_ino) != (device, inode)
                or about.st_nlink
                or not stat.S_ISREG(about.st_mode)
            ):
                return "it changed since it was looked at"
            os.ftruncate(descriptor, 0)
            return (about.st_blocks - os.fstat(descriptor).st_blocks) * 512
        finally:
            os.close(descriptor)

    def returns(self, taken, kept):
        names = {item.id for item in taken}
        files = sorted(self._told or (), key=lambda file: -file.size)
        units = {}
        for file in files:
            if file.unit:
                units[file.unit] = units.get(file.unit, 0) + file.size
        return {
            "files": [file.told(file.id in names) for file in files],
            "units": [
                {"unit": name, "size": size} for name, size in sorted(units.items(), key=lambda u: -u[1])
            ],
        }

    def _look(self):
        """Return {(device, inode): _File} of all deleted files, each judged."""
        held, unseen = _holders.deleted(self.host)
        files = {}
        for holder, (device, inode, links, size) in held:
            if not links:  # with another name left it is no deleted file, and emptying it would be a loss
                files.setdefault((device, inode), _File(inode, size)).holders.append(holder)
        maps = _holders.mapped({inode for _, inode in files})
        kernel = dict(_kernel())
        protected = _protected.Protected(_mounts.mounts())
        for file in files.values():
            file.judge(self.params["log_paths"], maps, kernel, unseen, protected)
        return files


class Look(Listing):
    sweep = OpenDeleted


class _File(object):
    """A deleted file and all who hold it."""

    def __init__(self, inode, size):
        self.inode = inode
        self.size = size
        self.holders = []
        self.take = False
        self.reason = ""
        self.unit = None

    @property
    def path(self):
        return _holders.named_by(self.holders[0].target)

    @property
    def id(self):
        return "%s (deleted, inode %d)" % (self.path, self.inode)

    def holders_known(self):
        return sorted([each.pid, _holders.started(each.pid), each.number] for each in self.holders)

    def judge(self, log_paths, maps, kernel, unseen, protected):
        self.unit = next(filter(None, (_holders.unit(holder.pid) for holder in self.holders)), None)
        why = self._why_not(log_paths, maps, kernel, unseen, protected)
        who = _holders.told(self.holders)
        if why is None:
            self.take, self.reason = True, "a deleted log that %s still writes" % who
        else:
            what = "restart %s to free it" % self.unit if self.unit else "it is free when that process ends"
            self.take, self.reason = False, "%s; held by %s: %s" % (why, who, what)

    def _why_not(self, log_paths, maps, kernel, unseen, protected):
        readers = [holder for holder in self.holders if holder.reads]
        if self.inode in maps:
            return "mapped by %s" % maps[self.inode]
        if self.holders[0].target in kernel or self.path in kernel:
            return "%s" % (kernel.get(self.holders[0].target) or kernel[self.path])
        if readers:
            return "open for reading, too"
        for path in {_holders.named_by(holder.target) for holder in self.holders}:
            if _NO_LOG.fullmatch(os.path.basename(path)) or not _holders.matches(path, log_paths):
                return "not a log by log_paths"
        reason = protected.folder(os.path.dirname(self.path))
        if reason:
            return reason
        if unseen:
            return "%s may have it mapped, which cannot be seen" % unseen[0]
        return None

    def told(self, taken):
        return {
            "path": self.path,
            "size": self.size,
            "processes": sorted({_holders.process(holder.pid) for holder in self.holders}),
            "unit": self.unit,
            "taken": taken,
            "reason": self.reason,
        }
