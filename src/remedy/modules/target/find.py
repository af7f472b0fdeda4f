"""List files by name, age, size, kind, permissions or content.

Returns `files` (each as stat tells it), `matched`, `examined`, `skipped_paths` ({path: reason}) and `msg`.
In check mode it finds what the tasks before would leave. It stops shortly before its deadline: `msg` then says so,
and `skipped_paths` names where. A mount that does not answer is passed by, and named there.
"""

import os
import stat
import time

from remedy.agent.files import CHUNK, digest
from remedy.agent.kinds import REQUIRED, Failed, Param, Probe
from remedy.agent.paths import native, text
from remedy.modules.target import _foreseen, _mounts
from remedy.modules.target._attributes import mode_for
from remedy.modules.target._facts import from_stat

PARAMS = (
    Param(
        "paths", "list", default=REQUIRED, elements="path", aliases=("name", "path"), help="folders to search"
    ),
    Param(
        "patterns", "list", elements="str", aliases=("pattern",), help="names: shell patterns, or use_regex"
    ),
    Param("excludes", "list", elements="str", aliases=("exclude",), help="names to leave out"),
    Param("use_regex", "bool", default=False, help="patterns and excludes are regular expressions"),
    Param("contains", help="a regular expression that a line of the file must match from its start"),
    Param("read_whole_file", "bool", default=False, help="contains is searched in the file as a whole"),
    Param("age", help="at least this old, such as 3d or 2w (s, m, h, d, w); -3d: at most"),
    Param("age_stamp", default="mtime", choices=("atime", "ctime", "mtime"), help="which time age means"),
    Param("size", help="at least this large, such as 10m (b, k, m, g, t); -10m: at most"),
    Param("file_type", default="file", choices=("any", "directory", "file", "link"), help="which kind"),
    Param("mode", "mode", help="permissions: exactly these, or with exact_mode: false at least these"),
    Param("exact_mode", "bool", default=True, help="mode must be the same"),
    Param("recurse", "bool", default=False, help="search folders in folders"),
    Param("depth", "int", help="how many levels deep"),
    Param("hidden", "bool", default=False, help="names that begin with a dot, too"),
    Param("follow", "bool", default=False, help="search through links to folders"),
    Param("get_checksum", "bool", default=False, help="compute the checksum of each file"),
    Param(
        "checksum_algorithm",
        default="sha1",
        choices=("md5", "sha1", "sha224", "sha256", "sha384", "sha512"),
        aliases=("checksum", "checksum_algo"),
        help="how",
    ),
    Param("limit", "int", help="stop after this many"),
)

EXAMPLES = """
- find: {paths: /var/log, patterns: "*.gz", age: 30d, recurse: true}
  register: old
"""

_SPARE = 3  # seconds before the deadline for what follows the search
_DEAD = "the mount %s does not answer"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_IS = {"directory": stat.S_ISDIR, "file": stat.S_ISREG, "link": stat.S_ISLNK}


def kind(params):
    return Find


class Find(Probe):
    cost = "expensive"
    deadline = 300

    def read(self):
        roots = [native(self.host.files.path(written)) for written in self.params["paths"]]
        search = _Search(self.params, self.host, _mounts.silent(self.host, [text(root) for root in roots]))
        for root in roots:
            search.below(root)
        found = sorted(search.found, key=lambda one: one["path"])
        whole = not search.skipped and not search.late
        msg = "All paths examined" if whole else "Not all paths examined, see skipped_paths"
        if search.late:
            msg = "Not all paths examined: the deadline came first"
        return {
            "files": found,
            "matched": len(found),
            "examined": search.examined,
            "skipped_paths": search.skipped,
            "msg": msg,
        }


