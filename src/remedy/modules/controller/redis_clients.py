"""Tell who is connected to a Redis or Valkey server, and close clients that are idle.

`idle`, `name`, `address` and `user` (with * and ?) choose, all together. Without `close` it only tells: `clients`
(those that match, the longest idle first: id, address, name, user, idle and age in seconds, db, command, memory),
`count`, `max`, `by_address` and `by_name` (counts of all clients). With `close` those that match are closed by
CLIENT KILL, the longest idle first, at most `most`. Never closed: replicas and the primary, subscribers, monitors,
who waits in a blocking command or is in a transaction, remedy's own. Each is looked at again before it goes: it
must be the same client (id, address, age), still idle for so long. Returns `closed` too. In check mode, where every
connection is taken and nobody can ask, the kernel tells who is idle: what of these is never closed stays all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from remedy.agent.kinds import Failed, Item, Module, Param, Probe, Sweep
from remedy.modules.controller._redis import LOGIN_PARAMS, LOGIN_VARIABLES, Session, session
from remedy.modules.controller._redis_facts import HOST
from remedy.modules.controller._redis_words import fields

_SHOWN = 20
# CLIENT LIST: the letters of flags, and what they mean for closing.
_KEEPS = (("M", "it is the primary that this server follows"), ("S", "it is a replica"), ("P", "it is a subscriber"),
          ("O", "it is a monitor"), ("x", "it is in a transaction"), ("b", "it waits in a blocking command"),
          ("t", "it is told what changes (client-side caching)"))  # fmt: skip

PARAMS = (
    Param("close", "bool", default=False, help="Close those that match."),
    Param(
        "idle", "duration", default=0, help="Only those that have asked nothing for so long; needed to close."
    ),
    Param("name", help="Only those whose CLIENT SETNAME fits."),
    Param("address", aliases=("addr",), help="Only those whose IP:PORT fits: 10.0.0.7:*."),
    Param("user", help="Only those of an account that fits."),
    Param("most", "int", help="Close at most so many; None: all that match."),
    Param("until", "percent", help="Close no more once so little of maxclients is in use."),
    *LOGIN_PARAMS,
)
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- redis_clients: {idle: 10m}
  register: clients
- redis_clients: {close: true, idle: 10m, address: "10.0.0.*:*", most: 500}
"""


def check_params(params: dict[str, Any]) -> str | None:
    idle = params["idle"]
    if params["close"] is True and isinstance(idle, int | float) and idle < 1:
        return "close needs idle, at least 1s: a client that has just asked is at work"
    if isinstance(params["most"], int) and params["most"] < 0:
        return "most cannot be less than 0"
    return None


def kind(params: dict[str, Any]) -> type[Module]:
    return Close if params.get("close") else Clients


class Clients(Probe):
    def read(self) -> dict[str, Any]:
        """Return who is connected."""
        server = session(self.host, self.params)
        everybody = listed(server)
        matching = [each for each in everybody if matches(each, self.params)]
        return told(server, everybody, matching)


