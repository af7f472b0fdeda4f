"""Look at the sessions of a MySQL or MariaDB server, or end those that all criteria match.

Criteria combine with AND; the oldest goes first. Without `reads: true` at least one is needed, and what they match
is ended by KILL. Never: the server's own threads, replication, the event scheduler, remedy's own sessions. A session
in a transaction stays, and is named with the rows that ending it would roll back, unless `in_transaction` is true.
Just before the KILL each one is looked at again, by id, user, host and the moment since which it has been at what it
is at: one that has done something in between stays.

Returns `sessions` (id, user, host, db, command, state, seconds, query, transaction: seconds, rows_modified,
rows_locked; never: why nobody may end it, "" otherwise): with `reads` those that match, else those that were ended.
"""

from __future__ import annotations

import re
import time
from typing import Any

from remedy.agent.kinds import Item, Param, Probe, Sweep
from remedy.modules.controller import _sessions
from remedy.modules.controller._doors import opened
from remedy.modules.controller._mysql import LOGIN_PARAMS, LOGIN_VARIABLES, Session

_CRITERIA = (
    "age",
    "users",
    "hosts",
    "dbs",
    "commands",
    "states",
    "query",
    "ids",
    "idle",
    "idle_in_transaction",
)
_MAPPED = ("users", "hosts", "dbs", "commands", "states", "query")
_GONE = 5.0  # seconds for a session to be gone after its KILL
_LOOK = 0.05

