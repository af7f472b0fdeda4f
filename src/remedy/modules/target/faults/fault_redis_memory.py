"""Fill a Redis or Valkey server with keys until it refuses writes: OOM.

The keys are `remedy-drill:NAME:NUMBER`, without a time to live. The server needs a limit; one without any gets
`maxmemory`, live, and so does one whose limit is larger than `most`. A policy that evicts becomes noeviction. What
was before is kept in the server itself, in the key `remedy-drill:NAME:was`, from where `absent` brings it back,
unless it was set anew since; it deletes the keys. Returns `keys`, `used` and `maxmemory` (bytes).
"""

from remedy.agent.kinds import Failed, Param
from remedy.modules.target.faults._fault import MARK, STATE, Fault, name_param, wrong_name
from remedy.modules.target.faults._redis import LOGIN, Redis

PARAMS = (
    Param("maxmemory", "size", help="The limit that it gets first; None: it has one."),
    Param("size", "size", default=8192, help="The size of a key's value."),
    Param("most", "size", default=1 << 28, help="Refuse to fill a larger server than this."),
    name_param("memory"),
    STATE,
) + LOGIN

EXAMPLES = """
- fault_redis_memory: {maxmemory: 20M}
- fault_redis_memory: {state: absent}
"""

_BATCH = 100
_BEYOND = 512 << 10


def check_params(params):
    for name, least in (("maxmemory", 1 << 20), ("size", 1), ("most", 1 << 20)):
        if isinstance(params[name], int) and params[name] < least:
            return "%s: at least %d bytes" % (name, least)
    return wrong_name(params)


def kind(params):
    return Memory


class Memory(Fault):
    _redis = None

    @property
    def redis(self):
        if self._redis is None:
            self._redis = Redis(self.params["port"], self.params["password"])
        return self._redis

    @property
    def prefix(self):
        return "%s:%s:" % (MARK, self.params["name"])

    def key(self):
        return "fault:redis-memory:%d:%s" % (self.params["port"], self.params["name"])

    def found(self):
        if self.params["state"] == "absent" and not self._answers():
            raise Failed("Redis does not answer: start it, and take the fault back then")
        if self.redis.ask("GET", self.prefix + "was") is None:
            return None
        return self._full()

    def inject(self):
        redis = self.redis
        if _info(redis, "replication").get("role") != "master":
            raise Failed("it is a replica: break its primary")
        limit, policy = (redis.ask("CONFIG", "GET", name)[1] for name in ("maxmemory", "maxmemory-policy"))
        wanted = self.params["maxmemory"] or int(limit)
        if not wanted or wanted > self.params["most"]:
            raise Failed(
                "it may use %s bytes: give maxmemory, at most %d"
                % (wanted or "any number of", self.params["most"])
            )
        used = int(_info(redis, "memory")["used_memory"])
        if used >= wanted:
            raise Failed("it uses %d bytes already: give a larger maxmemory" % used)
        redis.ask("SET", self.prefix + "was", "%s %s %d" % (limit, policy, wanted), "NX")
        # Filled a little beyond the limit, because what connections use counts, too, and comes and goes.
        redis.ask("CONFIG", "SET", "maxmemory", wanted + _BEYOND)
        redis.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        number = self._fill(0, _BATCH)
        redis.close()  # a batch's own buffers have counted
        self._redis = None
        self._fill(number, 1)
        self.redis.ask("CONFIG", "SET", "maxmemory", wanted)

    def _fill(self, number, batch):
        """Write keys until one is refused; return the number of the next."""
        value = "x" * self.params["size"]
        while True:
            commands = [("SET", "%s%d" % (self.prefix, number + at), value) for at in range(batch)]
            refused = [answer for answer in self.redis.ask_all(commands) if isinstance(answer, Failed)]
            number += batch
            if refused:
                if "OOM" not in refused[0].message:
                    raise refused[0]
                return number

    def lift(self):
        redis = self.redis
        was = redis.ask("GET", self.prefix + "was")
        cursor = "0"
        while True:
            cursor, keys = redis.ask("SCAN", cursor, "MATCH", self.prefix + "*", "COUNT", 1000)
            if keys:
                redis.ask_all([("DEL", key) for key in keys if key != self.prefix + "was"])
            if cursor == "0":
                break
        if was is not None:
            limit, policy, ours = was.split()
            if redis.ask("CONFIG", "GET", "maxmemory")[1] == ours:
                redis.ask("CONFIG", "SET", "maxmemory", limit)
            if redis.ask("CONFIG", "GET", "maxmemory-policy")[1] == "noeviction":
                redis.ask("CONFIG", "SET", "maxmemory-policy", policy)
            redis.ask("DEL", self.prefix + "was")

    def returns(self, have, now):
        told = _info(self.redis, "memory")
        return {
            "keys": self.redis.ask("DBSIZE"),
            "used": int(told["used_memory"]),
            "maxmemory": int(told.get("maxmemory", 0)),
        }

    def _answers(self):
        try:
            return self.redis is not None
        except Failed:
            return False

    def _full(self):
        """Say whether it is at its limit."""
        told = _info(self.redis, "memory")
        limit = int(self.redis.ask("CONFIG", "GET", "maxmemory")[1])
        return bool(limit) and int(told["used_memory"]) >= limit


def _info(redis, section):
    lines = (line.partition(":") for line in redis.ask("INFO", section).splitlines())
    return {name: value for name, colon, value in lines if colon}
