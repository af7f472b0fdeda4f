"""What a controller module must know of a PostgreSQL server's host: .pgpass, memory, limits, settings of pools."""

import os
import re

from remedy.agent.kinds import Param, Probe

_LARGEST = 1 << 20  # bytes of a file that are read

PARAMS = (
    Param("passfile", "path", help="A .pgpass to read; it may be missing."),
    Param("pid", "int", help="A process of the server, whose limits are read."),
    Param("memory", "bool", default=False, help="Whether memory is asked for."),
    Param("env_files", "list", elements="str", help="Files with NAME=VALUE, of which names of pools are returned."),
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
        if self.params.get("pid"):
            found["open_files"] = _open_files(self.params.get("pid"))
        if self.params.get("memory"):
            found["memory"] = _memory()
        if self.params.get("env_files"):
            found["pools"] = [_pools(os.path.expanduser(path)) for path in self.params.get("env_files")]
        return found


def _passfile(path):
    """Return a .pgpass as PostgreSQL's clients take it: one that others may read is left out."""
    try:
        if os.stat(path).st_mode & 0o077:
            return {"ignored": "%s is left out: others may read it; chmod 600 %s" % (path, path)}
        return {"passfile": _text(path)}
    except (OSError, IOError):
        return {}


def _open_files(pid):
    """Return the soft limit of open files of a process, None where it cannot be told."""
    try:
        for line in _text("/proc/%d/limits" % pid).splitlines():
            if line.startswith("Max open files"):
                soft = line.split()[3]
                return int(soft) if soft.isdigit() else None
    except (OSError, IOError):
        pass
    return None


def _memory():
    """Return total and available bytes; a limit of the host's cgroup counts as its memory."""
    sizes = {}
    for line in _text("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if rest.strip().endswith("kB"):
            sizes[name] = int(rest.split()[0]) << 10
    total, available = sizes.get("MemTotal", 0), sizes.get("MemAvailable", sizes.get("MemFree", 0))
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = _text(path).strip()
        except (OSError, IOError):
            continue
        if limit.isdigit() and 0 < int(limit) < total:
            total, available = int(limit), min(available, int(limit))
    return {"total": total, "available": available}


def _pools(path):
    """Return the pool settings of one file: numbers alone, so that no password leaves the host."""
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
