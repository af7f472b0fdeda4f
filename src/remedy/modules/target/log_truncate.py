"""Empty a big log while its service goes on writing it, keeping the last lines on the control machine.

For the log that no rotation will help in time. The file is emptied in place, so the service needs no signal;
before that its last `keep_tail` bytes are on the control machine's disk, in the run's folder
(`kept/HOST/var_log_app.log.tail`). What is written between that and the emptying, well under a second, is
lost (`lost` counts it). Taken is only what a process writes with O_APPEND: any other writer would go on at
its old place and leave a sparse file. Kept, with the reason: what is open for reading and writing, mapped,
packed, has further names, is a record of logins or of audit, or lies below a folder of databases,
containers, the journal or the system. Size is what the file takes of the disk. Works only as root. Cannot be
undone. Returns `files`, `tails` (path: bytes kept) and `lost` (path: bytes).
"""

import glob
import os
import stat

from remedy.agent.kinds import REQUIRED, Failed, Item, Param, Sweep
from remedy.modules.target import _folders, _holders, _log_names, _mounts, _protected
from remedy.modules.target._looking import READS, Listing

PARAMS = (
    Param(
        "paths",
        "list",
        default=REQUIRED,
        elements="path",
        help="The logs: files or shell patterns (** goes through folders).",
    ),
    Param("min_size", "size", default=50 << 20, help="Only logs that take at least this much of the disk."),
    Param(
        "keep_tail",
        "size",
        default=64 << 10,
        help="How much of each log's end is kept; at most 1M, 0: nothing.",
    ),
    Param("excludes", "list", elements="str", help="Shell patterns for names or full paths to leave alone."),
    Param("allow_sparse", "bool", default=False, help="Also where a writer does not append."),
    Param("unopened", "bool", default=False, help="Also logs that no process has open for writing now."),
    READS,
)

EXAMPLES = """
- log_truncate: {paths: ["/var/log/app/*.log"], min_size: 100M, keep_tail: 256K}
"""

_MOST = 1 << 20
_RECORDS = {
    "logins": "a record of logins, which logrotate looks after",
    "audit": "the audit's own record: auditd rotates it",
}


def check_params(params):
    if any(not path.startswith("/") for path in params["paths"]):
        return "paths must be absolute"
    if isinstance(params["keep_tail"], int) and not 0 <= params["keep_tail"] <= _MOST:
        return "keep_tail is at most 1M: more than the end of a log is a copy, which wants another way"
    if isinstance(params["min_size"], int) and params["min_size"] <= 0:
        return "min_size must be more than 0: an empty log needs no emptying"
    return None


def kind(params):
    return Look if params.get("reads") else LogTruncate


