"""Tell what a Redis or Valkey server says of itself: memory, persistence, clients, replication.

Returns `version`, `product`, `port` (0: it takes no TCP) and `socket`, `mode`, `role` (master, replica), `uptime`,
`config_file`, `loading`, `ping` (it answers as it should), `memory` (bytes: used, counted: what counts for the limit,
rss, peak, maxmemory, host; percent of maxmemory, host_percent, policy, fragmentation, evicted), `persistence` (rdb,
aof; on: either; last_save, last_save_age in seconds, last_status, changes since, stops_writes, dir), `clients`
(connected, max, percent, blocked, rejected, timeout), `replication` (primary, link, replicas), `keyspace` and
`refuses`: why an ordinary write would be refused now (code, text). With `host` also what the host knows: `host.config`
(path, values of the file), `host.memory`, `host.open_files`, `host.disk`, and `drift`: settings whose live value is not
the file's. `info` is INFO as it came, for the names in `filter`. Where it cannot be asked the task fails; `redis_error`
says why in a word: NOSERVICE, TIMEOUT, MAXCLIENTS, NOAUTH, WRONGPASS, LOADING, DENIED, OLD.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from remedy.agent.kinds import Failed, Param, Probe, Unknown
from remedy.modules.controller._redis import LOGIN_PARAMS, LOGIN_VARIABLES, session
from remedy.modules.controller._redis_facts import facts, host_of
from remedy.modules.controller._redis_settings import drift

PARAMS = (
    Param("host", "bool", default=False, help="Also look at its files and limits on the host."),
    Param(
        "filter", "list", elements="str", help="Names of INFO to return as they came; * stands for anything."
    ),
    Param("freed", "bool", default=False, help="In check mode it is not known what it will say: a task before it would "
          "have made room."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- redis_info:
  register: redis
- redis_info: {login_port: 6380, host: true, filter: ["used_memory*", instantaneous_ops_per_sec]}
  register: redis
"""


def kind(params: dict[str, Any]) -> type[Probe]:
    return Info


class Info(Probe):
    def read(self) -> dict[str, Any]:
        """Return the facts."""
        if self.host.check and self.params["freed"]:
            raise Unknown("only if what comes before does not make room enough")
        server = session(self.host, self.params)
        (pong,) = server.ask_all([("PING",)])
        # One that could not save refuses PING as it refuses writes, and tells why all the same.
        if isinstance(pong, Failed) and pong.result.get("redis_error") not in (
            "LOADING",
            "MISCONF",
            "MASTERDOWN",
        ):
            raise pong
        found = {**facts(server), "ping": pong == "PONG", "address": server.called.partition(" at ")[2]}
        found.update(server.place)
        if self.params["filter"]:
            found["info"] = {
                name: value
                for name, value in server.info("all" if server.number < (7,) else "everything").items()
                if any(fnmatchcase(name, each) for each in self.params["filter"])
            }
        if self.params["host"]:
            found["host"] = host_of(server)
            config = found["host"]["config"]
            live = server.config("*")
            found["drift"] = (
                drift(live, config["values"]) if config and live and not config["unreadable"] else []
            )
        return found
