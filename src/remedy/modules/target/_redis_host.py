"""What the host knows of a Redis or Valkey server: its configuration file, its memory, open files, disk and dumps.

Read from files, because a server that is down or hung answers nothing, and because CONFIG GET does not say what the
server would come up with.
"""

import glob
import os
import re

from remedy.agent.kinds import Param, Probe
from remedy.modules.target import _cgroups, _containers, _listening, _mounts, _sockets

PORT = 6379
PROGRAMS = ("redis-server", "valkey-server", "keydb-server")
_LARGEST = 1 << 20  # bytes of a configuration file that are read
_DEPTH = 8  # of includes
_SECRET = ("requirepass", "masterauth", "user", "masteruser", "tls-key-file-pass", "tls-client-key-file-pass")
_LISTS = ("save", "client-output-buffer-limit", "rename-command", "loadmodule", "user")
_WORD = re.compile(r"""\s*(?:"((?:\\.|[^"\\])*)"|'((?:\\'|[^'])*)'|(\S+))""")

PARAMS = (
    Param("config_file", "path", help="The configuration file; None: the server has none."),
    Param(
        "pid", "int", help="The server's process as it knows itself; in a container that is another number."
    ),
    Param("dir", "path", help="Where it writes its dumps."),
    Param("reached", help="Where it was reached, HOST:PORT; it tells servers of several containers apart."),
    Param("port", "int", help="Tell who is connected to this port, as the kernel knows it."),
)


def kind(params):
    return RedisHost


class RedisHost(Probe):
    def read(self):
        pid = self._outside() if self.params["pid"] else None
        path = self.params["config_file"]
        return {
            "pid": pid,
            "config": config(path, root_of(pid)) if path else None,
            "memory": memory(pid),
            "open_files": open_files(pid),
            "disk": disk(self.params["dir"], root_of(pid)) if self.params["dir"] else None,
            "connections": connections(self.params["port"]) if self.params.get("port") else None,
        }

    def _outside(self):
        """Return the server's process: in most containers it calls itself 1, so where it was reached decides."""
        found = outside(self.params["pid"])
        if len(found) < 2:
            return found[0] if found else None
        host, _, port = (self.params["reached"] or "").rpartition(":")
        local = host in ("127.0.0.1", "::1", "localhost")
        for each in _containers.listed(self.host, lambda _: True, PORT):
            here = each["address"] == host or (local and not each["address"])
            # One that is stopped may have published the same port.
            if each["pid"] and str(each["port"]) == port and here:
                return next((pid for pid in found if _containers.inside(pid, each["pid"])), None)
        here = [pid for pid in found if not root_of(pid)]
        return here[0] if len(here) == 1 and local else None


def port(listens, values, command=""):
    """Return the port of a server: of its command line, which stands above its file, unless it listens elsewhere."""
    said = re.search(r"\s--port\s+\"?(\d+)", command)
    said = said.group(1) if said else values.get("port", "")
    meant = int(said) if said.isdigit() else PORT
    heard = {int(each.rpartition(":")[2]) for each in listens if not each.startswith("/")}
    not_meant = (values.get("tls-port"), values.get("cluster-port"))
    others = [each for each in heard - {each + 10000 for each in heard} if str(each) not in not_meant]
    return others[0] if meant not in heard and meant and len(others) == 1 else meant


def address(listens, port):
    """Return at which address a server is reached on its port, None: at 127.0.0.1, or it does not run."""
    heard = [each.rpartition(":")[0].strip("[]") for each in listens if each.endswith(":%s" % port)]
    if not heard or "0.0.0.0" in heard or "127.0.0.1" in heard:
        return None
    return "::1" if "::" in heard or "::1" in heard else heard[0]


def connections(port, pid=None):
    """Return [address, quiet seconds] of who is connected, the longest first; where no one can ask the server.

    With `pid` to this server alone: another one may have the same port, at another address.
    """
    known = [each for each in _sockets.established(port) if each.quiet is not None]
    if pid is not None:
        try:
            mine = {tuple(place) for place in _listening.places(pid) if not isinstance(place, str)}
            listens = set(_listening.every())
            known = [each for each in known if _listening.door(each.local.strip("[]"), port, listens) in mine]
        except OSError:
            pass  # only root may look, or it has ended
    return sorted(([each.shown, int(each.quiet)] for each in known), key=lambda each: (-each[1], each[0]))


