"""Remove rotated logs and other old files, and nothing that is still in use.

Only regular files go, never folders, links, sockets or devices, and never across a mount. The age of a
rotated or old log is its mtime's; of a temporary file it is that of the newest of atime, mtime and ctime.
Kept, with the reason: what is open or mapped, what has further names (hard links), what is dated in the
future. Left alone as a whole: folders of containers and databases, the journal, private folders of
services, and what tmpfiles.d marks with x or X. It works only as root, because nobody else sees which files
are open, and not on a host whose clock is more than a minute off. It cannot be undone. Returns `files`,
`bytes_freed` and `missing` (paths that are not there).
"""

import fnmatch
import os
import re
import stat
import time

from remedy.agent.kinds import REQUIRED, Failed, Item, Param, Sweep
from remedy.modules.target import _folders, _mounts, _protected
from remedy.modules.target._log_names import ROTATED
from remedy.modules.target._looking import READS, Listing
from remedy.modules.target._open_files import alone, in_use

_SKEW = 60
_FRESH = 2  # seconds for which a look at the open files is believed
_YOUNG = 200  # files that are merely too young are listed up to this number

_LIBRARY = re.compile(r".*\.so(\.\d+)*")

PARAMS = (
    Param("paths", "list", default=REQUIRED, elements="path", help="The folders (or files) to look through."),
    Param("age", "duration", default=REQUIRED, help="How old a file must be at least."),
    Param(
        "patterns",
        "list",
        elements="str",
        help="Shell patterns for the names; without them rotated logs, with age_of: temporary all files.",
    ),
    Param("excludes", "list", elements="str", help="Shell patterns for names or full paths to leave alone."),
    Param(
        "age_of",
        default="rotated",
        choices=("rotated", "temporary"),
        help="How age is measured: rotated by mtime, temporary by the newest of atime, mtime and ctime.",
    ),
    Param("recurse", "bool", default=True, help="Look in the folders below, too."),
    Param("min_size", "size", default=0, help="Only files of at least this size."),
    Param("hidden", "bool", default=False, help="Hidden files and folders, too."),
    Param("keep_newest", "int", default=0, help="Keep this many of each log, however old they are."),
    READS,
)

INTERNAL = ("clock_skew",)

EXAMPLES = """
- old_files: {paths: [/var/log], age: 7d, keep_newest: 1}
- old_files: {paths: [/var/tmp/app], age: 2d, age_of: temporary, patterns: ["upload-*"]}
"""


def check_params(params):
    age = params["age"]
    if isinstance(age, (int, float)) and age <= 0:
        return "age must be more than 0: a file that is being written has no age yet"
    if any(not path.startswith("/") for path in params["paths"]):
        return "paths must be absolute"
    return None


def kind(params):
    return Look if params.get("reads") else OldFiles


