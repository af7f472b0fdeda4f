"""End the TCP connection of a client that MySQL or MariaDB waits for, so that a slot comes free where nobody gets in.

For a server whose every connection is taken, the one kept for administrators too. No server is asked: what is looked at is
the server's process. A connection may go only where it is proved that the server waits for its client: one of its threads
is in poll(2) on that very socket, and nothing else; and the client has sent nothing for `idle`. The longest silent
goes first. Ending it is what a client does that goes away: the socket is shut down (by a duplicate of the
server's own descriptor, pidfd_getfd(2)), the server sees the end and takes its session back. What cannot be seen
from outside is whether that session has an open transaction: the server rolls it back. Hence `in_transaction`, which must be
true.

Needs root, Linux 5.6 and a server with one thread a connection (no thread pool). Connections from
`keep_hosts` stay. Returns `clients` (client, server, silent: seconds), those that were ended.
"""

import ctypes
import os
import socket
import struct
import time

from remedy.agent.kinds import Failed, Item, Param, Sweep
from remedy.modules.target import _holders, _listening, _mysql_options

PARAMS = (
    Param("idle", "duration", default=300, help="Only clients that have sent nothing for so long."),
    Param("limit", "int", default=1, help="End so many at most."),
    Param("keep_hosts", "list", elements="str", help="Clients at these addresses stay."),
    Param("datadir", "path", help="The data folder of the server that is meant, where several run."),
    Param("in_transaction", "bool", default=False, help="Must be true: a transaction that is open is rolled back."),
)

EXAMPLES = """
- mysql_idle_client: {idle: 10m, in_transaction: true}
"""

_PIDFD_OPEN, _PIDFD_GETFD = 434, 438  # the same on every architecture
_POLL = {"x86_64": (7, 271), "aarch64": (73,), "ppc64le": (167, 281), "s390x": (168, 302)}
_POLLIN = 0x0001
_TCP_INFO = 11
_LAST_SENT, _LAST_RECEIVED = 44, 52  # offsets of tcpi_last_data_sent and tcpi_last_data_recv, milliseconds
_GONE = 5.0


def check_params(params):
    if not params["in_transaction"]:
        return (
            "in_transaction must be true: from outside nobody sees whether the client has a transaction open, "
            "which the server would roll back"
        )
    if isinstance(params["limit"], int) and params["limit"] < 1:
        return "limit must be 1 or more"
    return None


def kind(params):
    return IdleClient


class IdleClient(Sweep):
    interruptible = False
    happened = "ended"
    _taken = 0

    def key(self):
        return "idle clients of MySQL (a transaction that is open is rolled back)"

    def find(self):
        if os.geteuid() != 0:
            raise Failed("only root may look into the server; add become: true", cause="permission")
        pid = _mysql_options.process(self.params["datadir"])
        if pid is None:
            raise Failed(
                "not exactly one MySQL or MariaDB server is seen outside containers; datadir names the one that is meant"
            )
        self._pid = pid
        self._told = getattr(self, "_told", {})
        waits, others = _awaited(pid)
        found = []
        ours = {place[1] for place in _listening.places(pid) if not isinstance(place, str)}
        for number, here, there in _listening.clients(pid):
            if here[1] not in ours:
                continue  # the server is a client itself: replication
            silent = self._silent(number)
            if silent is not None:
                found.append((silent, number, here, there))
        items = []
        for silent, number, here, there in sorted(found, reverse=True):
            name = "%s:%d" % there
            self._told[name] = {"client": name, "server": "%s:%d" % here, "silent": int(silent)}
            why = self._stays(silent, number, there, waits, others)
            if not why and len([each for each in items if each.take]) >= self.params["limit"] - self._taken:
                why = "the limit is %d, and others have been silent for longer" % self.params["limit"]
            reason = why or "the server waits for it, and it has sent nothing for %d s" % silent
            items.append(Item(name, not why, reason, 0, [pid, _holders.started(str(pid)), number, list(here), list(there)]))
        return items

    def drain(self, item):
        pid, started, number, here, there = item.identity
        if _holders.started(str(pid)) != started:
            return "the server has been started anew"
        wanted = (number, tuple(here), tuple(there))
        if wanted not in _listening.clients(pid):
            return "it is gone"
        waits, others = _awaited(pid)
        with _Duplicate(pid, number) as line:
            if line.getpeername()[:2] != tuple(there) and not line.getpeername()[0].endswith(there[0]):
                return "another client is there now"
            why = self._stays(_silence(line), number, tuple(there), waits, others)
            if why:
                return why
            line.shutdown(socket.SHUT_RDWR)
        until = time.monotonic() + _GONE
        while wanted in _listening.clients(pid):
            if time.monotonic() > until:
                raise Failed("%s is shut down, and the server holds it all the same: look at the server" % item.id)
            time.sleep(0.02)
        self._taken += 1
        return 0

    def returns(self, taken, kept):
        return {"clients": [self._told[item.id] for item in taken]}

    def _stays(self, silent, number, there, waits, others):
        if there[0] in (self.params["keep_hosts"] or ()):
            return "clients at %s are kept (keep_hosts)" % there[0]
        if silent < self.params["idle"]:
            return "it has sent something %d s ago" % silent
        if number not in waits:
            return "the server is not seen to wait for it%s" % others
        return ""

    def _silent(self, number):
        try:
            with _Duplicate(self._pid, number) as line:
                return _silence(line)
        except OSError:
            return None  # closed in between


class _Duplicate(object):
    """A duplicate of another process's socket; closing it leaves theirs open."""

    def __init__(self, pid, number):
        self._line = None
        libc = ctypes.CDLL(None, use_errno=True)
        process = _call(libc, _PIDFD_OPEN, pid, 0)
        try:
            self._line = socket.socket(fileno=_call(libc, _PIDFD_GETFD, process, number, 0))
        finally:
            os.close(process)

    def __enter__(self):
        return self._line

    def __exit__(self, *_):
        self._line.close()


def _call(libc, number, *words):
    done = libc.syscall(number, *words)
    if done >= 0:
        return done
    error = ctypes.get_errno()
    if error in (38, 1):  # ENOSYS: Linux before 5.6; EPERM: a container that may not
        raise Failed("this host does not allow it: %s (pidfd_getfd needs Linux 5.6 and CAP_SYS_PTRACE)" % os.strerror(error))
    raise OSError(error, os.strerror(error))


def _silence(line):
    """Return for how many seconds neither side has sent anything."""
    about = line.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 256)
    sent, received = (struct.unpack_from("=I", about, place)[0] for place in (_LAST_SENT, _LAST_RECEIVED))
    return min(sent, received) / 1000.0


def _awaited(pid):
    """Return ({descriptors that a thread polls for input, alone}, a text where none could be seen)."""
    numbers = _POLL.get(os.uname().machine)
    if numbers is None:
        return set(), " (threads cannot be looked at on %s)" % os.uname().machine
    found = set()
    with open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for thread in os.listdir("/proc/%d/task" % pid):
            try:
                with open("/proc/%d/task/%s/syscall" % (pid, thread)) as file:
                    words = file.read().split()
                if len(words) < 4 or not words[0].isdigit() or int(words[0]) not in numbers or int(words[2], 16) != 1:
                    continue  # it runs, or does something else
                number, events, _ = struct.unpack("=ihh", os.pread(memory.fileno(), 8, int(words[1], 16)))
            except (OSError, struct.error):
                continue  # it ended
            if events & _POLLIN:
                found.add(number)
    return found, "" if found else " (a thread pool, or nobody is idle)"
