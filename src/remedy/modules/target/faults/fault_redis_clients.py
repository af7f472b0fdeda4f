"""Take the connections of a Redis or Valkey server, and leave them idle.

A process of its own (the unit `remedy-drill-redis-NAME`) holds them until `absent`. With `leave` so many stay free;
with 0 the server refuses everybody else: max number of clients reached. `maxclients` lowers the limit first, live,
and `absent` brings it back unless it was set anew since. Returns `unit` and `pid`.
"""

from remedy.agent.kinds import Failed, Param
from remedy.modules.target.faults._daemon import Running
from remedy.modules.target.faults._fault import MARK, STATE, name_param, wrong_name
from remedy.modules.target.faults._redis import LOGIN, Redis
from remedy.modules.target.faults._until import until

PARAMS = (
    Param("leave", "int", default=0, help="How many connections stay free."),
    Param("maxclients", "int", help="The limit that it gets first; None: as it is."),
    name_param("clients"),
    STATE,
) + LOGIN

EXAMPLES = """
- fault_redis_clients: {maxclients: 60}
- fault_redis_clients: {leave: 5}
- fault_redis_clients: {state: absent}
"""

_MOST = 5000
# Who is refused is told so, and hung up on; who has not logged in takes a place, too.
_PROGRAM = """
import resource, socket
port, count = int(sys.argv[1]), int(sys.argv[2])
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held = []
while len(held) < count:
    link = socket.create_connection(("127.0.0.1", port), 10)
    link.settimeout(10)
    link.sendall(b"PING\\r\\n")
    said = link.recv(512)
    if not said or b"max number" in said:
        break
    held.append(link)
stay()
"""


def check_params(params):
    if isinstance(params["leave"], int) and params["leave"] < 0:
        return "leave: 0 or more"
    if isinstance(params["maxclients"], int) and not 10 <= params["maxclients"] <= _MOST:
        return "maxclients: expected 10 to %d" % _MOST
    return wrong_name(params)


def kind(params):
    return Clients


class Clients(Running):
    def label(self):
        return "redis-" + self.params["name"]

    @property
    def note(self):
        return "%s:%s:was" % (MARK, self.params["name"])

    def key(self):
        return "fault:redis-clients:%d:%s" % (self.params["port"], self.params["name"])

    def found(self):
        if self.daemon.pid() is not None:
            # A runbook that has closed some of them has healed it in part.
            return self._state() == "full" or self.params["leave"] > 0
        return False if self._state() == "noted" else None

    def inject(self):
        self.daemon.stop()
        with Redis(self.params["port"], self.params["password"]) as redis:
            limit = int(redis.ask("CONFIG", "GET", "maxclients")[1])
            wanted = self.params["maxclients"] or limit
            if wanted > _MOST:
                raise Failed("it allows %d clients: give maxclients, at most %d" % (wanted, _MOST))
            redis.ask("SET", self.note, "%d %d" % (limit, wanted), "NX")
            redis.ask("CONFIG", "SET", "maxclients", wanted)
            # This one's own place is free again when the others are taken.
            count = wanted - len(redis.ask("CLIENT", "LIST").splitlines()) + 1 - self.params["leave"]
        self.daemon.start(_PROGRAM, self.params["port"], max(count, 0) if self.params["leave"] else _MOST)

    def lift(self):
        self.daemon.stop()
        until(lambda: self._state() != "full", "Redis is to let somebody in again")
        with Redis(self.params["port"], self.params["password"]) as redis:
            was = redis.ask("GET", self.note)
            if was is not None:
                before, ours = was.split()
                if redis.ask("CONFIG", "GET", "maxclients")[1] == ours:
                    redis.ask("CONFIG", "SET", "maxclients", before)
                redis.ask("DEL", self.note)

    def returns(self, have, now):
        return {"unit": self.daemon.unit, "pid": self.daemon.pid()}

    def _state(self):
        """Return full, noted (the server knows of the fault), or nothing."""
        try:
            with Redis(self.params["port"], self.params["password"]) as redis:
                return "noted" if redis.ask("GET", self.note) is not None else "nothing"
        except Failed as failed:
            return "full" if "max number of clients" in failed.message else "nothing"
