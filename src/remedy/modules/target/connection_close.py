"""End idle TCP connections to a port of this host from outside, where the service itself lets nobody in any more.

For a service whose every connection is taken, so that nobody can log in to close one: the kernel aborts the
connection, both sides see it, and the client connects anew. Only connections in which neither side has sent anything
for `idle` are taken, the longest idle first, at most `most`; each must still be the same one, and idle, when it goes.
So a subscriber stays while messages come. What a connection was used for cannot be seen from here: a subscriber that
gets none, or who waits in a blocking command, is idle, too. With `reached` only connections to the server that was
reached there are taken: the same port may be that of another one. Connections of sshd are never taken. Needs root and
CONFIG_INET_DIAG_DESTROY. Returns `connections`: how many there are, and `by_address`.
"""

import fnmatch
import os
from collections import Counter

from remedy.agent.kinds import REQUIRED, Failed, Item, Param, Sweep
from remedy.modules.target import _listening, _ports, _sockets

_TOGETHER = 1.0  # seconds

PARAMS = (
    Param("port", "int", default=REQUIRED, help="The port of the service."),
    Param("idle", "duration", default=300, help="Only those in which neither side has sent anything for so long."),
    Param("reached", help="Where the server was reached, HOST:PORT or a socket's path, as seen from the host: where "
          "nobody on this host takes connections (a container's own address, another host's), none is ended."),
    Param("address", help="Only those whose peer's IP:PORT fits: 10.0.0.7:*."),
    Param("most", "int", default=1, help="End at most so many."),
)

EXAMPLES = """
- connection_close: {port: 6379, idle: 10m}
"""


def check_params(params):
    port, idle, most = params["port"], params["idle"], params["most"]
    if isinstance(port, int) and not 1 <= port <= 65535:
        return "port: expected 1 to 65535"
    if isinstance(idle, (int, float)) and idle < 1:
        return "idle: at least 1s"
    if isinstance(most, int) and most < 1:
        return "most: at least 1"
    return None


def kind(params):
    return Close


class Close(Sweep):
    happened = "ended"
    noun = "connection"
    _first = None

    def key(self):
        return "idle connections to port %d" % self.params["port"]

    def find(self):
        owner = _ports.owner(self.params["port"])
        if owner is not None and owner.startswith("sshd"):
            raise Failed("port %d is sshd's: its connections are not for this module" % self.params["port"])
        fitting = [each for each in self._connections() if self._fits(each)]
        chosen = steady(fitting)[: self.params["most"]]
        rest = len(fitting) - len(chosen)
        items = []
        for each in chosen:
            reason = "idle for %d s" % each.quiet
            if rest:
                reason += "; %d more are idle for so long" % rest
            take = self._first is None or each.shown in self._first
            items.append(Item(each.shown, take, reason, 0, [each.shown, each.cookie]))
        if self._first is None:
            self._first = {item.id for item in items}
        return items

    def drain(self, item):
        now = [each for each in _sockets.established(self.params["port"]) if each.cookie == item.identity[1]]
        if not now:
            return "it is gone"
        if not self._fits(now[0]):
            return "something was sent %.1f s ago" % (now[0].quiet or 0)
        return 0 if _sockets.destroy(now[0]) else "it is gone"

    def returns(self, taken, kept):
        now = self._connections()
        return {
            "connections": len(now),
            "by_address": dict(Counter(each.peer for each in now).most_common(20)),
        }

    def _fits(self, each):
        address = self.params["address"]
        fits = address is None or fnmatch.fnmatchcase(each.shown, address)
        return fits and each.quiet is not None and each.quiet >= self.params["idle"]

    def _connections(self):
        """Return the connections to the server that is meant."""
        port, reached = self.params["port"], self.params.get("reached")
        found = _sockets.established(port)
        if not reached:
            return found
        if os.geteuid() != 0:
            raise Failed("only root sees who takes connections at %s; add become: true" % reached, cause="permission")
        meant = _listening.doors(reached)
        if port not in {number for _, number in meant}:
            raise Failed(
                "nobody on this host takes connections at %s and has port %d (it is in a container, or on another "
                "host): connections to port %d of this host are another server's, and none is ended; end one where "
                "that server runs, or close a client of it" % (reached, port, port)
            )
        listens = set(_listening.every())
        return [each for each in found if _listening.door(each.local.strip("[]"), port, listens) in meant]


def steady(connections):
    """Return the longest idle first; of those that fell silent together always in the same order.

    The kernel's clock is too coarse to tell these apart: what was shown and approved must be what is ended later.
    """
    left = sorted(connections, key=lambda each: -each.quiet)
    found = []
    while left:
        together = [each for each in left if each.quiet > left[0].quiet - _TOGETHER]
        found += sorted(together, key=lambda each: (each.peer_port, each.shown))
        left = left[len(together) :]
    return found