class _Search(object):
    """One search: what it looks for, what it found."""

    def __init__(self, params, host, dead):
        self.params = params
        self.host = host
        self.dead = dead
        self.now = time.time()
        self.age = _amount(params["age"], _SECONDS, "s", "age")
        self.size = _amount(params["size"], _BYTES, "b", "size")
        self.names = _names(params["patterns"], params["use_regex"])
        self.not_names = _names(params["excludes"], params["use_regex"])
        self.contains = _compiled(params["contains"]) if params["contains"] is not None else None
        self.found = []
        self.skipped = {}
        self.examined = 0
        self.late = False

    def full(self):
        """Say whether the search is at its end, by limit or deadline."""
        left = self.host.left()
        self.late = self.late or (left is not None and left < _SPARE)
        return self.late or (self.params["limit"] is not None and len(self.found) >= self.params["limit"])

    def below(self, root):
        """Search a folder."""
        for mount in self.dead:
            if _mounts.below(text(root), mount):
                self.skipped[text(root)] = _DEAD % mount
                return
        if not _foreseen.is_folder(self.host, root):
            self.skipped[text(root)] = "'%s' is not a directory" % text(root)
            return
        waiting = [(root, 1)]
        seen = {self.host.files.real(text(root))}
        while waiting:
            folder, level = waiting.pop()
            if self.full():
                if self.late:
                    self.skipped[text(folder)] = "the deadline came first"
                return
            try:
                names = _foreseen.names(self.host, folder)
            except OSError as error:
                self.skipped[text(folder)] = os.strerror(error.errno).lower()
                continue
            for name in names:
                path = os.path.join(folder, name)
                if text(path) in self.dead:
                    self.skipped[text(path)] = _DEAD % text(path)
                    continue
                try:
                    found = _foreseen.look(self.host, path)
                except OSError as error:
                    self.skipped[text(path)] = os.strerror(error.errno).lower()
                    continue
                self.examined += 1
                if self.params["depth"] is None or level <= self.params["depth"]:
                    self._take(path, name, found)
                if self.full():
                    break
                deeper = self.params["recurse"] and level != self.params["depth"]
                if deeper and self._enters(path, found, seen):
                    waiting.append((path, level + 1))

    def _enters(self, path, found, seen):
        if stat.S_ISDIR(found.st_mode):
            return True
        if not self.params["follow"] or not stat.S_ISLNK(found.st_mode):
            return False
        if not _foreseen.is_folder(self.host, path):
            return False
        there = self.host.files.real(text(path))
        if there in seen:
            return False  # links in a circle
        seen.add(there)
        return True

    def _take(self, path, name, found):
        wanted = self.params["file_type"]
        if wanted != "any" and not _IS[wanted](found.st_mode):
            return
        plain = stat.S_ISREG(found.st_mode)
        if not self._named(text(name)) or not self._aged(found) or not self._permits(found):
            return
        if plain and not self._sized(found):
            return
        if wanted == "file" and self.contains is not None and not self._holds(path):
            return
        fields = dict(from_stat(found), path=text(path))
        if plain and self.params["get_checksum"]:
            try:
                chunks = self.host.files.chunks(text(path))
                fields["checksum"] = digest(chunks, self.params["checksum_algorithm"])
            except Failed as error:
                self.skipped[text(path)] = error.message
                return
        self.found.append(fields)

    def _named(self, name):
        if name.startswith(".") and not self.params["hidden"]:
            return False
        if self.not_names is not None and self.not_names(name):
            return False
        return self.names is None or self.names(name)

    def _aged(self, found):
        if self.age is None:
            return True
        age = self.now - getattr(found, "st_" + self.params["age_stamp"])
        return age >= self.age if self.age >= 0 else age <= -self.age

    def _sized(self, found):
        if self.size is None:
            return True
        return found.st_size >= self.size if self.size >= 0 else found.st_size <= -self.size

    def _permits(self, found):
        if self.params["mode"] is None:
            return True
        have = "%04o" % stat.S_IMODE(found.st_mode)
        want = int(mode_for(self.params["mode"], have if self.params["exact_mode"] else "0000"), 8)
        return int(have, 8) == want if self.params["exact_mode"] else int(have, 8) & want == want

    def _open(self, path):
        real = self.host.files.real(text(path))
        if not self.host.files.predicted(real):
            return open(path, "rb")
        import io

        return io.BytesIO(self.host.files.read(real))

    def _holds(self, path):
        try:
            with self._open(path) as stream:
                if self.params["read_whole_file"]:
                    return self.contains.search(stream.read().decode("utf-8", "replace")) is not None
                while True:
                    line = stream.readline(CHUNK)  # a line without end would fill the memory
                    if not line:
                        return False
                    if self.contains.match(line.decode("utf-8", "replace")):
                        return True
        except OSError as error:
            self.skipped[text(path)] = os.strerror(error.errno).lower()
            return False


def _names(patterns, use_regex):
    """Return what tells whether one of the patterns names a file; None where there are none."""
    if not patterns:
        return None
    if not use_regex:
        import fnmatch

        return lambda name: any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    compiled = [_compiled(pattern) for pattern in patterns]
    return lambda name: any(pattern.match(name) for pattern in compiled)


def _compiled(pattern):
    import re

    try:
        return re.compile(pattern)
    except re.error as error:
        raise Failed("'%s' is no regular expression: %s" % (pattern, error))


def _amount(written, units, unit, what):
    if written is None:
        return None
    word = str(written).strip().lower()
    if word and word[-1] in units:
        word, unit = word[:-1], word[-1]
    try:
        return int(word) * units[unit]
    except ValueError:
        raise Failed(
            "'%s' is no %s; expected a whole number with one of %s"
            % (written, what, ", ".join(sorted(units)))
        )
