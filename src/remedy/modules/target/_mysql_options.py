"""The option files of a MySQL or MariaDB server: which it reads, in which order, and what they set.

As the server does: the files of its command line or the usual ones, `!include` and `!includedir` where they stand,
the files of a folder by their names; of several places that set an option the last one counts, and the command line
after all of them. One of several instances (mariadb@NAME) has groups of its own beside the usual ones, by the suffix
that it was started with. https://mariadb.com/kb/en/configuring-mariadb-with-option-files/
"""

import os
import re

from remedy.agent.kinds import Failed
from remedy.agent.paths import native, text
from remedy.modules.target import _listening

_PROGRAMS = ("mysqld", "mariadbd")
_GROUPS = re.compile(r"(mysqld|server|mariadb|mariadbd|client-server)(-\d+(\.\d+)*)?")
_USUAL = ("/etc/my.cnf", "/etc/mysql/my.cnf", "/usr/etc/my.cnf")
_LARGEST = 1 << 20
_DEEP = 10


class Entry(object):
    """One option that is set: its value (None: it stands alone), and where (FILE:LINE, or the command line)."""

    def __init__(self, name, value, place):
        self.name = name
        self.value = value
        self.place = place


def process(datadir, reached=None):
    """Return the id of the server with a data folder, of the only one where that is None; None: none is seen.

    `reached` is where a client got to it: a server in a container, or on another host, may name the same folder.
    """
    found = []
    for pid in servers():
        try:
            if datadir is None or os.path.samefile("/proc/%d/cwd" % pid, native(datadir)):
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended, or only root may look
    if reached:
        found = [pid for pid in found if _listening.serves(pid, reached)]
    return found[0] if len(found) == 1 else None


def places(port):
    """Return where the server on a port of this host takes connections, its sockets first; [] where none is seen."""
    for pid in servers():
        try:
            found = _listening.places(pid)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended, or only root may look
        there = [each for each in found if not isinstance(each, str) and each[1] == port]
        if there:
            inside = {"0.0.0.0": "127.0.0.1", "::": "::1"}
            # MySQL's X protocol has a socket of its own, which speaks no SQL.
            sockets = [each for each in found if isinstance(each, str) and "mysqlx" not in each]
            return sockets + [[inside.get(address, address), port] for address, _ in there]
    return []


def servers():
    """Give the ids of the servers outside containers."""
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and _read("/proc/%s/comm" % name).strip() in _PROGRAMS:
                if os.path.samefile("/proc/%s/root" % name, "/"):
                    yield int(name)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended, or only root may look


def elsewhere(datadir, reached):
    """Return in words that the server which was reached there is none of this host's own, so that its files are not.

    None: it is one, or nobody can tell (only root sees the processes of others).
    """
    if not reached or os.geteuid() != 0 or process(datadir, reached) is not None:
        return None
    return _listening.elsewhere(reached)


def plain(name):
    """Return an option's name as the server's variable has it: "--loose-max-connections" is max_connections."""
    name = name.strip().lstrip("-").replace("-", "_").lower()
    return name[6:] if name.startswith("loose_") else name


def last(entries, name):
    """Return the entry that counts for an option, None where nothing sets it."""
    found = [each for each in entries if each.name == plain(name)]
    return found[-1] if found else None