def processes():
    """Return the ids of the servers on this host, without sentinels."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and _text("/proc/%s/comm" % name).strip() in PROGRAMS:
            if "[sentinel]" not in _text("/proc/%s/cmdline" % name):
                found.append(int(name))
    return sorted(found)


def outside(pid):
    """Return the processes on this host that a server may mean by its own number."""
    found = []
    for each in processes():
        status = re.search(r"^NSpid:\s(.*)$", _text("/proc/%d/status" % each), re.MULTILINE)
        # systemd-nspawn and containers: the last number is the innermost one.
        if status and str(pid) == status.group(1).split()[-1]:
            found.append(each)
    return found or [each for each in processes() if each == pid]


def root_of(pid):
    """Return the root folder of a process where it is another one than ours, else ""."""
    try:
        return "" if pid is None or os.path.samefile("/proc/%d/root" % pid, "/") else "/proc/%d/root" % pid
    except OSError:
        return ""


def config(path, root=""):
    """Return {values: {name: text}, files, unreadable: why or None, renamed, password}; later lines win, as in Redis.

    `password`: whether who gives no name needs one; None where an aclfile may say so.
    """
    found = {"path": path, "values": {}, "where": {}, "files": [], "unreadable": None, "renamed": [], "default": None}
    try:
        _read(path, root, found, 0)
    except OSError as error:
        found["unreadable"] = "%s: %s" % (path, error.strerror.lower())
    asked = found.pop("default")  # what ACL rules say of the user default comes after requirepass
    if asked is None:
        asked = None if found["values"].get("aclfile") else bool(found["values"].get("requirepass"))
    found["password"] = asked
    return found


def _needs_password(rules):
    """Say whether an account with these ACL rules needs a password."""
    needs = True
    for rule in rules:
        if rule == "nopass":
            needs = False
        elif rule[:1] in (">", "#") or rule in ("resetpass", "reset"):
            needs = True
    return needs


def _read(path, root, found, depth):
    with open(root + path, "rb") as file:
        text = file.read(_LARGEST).decode("utf-8", "surrogateescape")
    found["files"].append(path)
    for line in text.splitlines():
        parts = words(line)
        if not parts:
            continue
        name, value = parts[0].lower(), " ".join(parts[1:])
        if name == "user" and parts[1:2] == ["default"]:
            found["default"] = _needs_password(parts[2:])
        if name == "include" and depth < _DEPTH:
            for each in sorted(glob.glob(root + value)) or [root + value]:
                _read(each[len(root) :], root, found, depth + 1)
        elif name == "rename-command" and len(parts) > 1:
            found["renamed"].append(parts[1].upper())
        elif name in _LISTS and found["values"].get(name) and value not in ("", '""'):
            found["values"][name] += " " + value
        else:
            found["values"][name] = "***" if name in _SECRET and value else value
        found["where"][name] = path


def words(line):
    """Return the words of a line as Redis parts them, [] for a comment."""
    line = line.strip()
    if not line or line.startswith("#"):
        return []
    return [_unescaped(m) for m in _WORD.finditer(line)]


def _unescaped(match):
    double, single, plain = match.groups()
    if double is not None:
        known = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}
        text = re.sub(r"\\x([0-9a-fA-F]{2})", lambda m: chr(int(m.group(1), 16)), double)
        return re.sub(r"\\(.)", lambda m: known.get(m.group(1), m.group(1)), text)
    return single.replace("\\'", "'") if single is not None else plain


def memory(pid):
    """Return bytes: `total` and `available` of the host, `limit` of the server's cgroup (None: none), `rss`."""
    lines = dict(re.findall(r"^(\w+):\s+(\d+) kB", _text("/proc/meminfo"), re.MULTILINE))
    rss = re.search(r"^VmRSS:\s+(\d+) kB", _text("/proc/%d/status" % pid), re.MULTILINE) if pid else None
    total = int(lines.get("MemTotal", 0)) << 10
    return {
        "total": total,
        "available": int(lines.get("MemAvailable", lines.get("MemFree", 0))) << 10,
        "swap": int(lines.get("SwapTotal", 0)) << 10,
        "limit": _limit(pid, total) if pid else None,
        "rss": int(rss.group(1)) << 10 if rss else None,
        "overcommit": _text("/proc/sys/vm/overcommit_memory").strip() or None,
    }


def _limit(pid, total):
    """Return the least limit on the way from the server's cgroup to the top; None where that is no limit."""
    found = [limit for limit in _cgroups.memory(pid) if limit < total]
    return min(found) if found else None


def open_files(pid):
    """Return {soft, hard} limits of open files and how many are `used`; None where they cannot be seen."""
    found = (
        re.search(r"^Max open files\s+(\S+)\s+(\S+)", _text("/proc/%d/limits" % pid), re.MULTILINE)
        if pid
        else None
    )
    if not found:
        return None
    soft, hard = (int(text) if text.isdigit() else None for text in found.groups())
    try:
        used = len(os.listdir("/proc/%d/fd" % pid))
    except OSError:
        used = None
    return {"soft": soft, "hard": hard, "used": used}


def disk(folder, root=""):
    """Return the room for dumps: folder, mount, free, size (bytes), inodes free; None where it is not there."""
    try:
        room = os.statvfs(root + folder)
    except OSError:
        return None
    mount = {} if root else (_mounts.holding(_mounts.mounts(), os.path.realpath(folder)) or {})
    return {
        "folder": folder,
        "mount": mount.get("mount"),
        "free": room.f_bavail * room.f_frsize,
        "size": room.f_blocks * room.f_frsize,
        "inodes": room.f_favail if room.f_files else None,
        "read_only": bool(room.f_flag & os.ST_RDONLY),
    }


def _text(path):
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST).replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""
