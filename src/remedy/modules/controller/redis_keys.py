"""Tell which keys of a Redis or Valkey database are big or never expire, or delete those of a pattern.

Without `state: absent` it only tells, from a sample: SCAN until `budget` or `sample` keys are reached; only keys
that fit `pattern`, where one is given. Returns `keys` (all of the database), `scanned`, `complete`, `bytes` (of the
sample), `big` (the `largest`, by MEMORY USAGE: key, bytes, type, length, ttl), `without_ttl` (count, percent,
bytes) and `groups`: what keys begin with, with count, bytes and how many never expire; a pattern to delete by can
be read from there.

With `state: absent` every key that fits one of `patterns` is deleted, found by SCAN, by UNLINK in bounded batches
(DEL where the server has no UNLINK). A pattern that would match all keys is refused, and so is a replica. One that
begins with a wildcard (`*:*`) is kept where every key of the database is found to fit it, and several are where
together they fit as many keys as there are (`[a-m]*:*`, `[n-z]*:*`). What comes while it works is left to the next
run. Returns `deleted`, and `bytes_freed` as the server counts them.
"""

from __future__ import annotations

import re
from typing import Any

from remedy.agent.kinds import Failed, Item, Module, Param, Probe, Sweep
from remedy.modules.controller._redis import LOGIN_PARAMS, LOGIN_VARIABLES, Session, session
from remedy.modules.controller._redis_facts import used_memory
from remedy.modules.controller._redis_scan import BATCH, Walk, about, lengths, pages, too_wide

_ALL = 1 << 62
_SAMPLE = 200  # keys that are measured, to tell what a pattern holds
_PREFIX = re.compile(r"^(.{1,40}?[:/|.])")

PARAMS = (
    Param("state", default="present", choices=("present", "absent"), help="Tell about them, or delete them."),
    Param("pattern", "list", elements="str", aliases=("patterns",), help="Globs as of KEYS: cache:*."),
    Param("login_db", "int", default=0, help="The database."),
    Param("sample", "int", default=10000, help="Look at about so many keys, at most."),
    Param(
        "budget",
        "duration",
        default=5,
        help="Look for so long, at most; to delete, no end but the deadline counts.",
    ),
    Param("largest", "int", default=10, help="How many big keys and groups to tell."),
    Param("deadline", "duration", default=600, help="How long deleting may take."),
    *LOGIN_PARAMS,
)
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- redis_keys: {sample: 20000, budget: 10s}
  register: keys
