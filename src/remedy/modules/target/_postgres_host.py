"""What a controller module must know of a PostgreSQL server's host: .pgpass, memory, limits, pools."""

import os
import re

from remedy.agent.kinds import Param, Probe

_LARGEST = 1 << 20  # bytes of a file that are read

PARAMS = (
    Param("passfile", "path", help="A .pgpass to read; it may be missing."),
    Param("data", "path", help="The server's data folder: memory and limits are told, and what its control file says."),
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
        if self.params.get("data"):
            found.update(self._server(self.params.get("data")))
        return found

    def _server(self, data):
        """Return memory, limits, and the settings that a standby must not fall below ("control")."""
        found = {"memory": _memory(), "tasks": None, "file_max": _number("/proc/sys/fs/file-max"), "control": {}}
        found["disk"] = _disk(data)
        try:
            pid = int(_text(os.path.join(data, "postmaster.pid")).split()[0])
            program = os.readlink("/proc/%d/exe" % pid)
            found["tasks"] = _tasks(pid)
        except (OSError, IOError, ValueError, IndexError):
            return found  # it runs in a container, or on another host
        tool = os.path.join(os.path.dirname(program), "pg_controldata")
        if os.path.exists(tool):
            done = self.host.run([tool, "-D", data], ok=None, c_locale=True, timeout=20)
            for line in done.stdout.decode("utf-8", "replace").splitlines():
                name, _, value = line.partition(" setting:")
                if value.strip().isdigit():
                    found["control"][name.strip()] = int(value)
        return found


def _passfile(path):
    """Return a .pgpass as PostgreSQL's clients take it: one that others may read is left out."""
    try:
        if os.stat(path).st_mode & 0o077:
            return {"ignored": "%s is left out: others may read it; chmod 600 %s" % (path, path)}
        return {"passfile": _text(path)}
    except (OSError, IOError):
        return {}


def _tasks(pid):
    """Return how many processes the server's cgroup may have, None where there is no limit."""
    for line in _text("/proc/%d/cgroup" % pid).splitlines():
        number, controllers, path = line.split(":", 2)
        if "pids" in controllers.split(","):
            return _number("/sys/fs/cgroup/pids%s/pids.max" % path.rstrip("/"))
        if number == "0":
            limit = _number("/sys/fs/cgroup%s/pids.max" % path.rstrip("/"))
            if limit is not None:
                return limit
    return None


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


def _memory():
    """Return total and available bytes; a limit of the host's cgroup counts as its memory."""
    sizes = {}
    for line in _text("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if rest.strip().endswith("kB"):
            sizes[name] = int(rest.split()[0]) << 10
    total, available = sizes.get("MemTotal", 0), sizes.get("MemAvailable", sizes.get("MemFree", 0))
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        limit = _number(path)
        if limit and limit < total:
            total, available = limit, min(available, limit)
    return {"total": total, "available": available}


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
