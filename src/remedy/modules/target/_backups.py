"""Backup files of databases: a name with a time, a manifest beside it, made in one step or not at all.

FILE.json, the manifest, says what the file holds: its SHA-256, and of each table the rows and, where nobody wrote
meanwhile, a checksum. A file without one is a backup all the same; then the file itself is counted.
"""

import json
import os
import re
import time

from remedy.agent import atomic
from remedy.agent.files import CHUNK, hasher
from remedy.agent.kinds import Failed, Irreversible, Resource
from remedy.agent.paths import failed, native

SPARE = 32 << 20  # bytes that stay free beside a backup or a restored copy

# What a pipe of the shell hides: the exit status of its first part. The list in "$@" is that part, "$out" the file.
TO_FILE = 'out=$1; shift; exec "$@" > "$out"'
TO_GZIP = (
    'out=$1; shift; rc=$( { { "$@" 3>&-; echo $? >&3; } | gzip -c > "$out"; } 3>&1 ) || exit 1; exit "$rc"'
)
FROM_GZIP = 'file=$1; shift; gzip -dc -- "$file" | "$@"'
FROM_FILE = 'file=$1; shift; exec "$@" < "$file"'

NAME = re.compile(r"(?!-)[A-Za-z0-9_$-]{1,64}")


def wrong_name(params, *names):
    """Return what is wrong with names of databases; what is quoted on three ways to a server is kept plain."""
    for word in names:
        value = params.get(word)
        if value and not NAME.fullmatch(value):
            return (
                "%s '%s': expected a database's name of up to 64 letters, digits, _, $ and -, not beginning with -"
                % (word, value)
            )
    return None


def wrong_path(params, *names):
    """Return what is wrong with paths."""
    for word in names:
        if params.get(word) and not params[word].startswith("/"):
            return "%s '%s': expected an absolute path" % (word, params[word])
    return None


def wrong_checks(params):
    """Return what is wrong with the operator's own checks."""
    for each in params["checks"] or ():
        if not isinstance(each, dict) or set(each) != {"query", "expect"}:
            return "checks: expected a list such as [{query: SELECT count(*) FROM orders, expect: 12}]"
    return None


def stamp(when):
    """Return a time as it stands in names."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(when))


def span(seconds):
    """Return how long something has been, in the largest unit that says it: 3.5 hours."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= length:
            return "%.1f %s" % (seconds / length, unit)
    return "%d seconds" % seconds


def made(path, known):
    """Return when a backup was made, in seconds since the epoch: as its manifest (`known`) says, else as its file."""
    return known.get("made") or os.stat(native(path)).st_mtime


def fitting(base, tail, limit):
    """Return a name with a tail, not longer than a server takes."""
    return base[: limit - len(tail)] + tail


def sha256(path):
    """Return a file's digest."""
    made = hasher("sha256")
    with open(native(path), "rb") as file:
        for piece in iter(lambda: file.read(CHUNK), b""):
            made.update(piece)
    return made.hexdigest()


