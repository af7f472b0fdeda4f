"""What a controller module must know of a PostgreSQL server's host: .pgpass, memory, limits, pools.

Of a server that was `reached` elsewhere than at a process of this host's own nothing is told of this host: it
may have a data folder of the same name. `elsewhere` says so (None: it is one, or nobody can tell); `memory` is then
that of its container, if it is seen to be in one of this host, else 0; `unit` is None. `perhaps` is the disk of a
server of this host's own with that folder, where a pool or proxy of this host was reached that may lead to it.
"""

import os
import re

from remedy.agent.kinds import Param, Probe
from remedy.modules.target import _cgroups, _listening, _postmasters

_LARGEST = 1 << 20  # bytes of a file that are read

PARAMS = (
    Param("passfile", "path", help="A .pgpass to read; it may be missing."),
    Param("data", "path", help="The server's data folder: memory and limits are told, and what its control file says."),
    Param("reached", help="Where the server was reached, HOST:PORT or a socket's path."),
)

_POOL = re.compile(
    r"^\s*(?:export\s+)?([A-Za-z0-9_]*(?:POOL|OVERFLOW|MAX_?CONN|CONN_MAX)[A-Za-z0-9_]*)\s*=\s*(.*)$", re.I
)
_NUMBER = re.compile(r"[\"']?([0-9]{1,9}[a-z]{0,2}|true|false|none|null)[\"']?\s*(?:#.*)?$", re.I)


def kind(params):
    return PostgresHost


class PostgresHost(Probe):
    def read(self):
        found = {"passfile": None, "ignored": None}
        if self.params.get("passfile"):
            found.update(_passfile(os.path.expanduser(self.params.get("passfile"))))
        if self.params.get("data") or self.params.get("reached"):
            found.update(self._server(self.params.get("data"), self.params.get("reached")))
        return found

    def _server(self, data, reached):
        """Return memory, limits, and the settings that a standby must not fall below ("control")."""
        server, elsewhere = _postmasters.reached_at(self.host, reached) if reached else (_by_folder(data), None)
        pid = server["pid"] if server else None
        found = {
            "pid": pid,
            "unit": server["unit"] if server and not elsewhere else None,
            "elsewhere": elsewhere,
            "memory": _memory(pid) if server or not elsewhere else {"total": 0, "available": 0},
            "tasks": min(_cgroups.tasks(pid) or [None]) if server else None,
            "file_max": _number("/proc/sys/fs/file-max"),
            "control": {},
            "disk": _disk("/proc/%d/cwd" % pid if server else data) if data and (server or not elsewhere) else None,
        }
        found["perhaps"] = None
        if elsewhere and not server and data and (reached.startswith("/") or _listening.own(reached)):
            found["perhaps"] = _disk(data) if _by_folder(data) else None
        if server and not elsewhere and data:
            found["control"] = self._control(pid, data)
        return found

    def _control(self, pid, data):
        try:
            program = os.readlink("/proc/%d/exe" % pid)
        except (OSError, IOError):
            return {}  # it ended
        found, tool = {}, os.path.join(os.path.dirname(program), "pg_controldata")
        if os.path.exists(tool):
            done = self.host.run([tool, "-D", data], ok=None, c_locale=True, timeout=20)
            for line in done.stdout.decode("utf-8", "replace").splitlines():
                name, _, value = line.partition(" setting:")
                if value.strip().isdigit():
                    found[name.strip()] = int(value)
        return found


def _by_folder(data):
    """Return the server of this host's own with a data folder, None: none is seen."""
    for each in _postmasters.postmasters():
        try:
            if not each["container"] and each["data"] and os.path.samefile(each["data"], data):
                return each
        except (OSError, IOError):
            continue
    return None


def _passfile(path):
    """Return a .pgpass as PostgreSQL's clients take it: one that others may read is left out."""
    try:
        if os.stat(path).st_mode & 0o077:
            return {"ignored": "%s is left out: others may read it; chmod 600 %s" % (path, path)}
        return {"passfile": _text(path)}
    except (OSError, IOError):
        return {}


def _number(path):
    try:
        text = _text(path).strip()
    except (OSError, IOError):
        return None
    return int(text) if text.isdigit() else None


def _disk(folder):
    """Return free and all bytes of a folder's file system as its owner has them, None where it is not there."""
    try:
        room = os.statvfs(folder)
    except (OSError, IOError):
        return None
    return {"free": room.f_bavail * room.f_frsize, "size": room.f_blocks * room.f_frsize}


def _memory(pid):
    """Return total and available bytes; the least limit of the server's control groups counts as its memory."""
    sizes = {}
    for line in _text("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if rest.strip().endswith("kB"):
            sizes[name] = int(rest.split()[0]) << 10
    total, available = sizes.get("MemTotal", 0), sizes.get("MemAvailable", sizes.get("MemFree", 0))
    least = min([limit for limit in _cgroups.memory(pid) if limit] + [total])
    return {"total": least, "available": min(available, least)}


def pools(path):
    """Return the pool settings of one file: numbers alone, so that no password leaves the host."""
    path = os.path.expanduser(path)
    try:
        lines = _text(path).splitlines()
    except (OSError, IOError) as error:
        return {"path": path, "error": error.strerror or str(error), "settings": {}}
    settings = {}
    for line in lines:
        named = _POOL.match(line)
        value = named and _NUMBER.match(named.group(2).strip())
        if value:
            settings[named.group(1)] = value.group(1)
    return {"path": path, "error": None, "settings": settings}


def _text(path):
    with open(path, "rb") as file:
        return file.read(_LARGEST).decode("utf-8", "surrogateescape")