PARAMS = (
    Param("reads", "bool", default=False, help="Only look: allowed in diagnose."),
    Param("age", "duration", help="At what they are at for at least so long."),
    Param("idle", "bool", help="true: only those that wait for their client (Sleep); false: only those that work."),
    Param("idle_in_transaction", "bool", default=False, help="Only those that are idle in an open transaction."),
    Param("users", "list", elements="str", help="Of these users."),
    Param("hosts", "list", elements="str", help="From these addresses or host names, without the port."),
    Param("dbs", "list", elements="str", help="With these default databases."),
    Param("commands", "list", elements="str", help="With these commands, such as Query."),
    Param("states", "list", elements="str", help="Whose state holds one of these texts, such as 'metadata lock'."),
    Param("query", help="Whose statement this regular expression is found in."),
    Param("ids", "list", elements="int", help="With these numbers."),
    Param("criteria", "dict", help="Some of users, hosts, dbs, commands, states and query as one mapping, such as a "
          "variable's; none of them may be empty."),
    Param("keep_users", "list", elements="str", help="Never of these users. Else the variable mysql_keep_users."),
    Param("in_transaction", "bool", default=False, help="Also those in an open transaction, which is rolled back."),
    Param("limit", "int", help="So many at most, the oldest."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = {"keep_users": "mysql_keep_users", **LOGIN_VARIABLES}
EXAMPLES = """
- mysql_sessions: {reads: true, age: 60s, idle: false}
  register: long
- mysql_sessions: {idle: true, age: 5m, users: [shop]}
- mysql_sessions: {idle_in_transaction: true, age: 1h, in_transaction: true}
"""


def check_params(params: dict[str, Any]) -> str | None:
    if params["query"] is not None:
        try:
            re.compile(str(params["query"]))
        except re.error as error:
            return f"query is no regular expression: {error}"
    if isinstance(params["limit"], int) and params["limit"] < 1:
        return "limit must be 1 or more"
    if isinstance(params["age"], int | float) and params["age"] < 0:
        return "age cannot be less than 0: every session is older than that"
    empty = [name for name in (*_MAPPED, "ids") if params[name] in ([], "")]
    if isinstance(params["states"], list) and "" in params["states"]:
        empty.append("states")  # every state holds an empty text
    if empty:
        return f"{empty[0]} is empty, and would match every session"
    wrong = _wrong_criteria(params["criteria"])
    if wrong:
        return wrong
    params = merged(params)
    if not params["reads"] and not any(params[name] not in (None, False, []) or
                                       (name == "idle" and params[name] is False) for name in _CRITERIA):  # fmt: skip
        return f"without a criterion it would end every session: give one of {', '.join(_CRITERIA)}"
    if params["idle_in_transaction"] and params["idle"] is False:
        return "idle_in_transaction means idle: leave idle out"
    return None


def _wrong_criteria(criteria: Any) -> str | None:
    """Return what is wrong with the mapping: a slip there would end sessions that nobody meant."""
    for name, value in (criteria or {}).items():
        if name not in _MAPPED:
            return f"criteria: '{name}' is none: expected some of {', '.join(_MAPPED)}"
        if not value or (isinstance(value, list) and not all(value)):
            return f"criteria: {name} is empty, and would match every session"
        if name == "query":
            try:
                re.compile(str(value))
            except re.error as error:
                return f"criteria: query is no regular expression: {error}"
    return None


def merged(params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with the mapping's criteria in their places."""
    found = dict(params)
    for name, value in (params["criteria"] or {}).items():
        found[name] = str(value) if name == "query" else [str(each) for each in _list(value)]
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def kind(params: dict[str, Any]) -> type[Probe] | type[Sweep]:
    return Look if params.get("reads") is True else Kill


class Look(Probe):
    """Reads them."""

    def __init__(self, params: dict[str, Any], host: Any) -> None:
        super().__init__(merged(params), host)  # type: ignore[no-untyped-call]

    def read(self) -> dict[str, Any]:
        """Return those that match."""
        server = opened(self.host, self.params, looks=True)
        found = _matching(_sessions.clients(server, [server.id]), self.params)
        shown = found[: self.params["limit"]] if self.params["limit"] else found
        return {"sessions": [each.told() for each in shown], "matching": len(found)}


class Kill(Sweep):
    """Ends them."""

    interruptible = False
    deadline = 300
    happened = "ended"
    noun = "session"
    _told: dict[str, dict[str, Any]] | None = None

    def __init__(self, params: dict[str, Any], host: Any) -> None:
        super().__init__(merged(params), host)  # type: ignore[no-untyped-call]

    _ended: dict[int, _sessions.Client] | None = None

    def key(self) -> str:
        """Return what is swept."""
        given = [
            f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
            for name in _CRITERIA
            if (value := self.params[name]) not in (None, False, [])
        ]
        return f"sessions of MySQL ({'; '.join(given) or 'idle: false'})"

    def find(self) -> list[Item]:
        """Return the sessions that match, the oldest first; those that stay say why."""
        server = opened(self.host, self.params)
        self._told = self._told or {}
        self._await(server)
        items, taking = [], 0
        for each in _matching(_sessions.clients(server, [server.id]), self.params):
            if self._ended and each.id in self._ended:
                continue  # it rolls back still
            why = self._stays(each)
            if not why and self.params["limit"] and taking >= self.params["limit"]:
                why = f"more than {self.params['limit']} match, and it is younger than those"
            reason = why or "; ".join(part for part in (each.doing, each.costs) if part)
            taking += not why
            self._told[each.name] = each.told()
            items.append(Item(each.name, not why, reason, 0, each.identity))
        return items

    def drain(self, item: Item) -> int | str:
        """End one, if it has been at the same since it was found."""
        server = opened(self.host, self.params)
        now = _sessions.again(server, int(item.identity[0]))
        if now is None:
            return "it has ended by itself"
        if not _sessions.same(item.identity, now.identity):
            return f"it has done something since: it is {now.doing}"
        why = self._stays(now)
        if why:
            return why
        server.end(now.id, query=False)
        self._ended = {**(self._ended or {}), now.id: now}
        return 0

    def returns(self, taken: list[Item], kept: list[Item]) -> dict[str, Any]:
        """Return those that were ended."""
        told = self._told or {}
        return {"sessions": [told[item.id] for item in taken if item.id in told]}

    def _stays(self, each: _sessions.Client) -> str:
        if each.untouchable:
            return each.untouchable
        if each.user in (self.params["keep_users"] or ()):
            return f"sessions of {each.user} are kept (keep_users)"
        if each.costs and not self.params["in_transaction"]:
            allowed = "in a runbook mysql_end_transactions or mysql_kill_transactions"
            return f"it is {each.costs}: it stays unless in_transaction allows it ({allowed})"
        return ""

    def _await(self, server: Session) -> None:
        """Wait a moment until those that were ended are gone: one that rolls back may take as long as its work did."""
        until = time.monotonic() + _GONE
        while self._ended:
            there = {int(row["Id"]) for row in server.processes()} & set(self._ended)
            if not there:
                return
            if time.monotonic() > until or self.host.stopping():
                for each in (self._ended[number] for number in sorted(there)):
                    self.host.warn(f"{each.name} is told to end, and still there: {each.costs or each.doing}")
                return
            time.sleep(_LOOK)


def _matching(found: list[_sessions.Client], params: dict[str, Any]) -> list[_sessions.Client]:
    """Return the sessions that all criteria match."""
    return [each for each in found if _matches(each, params)]


def _matches(each: _sessions.Client, params: dict[str, Any]) -> bool:
    if params["ids"] and each.id not in params["ids"]:
        return False
    if params["age"] is not None and each.seconds < params["age"]:
        return False
    if params["idle"] is not None and each.idle is not params["idle"]:
        return False
    if params["idle_in_transaction"] and not (each.idle and each.transaction is not None):
        return False
    lists = (
        ("users", each.user),
        ("hosts", _address(each.host)),
        ("dbs", each.db),
        ("commands", each.command),
    )
    if any(params[name] and value not in params[name] for name, value in lists):
        return False
    if params["states"] and not any(text.lower() in each.state.lower() for text in params["states"]):
        return False
    return not params["query"] or re.search(str(params["query"]), each.query) is not None


def _address(host: str) -> str:
    head, colon, tail = host.rpartition(":")
    return head.strip("[]") if colon and tail.isdigit() else host