class OldFiles(Sweep):
    deadline = 300
    _now = None
    _missing = None
    _looked = float("-inf")
    _used = None

    def key(self):
        return "old files in " + ", ".join(self.params["paths"])

    def find(self):
        self._guard()
        if self._now is None:
            self._now = time.time()
        every = _mounts.mounts()
        protected = _protected.Protected(every)
        self._points = {entry["mount"] for entry in every}
        files, kept = {}, {}
        tops = [self._resolve(path) for path in self.params["paths"]]
        if self._missing is None:
            self._missing = [top for top in tops if not os.path.lexists(top)]
        for top in tops:
            if os.path.lexists(top):
                self._walk(top, protected, files, kept)
        self._wanted = {(about.st_dev, about.st_ino): path for path, about in files.items()}
        self._look()
        newest = self._newest(files)
        young = 0
        items = [Item(path, False, reason) for path, reason in sorted(kept.items())]
        for path, about in sorted(files.items()):
            take, reason = self._judge(path, about, newest, protected)
            young += reason.startswith("only ")
            if not reason.startswith("only ") or young <= _YOUNG:
                items.append(Item(path, take, reason, about.st_blocks * 512, _identity(about)))
        if young > _YOUNG:
            items.append(Item("%d further files" % (young - _YOUNG), False, "younger than the age asked for"))
        return items

    def drain(self, item):
        path = item.id
        try:
            folder = _folders.opened(os.path.dirname(path))
        except OSError as error:
            return "its folder changed: %s" % error.strerror.lower()
        try:
            name = os.path.basename(path)
            about = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if _identity(about) != list(item.identity) or not stat.S_ISREG(about.st_mode):
                return "it changed since it was looked at"
            if time.monotonic() - self._looked > _FRESH:
                self._look()
            use = self._use(about, name, folder)
            if use:
                return use
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return "it is gone already"
        except PermissionError as error:
            return "it cannot be removed: %s" % error.strerror.lower()
        finally:
            os.close(folder)
        return about.st_blocks * 512

    def returns(self, taken, kept):
        return {"files": [item.id for item in taken], "missing": self._missing}

    def _guard(self):
        if os.geteuid() != 0:
            raise Failed(
                "old files are swept only as root: nobody else sees which files are open; add become: true",
                cause="permission",
            )
        skew = self.params.get("clock_skew")
        if skew is not None and abs(skew) > _SKEW:
            raise Failed(
                "the host's clock is %d s off, and every file's age with it; set the clock first" % abs(skew)
            )

    def _resolve(self, path):
        """Return the true path, without a link in it, after asking whether it may be swept at all."""
        resolved = self.host.in_child(lambda: os.path.realpath(path), 5)
        refusal = _protected.refusal(resolved)
        if refusal:
            called = path if path == resolved else "%s (which is %s)" % (path, resolved)
            raise Failed("%s is not swept: %s" % (called, refusal))
        return resolved

    def _walk(self, top, protected, files, kept):
        about = os.lstat(top)
        folder = top if stat.S_ISDIR(about.st_mode) else os.path.dirname(top)
        reason = protected.folder(folder) or protected.kept(folder)
        if reason:
            kept[top] = reason
            return
        if not stat.S_ISDIR(about.st_mode):
            self._consider(top, about, files)
            return
        folders = [top]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    found = list(entries)
            except OSError as error:
                kept[folder] = "it cannot be read: %s" % error.strerror.lower()
                continue
            reason = protected.inside(folder, [entry.name for entry in found]) if folder != top else None
            if reason:
                kept[folder] = reason
                continue
            folders.extend(self._enter(found, about.st_dev, files))

    def _enter(self, entries, device, files):
        """Take the files of a folder into account; return the folders in it that may be entered."""
        folders = []
        for entry in entries:
            if (entry.name.startswith(".") and not self.params["hidden"]) or entry.path in self._points:
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    if self.params["recurse"] and os.lstat(entry.path).st_dev == device:
                        folders.append(entry.path)
                elif entry.is_file(follow_symlinks=False) and self._named(entry.path):
                    self._consider(entry.path, os.lstat(entry.path), files)
            except FileNotFoundError:
                continue
        return folders

    def _named(self, path):
        name = os.path.basename(path)
        for pattern in self.params["excludes"] or ():
            if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(path, pattern):
                return False
        if self.params["patterns"]:
            return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.params["patterns"])
        if self.params["age_of"] == "temporary":
            return True
        return ROTATED.fullmatch(name) is not None and _LIBRARY.fullmatch(name) is None

    def _consider(self, path, about, files):
        if stat.S_ISREG(about.st_mode) and about.st_size >= self.params["min_size"] and self._named(path):
            files[path] = about

    def _judge(self, path, about, newest, protected):
        """Return (whether to take it, why or why not)."""
        times = [about.st_mtime]
        if self.params["age_of"] == "temporary":
            times += [about.st_atime, about.st_ctime]
        age = self._now - max(times)
        if protected.kept(path):
            return False, protected.kept(path)
        if age < 0:
            return False, "dated in the future: its age is unknown"
        if age < self.params["age"]:
            return False, "only %s old" % _span(age)
        if about.st_nlink > 1:
            return False, "it has %d names: removing one frees nothing" % about.st_nlink
        if path in newest:
            return False, "among the newest %d of its log" % self.params["keep_newest"]
        use = self._use_now(path, about)
        if use:
            return False, use
        return True, "%s %s ago" % ("rotated" if self._is_rotated(path) else "last used", _span(age))

    def _is_rotated(self, path):
        return self.params["age_of"] == "rotated" and ROTATED.fullmatch(os.path.basename(path)) is not None

    def _newest(self, files):
        logs = {}
        for path, about in files.items() if self.params["keep_newest"] > 0 else ():
            match = ROTATED.fullmatch(os.path.basename(path))
            log = os.path.join(os.path.dirname(path), match.group("log") if match else "*")
            logs.setdefault(log, []).append((about.st_mtime, path))
        count = self.params["keep_newest"]
        return {path for each in logs.values() for _, path in sorted(each, reverse=True)[:count]}

    def _use(self, about, name, folder):
        """Return who uses a file, else None; what can neither be seen nor asked for counts as used."""
        known = self._used.get((about.st_dev, about.st_ino))
        if known:
            return known
        nobody = alone(name, folder)
        if nobody is False:
            return "in use by a process that cannot be seen from here"
        if nobody is None and self._unseen:
            return "%s may have it open, which cannot be seen" % self._unseen[0]
        return None

    def _use_now(self, path, about):
        try:
            folder = _folders.opened(os.path.dirname(path))
        except OSError as error:
            return "its folder changed: %s" % error.strerror.lower()
        try:
            return self._use(about, os.path.basename(path), folder)
        except OSError as error:
            return "it cannot be opened: %s" % error.strerror.lower()
        finally:
            os.close(folder)

    def _look(self):
        self._used, self._unseen = in_use(self._wanted)
        self._looked = time.monotonic()


class Look(Listing):
    sweep = OldFiles
    deadline = 300


def _identity(about):
    mtime = about.st_mtime_ns
    return [about.st_dev, about.st_ino, about.st_size, mtime]


def _span(seconds):
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return "%d %s" % (seconds // length, unit)
    return "%d seconds" % max(0, seconds)