class Options(object):
    """The option files of a server, by its process where it runs."""

    def __init__(self, host, pid):
        self._host = host
        self._pid = pid
        words = _read("/proc/%d/cmdline" % pid).split("\0")[:-1] if pid else []
        self.words = words[1:]
        self.suffix = self._suffix()  # of its own groups: .second, of [mysqld.second]
        self.folders = []  # of !includedir, in their order

    def entries(self, drop_in=None):
        """Return what is set, in the order in which it counts.

        `drop_in` (a path) stands for itself: an entry named after it is where it would be read.
        """
        self.folders = []
        found = []
        for path in self._files():
            found += self._file(path, drop_in, 0)
        for word in self.words:
            name, equals, value = word.partition("=")
            if word.startswith("--") and not name.startswith("--defaults"):
                found.append(Entry(*_negated(name, value if equals else None), place="the command line"))
        return found

    def proof(self, name):
        """Return (True, value) of an option as the server itself reads it (--print-defaults), (False, None) unasked."""
        if not self._pid:
            return False, None
        program = os.readlink("/proc/%d/exe" % self._pid)
        if program.endswith(" (deleted)"):  # it was upgraded since it started: the new one is what will read
            program = program[: -len(" (deleted)")]
        if not os.path.exists(program):
            return False, None  # it sees other files than this host has
        first = [word for word in self.words if word.startswith(("--defaults", "--no-defaults"))]
        done = self._host.run(
            [program] + first + ["--print-defaults"],
            ok=None,
            environment={
                "HOME": self._environment("HOME") or "/nonexistent",
                "MYSQL_GROUP_SUFFIX": self.suffix,
            },
            c_locale=True,
            timeout=20,
        )
        if done.rc:
            return False, None
        words = done.stdout.decode("utf-8", "replace").split()
        found = [word.partition("=") for word in words if word.startswith("--")]
        values = [_negated(each[0], each[2] if each[1] else None) for each in found]
        values = [value for known, value in values if known == plain(name)]
        return True, values[-1] if values else None

    def _suffix(self):
        for word in self.words:
            if word.startswith("--defaults-group-suffix="):
                return word.partition("=")[2]
        return self._environment("MYSQL_GROUP_SUFFIX")

    def _environment(self, name):
        """Return a variable of the server's environment, "" where it has none."""
        lines = _read("/proc/%d/environ" % self._pid).split("\0") if self._pid else []
        return next((line[len(name) + 1 :] for line in lines if line.startswith(name + "=")), "")

    def _counts(self, group):
        """Say whether the server reads a group: a usual one, or the same with its suffix."""
        suffix = self.suffix.lower()
        own = group[: -len(suffix)] if suffix and group.endswith(suffix) else group
        return _GROUPS.fullmatch(group) or _GROUPS.fullmatch(own)

    def _files(self):
        if any(word == "--no-defaults" for word in self.words):
            raise Failed("the server was started with --no-defaults and reads no option file")
        told = dict(
            word.split("=", 1) for word in self.words if word.startswith("--defaults") and "=" in word
        )
        if "--defaults-file" in told:
            return [told["--defaults-file"]]
        found, seen = [], set()
        for path in _USUAL + tuple(filter(None, [told.get("--defaults-extra-file")])):
            real = os.path.realpath(native(path))
            if real not in seen and os.path.isfile(real):
                seen.add(real)
                found.append(path)
        return found

    def _file(self, path, drop_in, deep):
        if deep > _DEEP:
            raise Failed("%s: option files include each other in a circle" % path)
        if path == drop_in:
            return [Entry("", None, path)]
        found, group = [], ""
        try:
            lines = _read(path).splitlines()
        except (FileNotFoundError, IsADirectoryError):
            return []
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if line.startswith("!includedir"):
                found += self._folder(line[len("!includedir") :].strip(), drop_in, deep)
            elif line.startswith("!include"):
                found += self._file(line[len("!include") :].strip(), drop_in, deep + 1)
            elif line.startswith("["):
                group = line.strip("[] \t").lower()
            elif line and line[0] not in "#;" and self._counts(group):
                name, equals, value = line.partition("=")
                found.append(
                    Entry(
                        *_negated(name, unquoted(value) if equals else None), place="%s:%d" % (path, number)
                    )
                )
        return found

    def _folder(self, folder, drop_in, deep):
        folder = folder.rstrip("/") or "/"
        if not os.path.isdir(native(folder)):
            return []
        self.folders.append(folder)
        names = {text(name) for name in os.listdir(native(folder))}
        if drop_in is not None and os.path.dirname(drop_in) == folder:
            names.add(os.path.basename(drop_in))
        found = []
        for name in sorted(names):
            if name.endswith(".cnf"):
                found += self._file(os.path.join(folder, name), drop_in, deep + 1)
        return found


def unquoted(value):
    """Return a value without its comment and quotes."""
    value = value.strip()
    if value[:1] in "\"'" and value[1:].find(value[:1]) >= 0:
        return value[1 : 1 + value[1:].index(value[0])]
    return value.partition("#")[0].strip()


def _negated(name, value):
    """Return (name, value): skip-x and disable-x are x=OFF, x alone is x=ON."""
    name = plain(name)
    for prefix in ("skip_", "disable_"):
        if value is None and name.startswith(prefix):
            return name[len(prefix) :], "OFF"
    return name, "ON" if value is None else value


def _read(path):
    with open(native(path), "rb") as file:
        return file.read(_LARGEST).decode("utf-8", "surrogateescape")