def newest(folder, name, endings):
    """Return the backups of a database in a folder, as {path, size, mtime}, the newest first."""
    found = []
    try:
        names = os.listdir(native(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise failed(error, "look into", folder)
    for each in names:
        each = each.decode("utf-8", "surrogateescape")
        path = os.path.join(folder, each)
        if not each.endswith(tuple(endings)) or each.startswith(".") or not _is_of(each, name, endings):
            continue
        if os.path.islink(native(path)) or not os.path.isfile(native(path)):
            continue
        about = os.stat(native(path))
        found.append({"path": path, "size": about.st_size, "mtime": about.st_mtime})
    return sorted(found, key=lambda one: one["mtime"], reverse=True)


def _is_of(file, name, endings):
    """Say whether a file is called NAME.sql or NAME-WHATEVER.sql, the second not being of a database NAME-X."""
    plain = next(file[: -len(each)] for each in sorted(endings, key=len, reverse=True) if file.endswith(each))
    if plain == name:
        return True
    return plain.startswith(name) and re.fullmatch(r"[-_.]\d[\dTZtz_.:-]*", plain[len(name) :]) is not None


def good(folder, name, endings, since):
    """Return the newest backup with a manifest that it agrees with, made since then, else None."""
    for each in newest(folder, name, endings):
        known = manifest(each["path"])
        if known.get("made", each["mtime"]) < since:
            continue
        if known.get("size") == each["size"] and known.get("sha256") == sha256(each["path"]):
            return dict(known, path=each["path"])
    return None


def manifest(path):
    """Return what stands beside a backup about it, {} where nothing does or it cannot be read."""
    try:
        with open(native(path + ".json"), "rb") as file:
            found = json.loads(file.read(16 << 20).decode("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def differing(known, digest):
    """Return what is wrong with a backup whose manifest says another digest; None: nothing, or there is no manifest."""
    if known.get("sha256") in (None, digest):
        return None
    return "its SHA-256 is not the one of its manifest: it was changed, or cut off"


def ready(folder):
    """Make sure that a folder for backups is there."""
    try:
        os.makedirs(native(folder), 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise failed(error, "make the folder", folder)


def room(folder, needed, what):
    """Raise Failed where a file system has no room for so many bytes with something to spare."""
    place = folder
    while not os.path.isdir(native(place)):
        place = os.path.dirname(place)
    sizes = os.statvfs(native(place))
    free = sizes.f_bavail * sizes.f_frsize
    if free < needed + SPARE:
        raise Failed(
            "%s has %d bytes free, and %s may take %d, with %d to spare: free some, or choose another place"
            % (place, free, what, needed, SPARE),
            cause="disk_full",
        )


def keep(path, make, about):
    """Make a backup at `path` by make(sibling), which returns what is known of it; write its manifest; return that.

    Nothing stands under the name before it is whole, checked and on the disk.
    """
    told = {}

    def fill(beside):
        here = beside.decode("utf-8", "surrogateescape")
        try:
            os.close(
                os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            )
        except OSError as error:
            raise failed(error, "write", path)
        told.update(make(here))
        told["sha256"], told["size"] = sha256(here), os.stat(beside).st_size
        opened = os.open(beside, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)

    atomic.place(path, fill)
    known = dict(about, **told)
    text = json.dumps(known, indent=1, sort_keys=True) + "\n"
    atomic.write(path + ".json", [text.encode("utf-8")], mode="0600")
    return known


def recovery(engine, database, told, swapping):
    """Return what a swap has come to: {engine, database, seconds, point, rows_behind}.

    `rows_behind` are the rows that the damaged copy has more than the restored one; what had been lost there already
    is in neither.
    """
    tables = told.get("tables") or []
    behind = sum(max(0, (each["damaged"] or 0) - (each["restored"] or 0)) for each in tables)
    seconds = sum((told.get("seconds") or {}).values()) + time.time() - swapping
    return {
        "engine": engine,
        "database": database,
        "seconds": round(seconds, 3),
        "point": told.get("point"),
        "rows_behind": behind,
    }


class Backup(Resource):
    """A backup of one database, made anew unless one is young enough.

    A subclass MUST answer write, which sets `_made`, and say its `server`, the `endings` of such files, the `client`
    that talks to the server, and what of its manifest a task `tells`; it MAY choose the `ending` of a new one.
    """

    interruptible = False
    deadline = 0
    server = ""
    endings = tuple("")
    tells = tuple("path made tables size sha256".split())

    _made = None

    def __init__(self, params, host):
        Resource.__init__(self, params, host)
        self._began = time.time()
        self._client = self.client(host, params)

    def client(self, host, params):
        """Return who talks to the server."""
        raise NotImplementedError

    def ending(self):
        """Return the ending of a new file's name."""
        return self.endings[0]

    def key(self):
        return "backup:%s:%s:%s" % (self.server, self.params["folder"], self.params["name"])

    def read(self):
        if self._made is None:
            limit = self._began - self.params["max_age"]
            self._made = good(self.params["folder"], self.params["name"], self.endings, limit)
        return None if self._made is None else {"backup": self._made["path"], "sha256": self._made["sha256"]}

    def wanted(self, have):
        return have if have is not None else {"backup": "a new one", "sha256": None}

    def keep(self, have):
        return Irreversible("a backup stays until somebody removes it")

    def returns(self, have, now):
        made = self._made or {"path": self.path(self._began)}
        return {each: made.get(each) for each in self.tells}

    def why(self, have):
        return "%s is whole, and young enough" % have["backup"]

    def diff(self, have, want):
        return {
            "before": "",
            "after": "a backup of %s in %s\n" % (self.params["name"], self.params["folder"]),
        }

    def path(self, made):
        """Return the path of a backup made at a time."""
        name = "%s-%s%s" % (self.params["name"], stamp(made), self.ending())
        return os.path.join(self.params["folder"], name)
