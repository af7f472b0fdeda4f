"""What a controller module must know of a database server's process and host: memory, open files, its option files.

`free` are the bytes that an ordinary user may still write where its data lie. `datadir` says which server is meant.
Returns `pid` (None: no such process is seen), `elsewhere` (why it is none of this host's, None: it is, or it is not
known), `memory` (total: what the host or the server's control group has;
available, resident: bytes), `open_files` (now, soft, hard), and for each of `options` the value that the server
would read at its next start (`options`; None: no file sets it), with `sets` (FILE:LINE).
"""

import os

from remedy.agent.kinds import Param, Probe
from remedy.agent.paths import native
from remedy.modules.target import _cgroups, _mysql_options

PARAMS = (
    Param(
        "datadir", "path", help="The data folder of the server that is meant; None: the only one there is."
    ),
    Param("reached", help="Where it was reached, HOST:PORT or a socket's path: only a process of this host is meant."),
    Param("options", "list", elements="str", help="Options to look for in its option files."),
)


def kind(params):
    return MysqlHost


class MysqlHost(Probe):
    def read(self):
        pid = _mysql_options.process(self.params["datadir"], self.params.get("reached"))
        found = {"pid": pid, "memory": _memory(pid), "open_files": _files(pid), "options": {}, "sets": {}}
        found["elsewhere"] = (
            _mysql_options.elsewhere(self.params["datadir"], self.params.get("reached")) if pid is None else None
        )
        if found["elsewhere"] is not None:
            # Its folders and option files are elsewhere, whatever this host has by these names.
            nothing = dict.fromkeys(self.params["options"] or ())
            return dict(found, options=nothing, sets=dict(nothing))
        try:
            room = os.statvfs(native(self.params["datadir"] or "/proc/%s/cwd" % pid))
            found["free"] = room.f_bavail * room.f_frsize
        except OSError:
            pass  # no such folder on this host
        if self.params["options"]:
            entries = _mysql_options.Options(self.host, pid).entries()
            for name in self.params["options"]:
                last = _mysql_options.last(entries, name)
                found["options"][name] = None if last is None else last.value
                found["sets"][name] = None if last is None else last.place
        return found


def _memory(pid):
    about = _fields("/proc/meminfo")
    total = about.get("MemTotal", 0)
    limits = [limit for limit in _cgroups.memory(pid) if 0 < limit < total]
    resident = _fields("/proc/%s/status" % pid).get("VmRSS", 0) if pid else 0
    return {
        "total": min(limits + [total]),
        "available": about.get("MemAvailable", 0),
        "resident": resident,
    }


def _fields(path):
    """Return the values of a file such as /proc/meminfo, in bytes."""
    found = {}
    try:
        with open(path) as file:
            for line in file:
                name, _, rest = line.partition(":")
                words = rest.split()
                if len(words) == 2 and words[1] == "kB":
                    found[name] = int(words[0]) << 10
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        pass  # it ended
    return found


def _files(pid):
    found = {"now": None, "soft": None, "hard": None}
    try:
        with open("/proc/%s/limits" % pid) as file:
            for line in file:
                if line.startswith("Max open files"):
                    found["soft"], found["hard"] = (
                        int(word) if word.isdigit() else None for word in line.split()[3:5]
                    )
        found["now"] = len(os.listdir("/proc/%s/fd" % pid))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        pass  # it ended, or only root may look
    return found