class LogTruncate(Sweep):
    happened = "emptied"
    deadline = 120
    _tails = None
    _lost = None

    def key(self):
        return "logs " + ", ".join(self.params["paths"])

    def find(self):
        if os.geteuid() != 0:
            raise Failed(
                "logs are emptied only as root: nobody else sees who writes them; add become: true",
                cause="permission",
            )
        if self._tails is None:
            self._tails, self._lost = {}, {}
        files = self._big()
        judged = self._judge(files)
        return [
            Item(
                path,
                judged[path][0],
                judged[path][1],
                _size(about),
                [about.st_dev, about.st_ino, about.st_size],
            )
            for path, about in sorted(files.items())
        ]

    def keep(self, items):
        """Return the last lines of each log."""
        for item in items if self.params["keep_tail"] else ():
            self._tails[item.id] = self._tail(item)
        return {
            item.id.lstrip("/") + ".tail": self._tails[item.id] for item in items if self._tails.get(item.id)
        }

    def drain(self, item):
        try:
            folder = _folders.opened(os.path.dirname(item.id))
        except OSError as error:
            return "its folder changed: %s" % error.strerror.lower()
        try:
            return self._empty(item, folder)
        except FileNotFoundError:
            return "it is gone already"
        except PermissionError as error:
            return "it cannot be written: %s" % error.strerror.lower()
        finally:
            os.close(folder)

    def returns(self, taken, kept):
        names = [item.id for item in taken]
        return {
            "files": names,
            "tails": {name: len(tail) for name, tail in sorted((self._tails or {}).items()) if name in names},
            "lost": {
                name: size for name, size in sorted((self._lost or {}).items()) if size and name in names
            },
        }

    def _big(self):
        """Return {true path: stat} of the files that are big enough."""
        found = {}
        for path in self.host.in_child(self._paths, 30):
            try:
                about = os.lstat(path)
            except OSError:
                continue
            if stat.S_ISREG(about.st_mode) and _size(about) >= self.params["min_size"]:
                if not _holders.matches(path, self.params["excludes"] or ()):
                    found[path] = about
        return found

    def _paths(self):
        every = set()
        for pattern in self.params["paths"]:
            paths = glob.glob(pattern, recursive=True) if glob.has_magic(pattern) else [pattern]
            every.update(os.path.realpath(path) for path in paths)
        return sorted(every)

    def _judge(self, files):
        """Return {path: (whether to take it, why or why not)}; {} looks nowhere."""
        if not files:
            return {}
        inodes = {(about.st_dev, about.st_ino): path for path, about in files.items()}
        held, unseen = _holders.holding(self.host, files)
        holders = {}
        for holder, numbers in held:
            if numbers[:2] in inodes:
                holders.setdefault(inodes[numbers[:2]], []).append(holder)
        maps = _holders.mapped({about.st_ino for about in files.values()})
        protected = _protected.Protected(_mounts.mounts())
        judged = {}
        for path, about in files.items():
            writers = [holder for holder in holders.get(path, ()) if holder.writes]
            why = _no_log(path, about, protected) or self._in_the_way(about, writers, maps, unseen)
            size = _holders.shown(_size(about))
            by = "%s writes it" % _holders.told(writers) if writers else "nobody has it open for writing"
            judged[path] = (False, why) if why else (True, "%s; %s" % (size, by))
        return judged

    def _in_the_way(self, about, writers, maps, unseen):
        if about.st_ino in maps:
            return "mapped by %s" % maps[about.st_ino]
        for writer in writers:
            if writer.reads:
                return "%s has it open for reading and writing: it may be data" % _holders.told([writer])
            if not writer.appends and not self.params["allow_sparse"]:
                return (
                    "%s does not append: the log would become a sparse file; let it reopen the log, "
                    "or give allow_sparse" % _holders.told([writer])
                )
        if unseen:
            return "%s may have it open, which cannot be seen" % unseen[0]
        if not writers and not self.params["unopened"]:
            return "nobody has it open for writing: logrotate_run or old_files may take it, or give unopened"
        return None

    def _tail(self, item):
        """Return the last lines of a log, from a line's beginning where there is one; b"" if it changed."""
        try:
            folder = _folders.opened(os.path.dirname(item.id))
        except OSError:
            return b""
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
            descriptor = os.open(os.path.basename(item.id), flags, dir_fd=folder)
        except OSError:
            return b""
        finally:
            os.close(folder)
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            if not _same(about, item):
                return b""
            start = max(0, about.st_size - self.params["keep_tail"])
            file.seek(start)
            tail = file.read(about.st_size - start)
        self._lost[item.id] = -about.st_size
        return tail.partition(b"\n")[2] or tail if start else tail

    def _empty(self, item, folder):
        name = os.path.basename(item.id)
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        about = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not _same(about, item):
            return "it changed since it was looked at"
        take, reason = self._judge({item.id: about})[item.id]
        if not take:
            return reason
        descriptor = os.open(name, flags, dir_fd=folder)
        try:
            about = os.fstat(descriptor)
            if not _same(about, item):
                return "it changed since it was looked at"
            os.ftruncate(descriptor, 0)
            freed = (about.st_blocks - os.fstat(descriptor).st_blocks) * 512
        finally:
            os.close(descriptor)
        if item.id in self._lost:
            self._lost[item.id] += about.st_size
        return freed


class Look(Listing):
    sweep = LogTruncate


def _no_log(path, about, protected):
    """Return why a file is not for emptying, whoever has it open."""
    reason = _protected.refusal(path) or protected.folder(os.path.dirname(path)) or protected.kept(path)
    if reason:
        return reason
    if about.st_nlink > 1:
        return "it has %d names: it may be more than a log" % about.st_nlink
    if _log_names.packed(path):
        return "packed: no log that is being written"
    return _RECORDS.get(_log_names.record(path))


def _same(about, item):
    """Say whether a file is the one that was listed; it may have grown, that is what it is about."""
    device, inode, size = item.identity
    same = (about.st_dev, about.st_ino) == (device, inode) and stat.S_ISREG(about.st_mode)
    return same and about.st_size >= size


def _size(about):
    return about.st_blocks * 512