- redis_keys: {state: absent, pattern: ["cache:*", "session:old:*"]}
"""


def check_params(params: dict[str, Any]) -> str | None:
    patterns = params["pattern"] or []
    if params["state"] == "absent":
        if not patterns and not isinstance(params["pattern"], str):
            return "state: absent needs a pattern"
        for pattern in patterns if isinstance(patterns, list) else ():
            if "{{" not in str(pattern) and (wrong := too_wide(str(pattern))):
                return f"{wrong}; redis_flush empties a whole database"
    for name, least in (("sample", 1), ("largest", 1), ("login_db", 0)):
        if isinstance(params[name], int) and params[name] < least:
            return f"{name}: at least {least}"
    return None


def kind(params: dict[str, Any]) -> type[Module]:
    return Delete if params.get("state") == "absent" else Keys


class Keys(Probe):
    cost = "expensive"
    deadline = 300

    def read(self) -> dict[str, Any]:
        """Return what the sample shows."""
        server = session(self.host, self.params)
        walk = Walk()
        rows: list[dict[str, Any]] = []
        patterns = self.params["pattern"] or [None]
        for pattern in patterns:
            walk = Walk(scanned=walk.scanned, seen=set())
            share = float(self.params["budget"]) / len(patterns)
            size = min(1000, int(self.params["sample"]))
            for some in pages(
                server, walk, pattern=pattern, keys=int(self.params["sample"]), seconds=share, count=size
            ):
                rows += about(server, some)
        rows.sort(key=lambda row: -(row["bytes"] or 0))
        big = rows[: int(self.params["largest"])]
        lengths(server, big)
        forever = [row for row in rows if row["ttl"] is None]
        return {
            "db": server.db,
            "keys": server.ask("DBSIZE"),
            "scanned": len(rows),
            "complete": walk.complete,
            "bytes": sum(row["bytes"] or 0 for row in rows),
            "big": big,
            "without_ttl": {
                "count": len(forever),
                "percent": round(100 * len(forever) / len(rows), 1) if rows else 0.0,
                "bytes": sum(row["bytes"] or 0 for row in forever),
            },
            "groups": groups(rows)[: int(self.params["largest"])],
        }


class Delete(Sweep):
    """The sweep; an item is a pattern."""

    deadline = 3600
    interruptible = True
    happened = "deleted"
    noun = "key"

    _found: dict[str, dict[str, Any]] | None = None
    _deleted = 0

    def key(self) -> str:
        """Return what is swept."""
        where = self.params.get("login_unix_socket") or self.params["login_port"]
        return f"keys of redis:{where}, database {self.params['login_db']}"

    def find(self) -> list[Item]:
        """Return the patterns with what they hold; those that have been drained are done."""
        server = self._server()
        for pattern in self.params["pattern"]:
            if wrong := too_wide(pattern):
                raise Failed(f"{wrong}; redis_flush empties a whole database")
        server.primary()
        if self._found is not None:
            return [self._again(server, pattern) for pattern in self._found]
        self._found = {
            pattern: self._count(server, pattern) for pattern in dict.fromkeys(self.params["pattern"])
        }
        return [self._item(pattern, told) for pattern, told in self._found.items()]

    def drain(self, item: Item) -> int | str:
        """Delete the keys of one pattern; return the bytes that the server uses less."""
        server = self._server()
        pattern, _, run = item.identity
        if server.server.get("run_id") != run:
            return "the server was started anew since: what it holds may be other keys"
        server.primary()
        before = int(server.info("memory").get("used_memory", 0))
        word = "DEL" if server.lacks("UNLINK") else "UNLINK"
        deleted, refused = 0, None
        for some in self._walk(server, pattern):
            if self.host.stopping():
                raise Failed(f"stopped by the operator after {deleted} keys of {pattern}")
            for at in range(0, len(some), BATCH):
                # One command a key: on a cluster the keys of one command must be of one slot.
                answers = server.ask_all([(word, key) for key in some[at : at + BATCH]], seconds=60)
                deleted += sum(each for each in answers if isinstance(each, int))
                refused = next((each for each in answers if isinstance(each, Failed)), refused)
        self._deleted += deleted
        if refused is not None:
            raise Failed(f"{deleted} keys were deleted, others not: {refused.message}", **refused.result)
        if deleted == 0:
            return "its keys are gone already"
        return max(0, before - used_memory(server))

    def returns(self, taken: list[Item], kept: list[Item]) -> dict[str, Any]:
        """Return how many keys went."""
        return {
            "deleted": self._deleted,
            "found": {each: told["count"] for each, told in (self._found or {}).items()},
        }

    def _count(self, server: Session, pattern: str) -> dict[str, Any]:
        """Return how many keys fit, and how large they are by a sample."""
        walk, count = Walk(), 0
        sample: list[dict[str, Any]] = []
        for some in self._walk(server, pattern, walk):
            count += len(some)
            if len(sample) < _SAMPLE:
                sample += about(server, some[: _SAMPLE - len(sample)])
        size = sum(row["bytes"] or 0 for row in sample)
        return {
            "count": count,
            "bytes": int(size / len(sample) * count) if sample else 0,
            "forever": sum(row["ttl"] is None for row in sample),
            "sample": len(sample),
            "keys": server.ask("DBSIZE"),
        }

    def _item(self, pattern: str, told: dict[str, Any]) -> Item:
        server = self._server()
        count, all_keys = told["count"], told["keys"]
        every = count > 0 and count >= all_keys
        whole = ", which is every key of this database" if every else f" of {all_keys:,}"
        reason = f"{count:,} keys{whole}; {told['forever']} of {told['sample']} looked at would never expire"
        # Who writes cache:* means those, also where there are no others. Who writes *:* does not know what they are.
        led = {each: found["count"] for each, found in (self._found or {}).items() if each[0] in "*?["}
        blind = pattern in led and sum(led.values()) >= all_keys
        if blind:
            others = ", ".join(each for each in led if each != pattern)
            whole += "" if every else f", and with {others} it may be every key"
            reason = f"it fits {count:,} keys{whole}: name what they begin with; redis_flush empties a database"
        identity = [pattern, server.db, server.server.get("run_id")]
        take = count > 0 and not blind
        return Item(pattern, take, reason if count else "no key fits", told["bytes"], identity, count)

    def _again(self, server: Session, pattern: str) -> Item:
        """Look once more at the first that fits: the application may write on, and that is no failure."""
        left: list[str] = next(self._walk(server, pattern), [])
        why = f"{len(left)} or more keys have come since" if left else "no key fits any more"
        return Item(pattern, False, why, 0, [pattern, server.db, server.server.get("run_id")])

    def _walk(self, server: Session, pattern: str, walk: Walk | None = None) -> Any:
        limit = float(self.params["deadline"])
        walk = walk or Walk()
        yield from pages(server, walk, pattern=pattern, keys=_ALL, seconds=limit)
        if not walk.complete:
            raise Failed(f"the keys of {pattern} were not all seen within {limit:g} s: run it again, or raise deadline",
                         "timeout")  # fmt: skip

    def _server(self) -> Session:
        return session(self.host, self.params)


def groups(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what keys begin with, up to the first : / | or ., the largest group first."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        match = _PREFIX.match(row["key"])
        name = match[1] + "*" if match else "(others)"
        group = found.setdefault(name, {"pattern": name, "count": 0, "bytes": 0, "without_ttl": 0})
        group["count"] += 1
        group["bytes"] += row["bytes"] or 0
        group["without_ttl"] += row["ttl"] is None
    return sorted(found.values(), key=lambda group: -group["bytes"])
