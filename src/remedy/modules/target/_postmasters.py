"""PostgreSQL servers among the processes of a host: their postmasters and backends, without asking a server."""

import os
import pwd
import re

from remedy.modules.target import _containers, _holders, _listening

PORT = 5432
_PROGRAMS = ("postgres", "postmaster", "edb-postgres")
# "postgres: 15/main: app shop 10.0.0.1(4711) idle"; cluster_name may be missing, [local] stands for the socket.
_TITLE = re.compile(
    r"^postgres: (?:(?P<cluster>\S+): )?(?P<user>\S+) (?P<database>\S+) "
    r"(?P<client>\[local\]|\S+\(\d+\)) (?P<state>.+?)\s*$"
)


def postmasters():
    """Return what is seen of each server: pid, user, unit, data, port, sockets, listens, container."""
    found = []
    for pid in sorted((name for name in os.listdir("/proc") if name.isdigit()), key=int):
        try:
            if _text("/proc/%s/comm" % pid).strip() not in _PROGRAMS or not _leads(pid):
                continue
            found.append(_server(pid))
        except (OSError, IOError, ValueError, IndexError):
            continue  # it ended, or /proc hides what belongs to others
    return found


def reached_at(host, reached):
    """Return (the server that takes connections where a client on this host got to, why it is none of its own).

    (None, why): a server of another host, or behind a proxy. One in a container of this host is seen, and none of its
    own. (None, None): nobody can tell, for only root sees the processes of others.
    """
    found, hidden = postmasters(), False
    for each in found:
        try:
            if not each["container"] and _listening.serves(each["pid"], reached):
                return each, None
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended
        except PermissionError:
            hidden = True
    if hidden and (reached.startswith("/") or _listening.own(reached)):
        return None, None
    boxed = [each for each in found if each["container"]]
    return (_boxed(host, boxed, reached) if boxed else None), _listening.elsewhere(reached)


def _boxed(host, servers, reached):
    """Return that server in a container to which a place of the host leads, None: none of them is seen to be it."""
    if reached.startswith("/"):
        return next((each for each in servers if _shares(each["pid"], reached)), None)
    address, _, port = reached.rpartition(":")
    local = bool(_listening.own(reached))
    for box in _containers.listed(host, lambda _: True, PORT):
        here = box["address"] == address.strip("[]") or (local and not box["address"])
        if box["pid"] and str(box["port"]) == port and here:
            return next((each for each in servers if _containers.inside(each["pid"], box["pid"])), None)
    return None


def _shares(pid, path):
    """Say whether a Unix socket that a process in a container listens on is the host's at a path."""
    try:
        paths = [place for place in _listening.places(pid) if isinstance(place, str)]
        return any(os.path.samefile("/proc/%d/root%s" % (pid, place), path) for place in paths)
    except OSError:
        return False


def backends(postmaster):
    """Return the sessions of a server, as their titles tell: pid, started, user, database, client, state, switches."""
    found = []
    for pid in (name for name in os.listdir("/proc") if name.isdigit()):
        try:
            if parent(pid) != postmaster:
                continue
            title = _TITLE.match(_text("/proc/%s/cmdline" % pid).replace("\0", " ").strip())
            if title is None:
                continue
            each = title.groupdict()
            each.update(pid=int(pid), started=_holders.started(pid), switches=_switches(pid))
            found.append(each)
        except (OSError, IOError, ValueError, IndexError):
            continue
    return sorted(found, key=lambda each: (each["started"], each["pid"]))


def parent(pid):
    """Return the parent of a process."""
    return int(_text("/proc/%s/stat" % pid).rpartition(")")[2].split()[1])


def _leads(pid):
    """Say whether a process is a postmaster: the first of its name, and no child of one."""
    above = parent(pid)
    try:
        return above <= 1 or _text("/proc/%d/comm" % above).strip() not in _PROGRAMS
    except (OSError, IOError):
        return True


def _server(pid):
    owner = os.stat("/proc/%s" % pid).st_uid
    about = {
        "pid": int(pid),
        "user": _name(owner),
        "unit": _holders.unit(pid),
        "data": None,
        "port": None,
        "sockets": None,
        "listens": None,
        "container": False,
    }
    try:
        about["data"] = os.readlink("/proc/%s/cwd" % pid)  # PostgreSQL works in its data folder
        about["container"] = not os.path.samefile("/proc/%s/root" % pid, "/")
        lines = _text("/proc/%s/cwd/postmaster.pid" % pid).split("\n")
        # https://www.postgresql.org/docs/current/storage-file-layout.html: pid, folder, start, port, sockets, address
        about["port"], about["sockets"], about["listens"] = int(lines[3]), lines[4] or None, lines[5] or None
    except (PermissionError, FileNotFoundError):
        pass  # only root and the server's own user may look
    return about


def _switches(pid):
    """Return how often a process has been put on a processor: one that does nothing keeps its number."""
    counts = re.findall(r"^(?:non)?voluntary_ctxt_switches:\s*(\d+)", _text("/proc/%s/status" % pid), re.M)
    return sum(map(int, counts))


def _name(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _text(path):
    with open(path, "rb") as file:
        return file.read(1 << 16).decode("utf-8", "replace")
