"""Pack rotated logs that nobody packed: each becomes NAME.gz, and is removed only once that is proved to hold it all.

`paths` are rotated files, or shell patterns for them: a name that is not one of a rotated log (app.log.1,
app.log-20240131) is never taken, nor what is packed, open, mapped, has further names, is a record of logins or of
audit, or lies below a folder of databases, containers, the journal or the system. The packed file is written beside it
as any file is (owner, mode, time and attributes are those of the log), read back and compared byte by byte with what
was there. Where it is cut off, the log stands; played again, it goes on. Needs room for the packed file. logrotate
counts on with it, whatever its rule says. Works only as root. Cannot be undone (gunzip brings a file back). Returns
`files` (path, packed: bytes).
"""

import glob
import os
import stat
import zlib

from remedy.agent import atomic
from remedy.agent.files import hasher
from remedy.agent.kinds import REQUIRED, Failed, Item, Param, Sweep
from remedy.modules.target import _folders, _holders, _log_names, _mounts, _protected
from remedy.modules.target._looking import READS, Listing
from remedy.modules.target._open_files import alone, in_use

PARAMS = (
    Param(
        "paths", "list", default=REQUIRED, elements="path", help="Rotated logs, or shell patterns for them."
    ),
    Param("min_size", "size", default=64 << 10, help="Only files that take at least this much of the disk."),
    Param("level", "int", default=6, help="1 is quick, 9 is small."),
    READS,
)

EXAMPLES = """
- log_compress: {paths: ["/var/log/app/*.log.*"]}
"""

_PIECE = 1 << 18
_RECORDS = {
    "logins": "a record of logins: last(1) reads it as it is",
    "audit": "the audit's own record: ausearch(8) reads it as it is",
}


def check_params(params):
    if any(not path.startswith("/") for path in params["paths"]):
        return "paths must be absolute"
    if isinstance(params["level"], int) and not 1 <= params["level"] <= 9:
        return "level is 1 to 9"
    return None


def kind(params):
    return Look if params.get("reads") else LogCompress


class LogCompress(Sweep):
    happened = "packed"
    deadline = 1800

    def __init__(self, params, host):
        Sweep.__init__(self, params, host)
        self._packed = {}

    def key(self):
        return "rotated logs " + ", ".join(self.params["paths"])

    def find(self):
        if os.geteuid() != 0:
            raise Failed("only root sees who has a log open; add become: true", cause="permission")
        files = self.host.in_child(self._files, 30)
        used, unseen = in_use({(about[0], about[1]): path for path, about in files.items()})
        protected = _protected.Protected(_mounts.mounts())
        items = []
        for path, about in sorted(files.items()):
            why = self._why_not(path, about, used, unseen, protected)
            size = about[4]
            items.append(
                Item(path, why is None, why or "%s, not packed" % _holders.shown(size), size, about[:4])
            )
        return items

    def drain(self, item):
        name = os.path.basename(item.id)
        try:
            folder = _folders.opened(os.path.dirname(item.id))
        except OSError as error:
            return "its folder changed: %s" % error.strerror.lower()
        try:
            about = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not _same(about, item):
                return "it changed since it was looked at"
            if alone(name, folder) is False:
                return "somebody has it open"
            room = os.fstatvfs(folder)
            need = about.st_blocks * 512 // _log_names.SHRINKS
            # By the folder that was opened: its path may lead elsewhere by now.
            packed = "/proc/self/fd/%d/%s.gz" % (folder, name)
            if not os.path.lexists(packed):
                if room.f_bavail * room.f_frsize < need:
                    return "no room: it may take %s" % _holders.shown(need)
                self._pack(name, folder, packed, about)
            if not self._holds(packed, name, folder):
                return "%s.gz is there, and is not the same packed" % item.id
            if not _same(os.stat(name, dir_fd=folder, follow_symlinks=False), item):
                os.unlink(packed)
                return "it changed while it was packed"
            os.utime(packed, ns=(about.st_atime_ns, about.st_mtime_ns))
            os.unlink(name, dir_fd=folder)
            atomic.sync("/proc/self/fd/%d" % folder)
            after = os.stat(packed)
            self._packed[item.id] = after.st_size
            return max(0, (about.st_blocks - after.st_blocks) * 512)
        except FileNotFoundError:
            return "it is gone already"
        finally:
            os.close(folder)

    def returns(self, taken, kept):
        return {"files": [{"path": item.id, "packed": self._packed.get(item.id)} for item in taken]}

    def _files(self):
        found = {}
        for pattern in self.params["paths"]:
            for path in glob.glob(pattern) if glob.has_magic(pattern) else [pattern]:
                path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
                try:
                    about = os.lstat(path)
                except OSError:
                    continue
                if not stat.S_ISREG(about.st_mode) or about.st_blocks * 512 < max(1, self.params["min_size"]):
                    continue
                if _log_names.log_of(path) is not None and not _log_names.packed(path):
                    found[path] = [about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns,
                                   about.st_blocks * 512, about.st_nlink]  # fmt: skip
        return found

    def _why_not(self, path, about, used, unseen, protected):
        folder = os.path.dirname(path)
        why = _protected.refusal(path) or protected.folder(folder) or used.get((about[0], about[1]))
        if why:
            return why
        if about[5] > 1:
            return "it has %d names" % about[5]
        record = _log_names.record(path)
        if record:
            return _RECORDS[record]
        if unseen:
            return "%s may have it open, which cannot be seen" % unseen[0]
        return None

    def _pack(self, name, folder, packed, about):
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=folder)
        with os.fdopen(descriptor, "rb") as file:
            atomic.write(
                packed,
                self._pieces(file),
                "%04o" % stat.S_IMODE(about.st_mode),
                about.st_uid,
                about.st_gid,
                atomic.xattrs(descriptor),
            )

    def _pieces(self, file):
        packer = zlib.compressobj(self.params["level"], zlib.DEFLATED, 31)  # 31: in gzip's format
        for piece in iter(lambda: file.read(_PIECE), b""):
            made = packer.compress(piece)
            if made:
                yield made
        yield packer.flush()

    def _holds(self, packed, name, folder):
        """Say whether a packed file holds all that a log does."""
        ours, theirs = hasher("sha256"), hasher("sha256")
        unpacker = zlib.decompressobj(31)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(packed, flags), "rb") as file:
                for piece in iter(lambda: file.read(_PIECE), b""):
                    theirs.update(unpacker.decompress(piece))
        except (OSError, zlib.error):
            return False
        theirs.update(unpacker.flush())
        with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
            for piece in iter(lambda: file.read(_PIECE), b""):
                ours.update(piece)
        return unpacker.eof and not unpacker.unused_data and ours.hexdigest() == theirs.hexdigest()


class Look(Listing):
    sweep = LogCompress


def _same(about, item):
    return [about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns] == list(
        item.identity
    ) and stat.S_ISREG(about.st_mode)
