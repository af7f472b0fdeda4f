"""End the TCP connection of a client that MySQL or MariaDB waits for, so that a slot comes free where nobody gets in.

For a server whose every connection is taken, the one kept for administrators too. No server is asked: what is looked at
is the server's process. A connection may go only where it is proved that the server waits for its client: one of its
threads is in poll(2) on that very socket, and on nothing else; and neither side has sent anything for `idle`. The
longest silent goes first. The kernel aborts the connection (sock_diag(7), as `ss --kill`): the server sees its client
gone, and takes the session back. What cannot be seen from outside is whether that session has an open transaction: the
server rolls it back. Hence `in_transaction`, which must be true.

Needs root, a kernel with CONFIG_INET_DIAG_DESTROY (Debian's and Red Hat's have it) and a server with one thread a
connection (no thread pool). Clients at `keep_hosts` stay. Returns `clients` (client, server, silent: seconds), those
that were ended.
"""

import os
import struct
import time

from remedy.agent.kinds import Failed, Item, Param, Sweep
from remedy.modules.target import _holders, _listening, _mysql_options, _sockets

PARAMS = (
    Param("idle", "duration", default=300, help="Only clients that have sent nothing for so long."),
    Param("limit", "int", default=1, help="End so many at most."),
    Param("keep_hosts", "list", elements="str", help="Clients at these addresses stay."),
    Param("datadir", "path", help="The data folder of the server that is meant, where several run."),
    Param("reached", help="Where the server was reached, HOST:PORT or a socket's path: where that is no process of "
          "this host's own (a container's, another host's), nobody is ended."),
    Param(
        "in_transaction",
        "bool",
        default=False,
        help="Must be true: a transaction that is open is rolled back.",
    ),
)

EXAMPLES = """
- mysql_idle_client: {idle: 10m, in_transaction: true}
"""

# poll and ppoll by the machine's name; of arm64 and others only ppoll there is.
_POLL = {"x86_64": (7, 271), "aarch64": (73,), "ppc64le": (167, 281), "s390x": (168, 302)}
_POLLIN = 0x0001
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
    noun = "connection"
    _first = None
    _told = None

    def key(self):
        return "idle clients of MySQL (a transaction that is open is rolled back)"

    def find(self):
        pid = self._server()
        started, waits = _holders.started(str(pid)), _awaited(pid)
        items = []
        self._told = self._told or {}
        for each, number in sorted(_clients(pid), key=lambda pair: -_silent(pair[0])):
            why = self._stays(each, number, waits)
            taking = [item for item in items if item.take]
            if not why and self._first is None and len(taking) >= self.params["limit"]:
                why = "the limit is %d, and others have been silent for longer" % self.params["limit"]
            if not why and self._first is not None and each.cookie not in self._first:
                why = "it was not among those that were found at first"
            reason = why or "the server waits for it, and it has been silent for %d s" % _silent(each)
            items.append(Item(each.shown, not why, reason, 0, [each.shown, each.cookie, pid, started]))
            server = "%s:%d" % (each.local, each.port)
            self._told[each.cookie] = {"client": each.shown, "server": server, "silent": int(_silent(each))}
        if self._first is None:
            self._first = {item.identity[1] for item in items if item.take}
        return items

    def drain(self, item):
        _, cookie, pid, started = item.identity
        if _holders.started(str(pid)) != started:
            return "the server has been started anew"
        waits = _awaited(pid)
        now = [pair for pair in _clients(pid) if pair[0].cookie == cookie]
        if not now:
            return "it is gone"
        why = self._stays(now[0][0], now[0][1], waits)
        if why:
            return why
        if not _sockets.destroy(now[0][0]):
            return "it is gone"
        until = time.monotonic() + _GONE
        while now[0][0].inode in _listening.descriptors(pid).values():
            if time.monotonic() > until:
                raise Failed(
                    "%s is aborted, and the server holds it all the same: look at the server" % item.id
                )
            time.sleep(0.02)
        return 0

    def returns(self, taken, kept):
        return {"clients": [self._told[item.identity[1]] for item in taken]}

    def _server(self):
        if os.geteuid() != 0:
            raise Failed("only root may look into the server; add become: true", cause="permission")
        datadir, reached = self.params["datadir"], self.params.get("reached")
        pid = _mysql_options.process(datadir, reached)
        if pid is None:
            if reached and _mysql_options.elsewhere(datadir, reached):
                raise Failed(
                    "%s: no client of another server is ended in its place; end one where it runs"
                    % _listening.elsewhere(reached)
                )
            raise Failed(
                "not exactly one MySQL or MariaDB server is seen outside containers; "
                "datadir names the one that is meant"
            )
        return pid

    def _stays(self, each, number, waits):
        if each.peer in (self.params["keep_hosts"] or ()):
            return "clients at %s are kept (keep_hosts)" % each.peer
        if _silent(each) < self.params["idle"]:
            return "something was sent %d s ago" % _silent(each)
        if number not in waits:
            return "the server is not seen to wait for it"
        return ""


def _silent(each):
    """Return for how many seconds neither side has sent anything; 0 where the kernel does not say."""
    return each.quiet or 0


def _clients(pid):
    """Return [(connection, the server's descriptor)] of a server's TCP clients."""
    numbers = {inode: number for number, inode in _listening.descriptors(pid).items()}
    ports = {place[1] for place in _listening.places(pid) if not isinstance(place, str)}
    found = [each for port in ports for each in _sockets.established(port)]
    return [(each, numbers[each.inode]) for each in found if each.inode in numbers]


def _awaited(pid):
    """Return the descriptors that a thread of the server polls for input, each alone."""
    numbers = _POLL.get(os.uname().machine)
    if numbers is None:
        raise Failed("what the server's threads wait for cannot be looked at on %s" % os.uname().machine)
    found = set()
    with open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for thread in os.listdir("/proc/%d/task" % pid):
            try:
                with open("/proc/%d/task/%s/syscall" % (pid, thread)) as file:
                    words = file.read().split()
                polls = len(words) > 3 and words[0].isdigit() and int(words[0]) in numbers
                if not polls or int(words[2], 16) != 1:
                    continue  # it runs, or does something else
                data = os.pread(memory.fileno(), 8, int(words[1], 16))
                number, events, _ = struct.unpack("=ihh", data)
            except (OSError, struct.error):
                continue  # it ended
            if events & _POLLIN:
                found.add(number)
    return found
