"""Delete every key of a Redis or Valkey database, or of all of them.

There is no way back. Refused on a replica, whose keys come from its primary. `db` must be named; `all` empties
every database. An empty database is left alone. Returns `deleted` and `bytes_freed`.
"""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import Action, Failed, Item, Param
from remedy.modules.controller._redis import LOGIN_PARAMS, LOGIN_VARIABLES, Session, session
from remedy.modules.controller._redis_facts import used_memory
from remedy.modules.controller._redis_words import fields

PARAMS = (
    Param("db", "int", help="The database to empty; there is no default."),
    Param("all", "bool", default=False, help="Empty every database, in place of db."),
    *LOGIN_PARAMS,
)
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- redis_flush: {db: 3}
- redis_flush: {all: true}
"""


def check_params(params: dict[str, Any]) -> str | None:
    if (params["db"] is None) == (params["all"] is not True):
        return "name the database (db: 0), or all: true; one of them"
    if isinstance(params["db"], int) and params["db"] < 0:
        return "db: 0 or more"
    return None


def kind(params: dict[str, Any]) -> type[Action]:
    return Flush


class Flush(Action):
    happened = "flushed"
    noun = "key"
    destructive = True
    attended = True
    interruptible = False
    deadline = 600

    def key(self) -> str:
        """Return what is emptied."""
        where = self.params.get("login_unix_socket") or self.params["login_port"]
        which = "every database" if self.params["all"] else f"database {self.params['db']}"
        return f"every key of {which} of redis:{where}"

    def ready(self) -> str | None:
        """Return that it is empty already."""
        server = self._server()
        server.primary()
        server.need("FLUSHALL" if self.params["all"] else "FLUSHDB")
        return None if self._keys(server) else "it is empty already"

    def state(self) -> dict[str, Any]:
        """Return how many keys there are."""
        return {"keys": self._keys(self._server())}

    def takes(self, before: dict[str, Any]) -> list[Item]:
        """Return the database with all of its keys."""
        name = "every database" if self.params["all"] else f"database {self.params['db']}"
        return [
            Item(name, True, f"all {before['keys']:,} keys of it; there is no way back", count=before["keys"])
        ]

    def do(self) -> dict[str, Any]:
        """Empty it, the memory given back in the background."""
        server = self._server()
        keys, used = self._keys(server), int(server.info("memory").get("used_memory", 0))
        server.ask("FLUSHALL" if self.params["all"] else "FLUSHDB", "ASYNC", seconds=60)
        return {"deleted": keys, "bytes_freed": max(0, used - used_memory(server))}

    def proof(self, before: dict[str, Any]) -> dict[str, Any]:
        """Return how many there are now: an application may have begun to write again."""
        after = self.state()
        if after["keys"] >= before["keys"]:
            raise Failed(f"there are {after['keys']} keys, and were {before['keys']}: it was not emptied")
        return after

    def _keys(self, server: Session) -> int:
        if not self.params["all"]:
            return int(server.ask("DBSIZE"))
        return sum(
            int(fields(line).get("keys", 0))
            for name, line in server.info("keyspace").items()
            if name[:2] == "db"
        )

    def _server(self) -> Session:
        return session(self.host, {**self.params, "login_db": self.params["db"] or 0})