class Close(Sweep):
    """The sweep."""

    happened = "closed"
    noun = "client"
    deadline = 300
    _all: list[dict[str, str]] | None = None
    _chosen: set[str] | None = None
    _seen: int | None = None  # connections that the kernel told of

    def key(self) -> str:
        """Return what is swept."""
        return f"idle clients of redis:{self.params.get('login_unix_socket') or self.params['login_port']}"

    def find(self) -> list[Item]:
        """Return the clients that match, the longest idle first."""
        try:
            server = session(self.host, self.params)
        except Failed as failed:
            if not self.host.check or failed.result.get("redis_error") != "MAXCLIENTS":
                raise
            if (outside := self._outside()) is None:
                raise
            return outside
        server.need("CLIENT")
        everybody = listed(server)
        self._all = everybody
        room = self._room(server, len(everybody))
        items, take = [], 0
        for each in everybody:
            if not matches(each, self.params):
                continue
            reason, why = about(each), kept(each, server.id)
            if why is None and room is not None and take >= room:
                why = "enough others go"
            if why is None:
                take += 1
            identity = [each["id"], each.get("addr"), int(each.get("age", 0)), each.get("user")]
            items.append(Item(shown(each), why is None, why or reason, int(each.get("tot-mem", 0)), identity))
        if self._chosen is None:
            self._chosen = {item.id for item in items if item.take}
        return [item for item in items if not item.take or item.id in self._chosen]

    def drain(self, item: Item) -> int | str:
        """Close one client, where it still is the one that was looked at."""
        server = session(self.host, self.params)
        id, address, age, _ = item.identity
        now = self._now(server, id)
        if now is None:
            return "it is gone"
        if now.get("addr") != address or int(now.get("age", 0)) < age:
            return "it is another client by now"
        if int(now["idle"]) < self.params["idle"] or not matches(now, self.params):
            return f"it has asked something {now['idle']} s ago"
        if (why := kept(now, server.id)) is not None:
            return why
        # TYPE normal once more: what became a subscriber or a replica in between stays.
        closed = server.ask("CLIENT", "KILL", "ID", id, "TYPE", "normal", "SKIPME", "yes")
        return int(item.size) if closed else "it is gone, or no ordinary client by now"

    def returns(self, taken: list[Item], kept: list[Item]) -> dict[str, Any]:
        """Return who is connected now."""
        if self._seen is not None:
            return {"matching": len(taken), "closed": len(taken), "count": self._seen}
        server = session(self.host, self.params)
        everybody = self._all if self.host.check and self._all is not None else listed(server)
        matching = [each for each in everybody if matches(each, self.params)]
        return {**told(server, everybody, matching), "closed": len(taken)}

    def _outside(self) -> list[Item] | None:
        """Foresee what would be closed where no one can log in to ask; None where this host cannot see it."""
        params = self.params
        if params.get("login_host") or params.get("login_unix_socket") or params["name"] or params["user"]:
            return None
        found = self.host.ask(HOST, port=params["login_port"])["connections"]
        self._seen = len(found)
        address = params["address"] or "*"
        fitting = [each for each in found if each[1] >= params["idle"] and fnmatchcase(each[0], address)]
        most = len(fitting) if params["most"] is None else int(params["most"])
        return [
            Item(peer, True, f"idle for {idle} s; a subscriber, a replica or who waits stays", 0, [peer])
            for peer, idle in fitting[:most]
        ]

    def _room(self, server: Session, count: int) -> int | None:
        """Return how many may be closed, None: all."""
        limits = [] if self.params["most"] is None else [int(self.params["most"])]
        most = server.config("maxclients").get("maxclients")
        if self.params["until"] is not None and most:
            limits.append(max(0, count - int(int(most) * float(self.params["until"]) / 100)))
        return min(limits) if limits else None

    def _now(self, server: Session, id: str) -> dict[str, str] | None:
        if server.number >= (6, 2):
            lines = server.ask("CLIENT", "LIST", "ID", id)
        else:
            lines = server.ask("CLIENT", "LIST")
        return next((each for each in map(fields, lines.splitlines()) if each.get("id") == id), None)


def listed(server: Session) -> list[dict[str, str]]:
    """Return the clients, the longest idle first."""
    found = [fields(line) for line in server.ask("CLIENT", "LIST", seconds=30).splitlines()]
    if any("id" not in each or "idle" not in each for each in found):
        raise Failed(f"{server.called} answers CLIENT LIST in a way that is not understood")
    return sorted(found, key=lambda each: -int(each["idle"]))


def matches(client: Mapping[str, str], params: Mapping[str, Any]) -> bool:
    """Say whether a client fits everything that is asked for."""
    if int(client["idle"]) < (params["idle"] or 0):
        return False
    wanted = {"name": params["name"], "addr": params["address"], "user": params["user"]}
    return all(text is None or fnmatchcase(client.get(field, ""), text) for field, text in wanted.items())


def kept(client: Mapping[str, str], own: int) -> str | None:
    """Return why a client is never closed, None where it may be."""
    if client["id"] == str(own) or client.get("name") == "remedy":
        return "it is remedy's own"
    for letter, why in _KEEPS:
        if letter in client.get("flags", ""):
            return why
    if any(int(client.get(field) or 0) for field in ("sub", "psub", "ssub")):
        return "it is a subscriber"
    if int(client.get("multi", -1)) >= 0:
        return "it is in a transaction"
    return None


def shown(client: Mapping[str, str]) -> str:
    """Return a client by its address, as the kernel tells it, too; those of a Unix socket have all the same."""
    address = client.get("addr", "")
    return address if address and not address.endswith(":0") else f"client {client['id']} {address}".rstrip()


def about(client: Mapping[str, str]) -> str:
    """Return what people tell a client from others by."""
    words = [f"idle for {client['idle']} s", f"last {client.get('cmd')}", f"client {client['id']}"]
    if client.get("name"):
        words.append(f"name {client['name']}")
    if client.get("user", "default") != "default":
        words.append(f"user {client['user']}")
    return ", ".join(words)


def told(server: Session, everybody: list[dict[str, str]], matching: list[dict[str, str]]) -> dict[str, Any]:
    """Return what a task returns."""
    most = server.config("maxclients").get("maxclients")
    number = ("id", "idle", "age", "db")
    return {
        "count": len(everybody),
        "max": int(most) if most else None,
        "matching": len(matching),
        "clients": [
            {
                **{name: int(each.get(name, 0)) for name in number},
                "address": each.get("addr"),
                "name": each.get("name") or None,
                "user": each.get("user"),
                "command": each.get("cmd"),
                "memory": int(each.get("tot-mem", 0)) or None,
                "never": kept(each, server.id),
            }
            for each in matching[:_SHOWN]
        ],
        "by_address": dict(
            Counter((each.get("addr") or "?").rpartition(":")[0] for each in everybody).most_common(_SHOWN)
        ),
        "by_name": dict(Counter(each["name"] for each in everybody if each.get("name")).most_common(_SHOWN)),
    }
