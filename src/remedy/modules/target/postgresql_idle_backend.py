"""End an idle session of PostgreSQL from outside, so that a slot comes free where nobody gets in.

For a server whose every connection is taken, the reserved ones too. No server is asked: what a session does stands in
the title of its process. Only one may go whose title says `idle` (so it has no transaction open), and whose process
does nothing while it is watched; the oldest goes first. It is sent SIGTERM, which is what pg_terminate_backend() sends:
the server ends the session in order. Never SIGKILL, which would restart the whole server.

Returns `sessions` (pid, user, database, client), those that were ended.
"""

import os
import signal
import time

from remedy.agent.kinds import Failed, Item, Param, Sweep
from remedy.modules.target import _holders, _listening, _postmasters

PARAMS = (
    Param("limit", "int", default=1, help="End so many at most."),
    Param("port", "int", default=5432, help="The server's port. Else the variable postgres_login_port."),
    Param("reached", help="Where the server was reached, HOST:PORT or a socket's path; it goes before `port`. Where "
          "that is no process of this host's own (a container's, another host's), nobody is ended."),
    Param(
        "keep_users",
        "list",
        elements="str",
        help="Sessions of these roles stay; postgres always does. Else the variable postgres_keep_users.",
    ),
    Param("watch", "duration", default=2, help="For so long a process must do nothing."),
)

VARIABLES = {"port": "postgres_login_port", "keep_users": "postgres_keep_users"}
EXAMPLES = """
- postgresql_idle_backend: {keep_users: [billing]}
"""

_GONE = 5.0


def check_params(params):
    if isinstance(params["limit"], int) and params["limit"] < 1:
        return "limit must be 1 or more"
    return None


def kind(params):
    return IdleBackend


class IdleBackend(Sweep):
    interruptible = False
    happened = "ended"
    noun = "connection"
    _first = None

    def key(self):
        return "idle sessions of PostgreSQL, from outside"

    def find(self):
        server = self._server()
        before = {each["pid"]: each for each in _postmasters.backends(server)}
        if self._first is None:
            time.sleep(self.params["watch"])
        items = []
        for each in _postmasters.backends(server):
            shown = "pid %(pid)d (%(user)s, %(database)s, %(client)s)" % each
            why = self._stays(each, before.get(each["pid"]))
            taking = sum(item.take for item in items)
            if not why and self._first is None and taking >= self.params["limit"]:
                why = "the limit is %d, and others are older" % self.params["limit"]
            if not why and self._first is not None and each["pid"] not in self._first:
                why = "it was not among those that were found at first"
            identity = [each["pid"], each["started"], each["switches"], server]
            items.append(Item(shown, not why, why or "idle, and it does nothing", 0, identity))
        if self._first is None:
            self._first = {item.identity[0] for item in items if item.take}
        return items

    def drain(self, item):
        pid, started, switches, server = item.identity
        now = [each for each in _postmasters.backends(server) if each["pid"] == pid and each["started"] == started]
        if not now:
            return "it has ended by itself"
        if now[0]["state"] != "idle" or now[0]["switches"] != switches:
            return "it has done something since"
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + _GONE
        while os.path.exists("/proc/%d" % pid) and _holders.started(str(pid)) == started:
            if time.monotonic() > until:
                raise Failed("%s was asked to end, and is still there: look at the server" % item.id)
            time.sleep(0.02)
        return 0

    def returns(self, taken, kept):
        return {"sessions": [{"pid": item.identity[0], "session": item.id} for item in taken]}

    def _server(self):
        if os.geteuid() != 0:
            raise Failed("only root may end sessions from outside; add become: true", cause="permission")
        reached = self.params.get("reached")
        if reached:
            server, elsewhere = _postmasters.reached_at(self.host, reached)
            if server is None or elsewhere:
                raise Failed(
                    "%s: no session of another server is ended in its place; end one where it runs"
                    % (elsewhere or _listening.elsewhere(reached))
                )
            return server["pid"]
        found = [each for each in _postmasters.postmasters() if not each["container"]]
        named = [each for each in found if each["port"] == self.params["port"]]
        if len(named) != 1:
            ports = ", ".join(str(each["port"]) for each in found) or "none"
            text = "no PostgreSQL with port %d runs on this host itself (ports: %s)"
            raise Failed(text % (self.params["port"], ports))
        return named[0]["pid"]

    def _stays(self, each, before):
        if each["state"] != "idle":
            return "it is not idle: %s" % each["state"]
        if each["user"] == "postgres" or each["user"] in (self.params["keep_users"] or ()):
            return "sessions of %s are kept" % each["user"]
        if before is None or before["started"] != each["started"] or before["switches"] != each["switches"]:
            return "it has done something while it was watched"
        return ""
