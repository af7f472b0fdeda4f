"""Look at the sessions of a PostgreSQL server, or end those that all criteria match.

Criteria combine with AND; the oldest goes first. Without `reads: true` at least one is needed. A statement that runs is
cancelled first (pg_cancel_backend), and only one that goes on for `grace` is ended with its session
(pg_terminate_backend); an idle session is ended at once. Never: sessions of superusers, replication, autovacuum and
other processes of the server, remedy's own. Backups by `keep_applications` stay. Each item says what its end rolls
back. Just before, each one is looked at again, by pid, start and the moment since which it has been at what it is at:
one that has done something in between stays.

Returns `sessions` (pid, user, db, client, application, state, seconds, transaction: seconds, written, tables, query),
with `reads` those that match, else those that were ended, and `cancelled`: the pids whose statement alone was.
"""

from __future__ import annotations

import re
import time
from typing import Any

from remedy.agent.kinds import Failed, Item, Param, Probe, Sweep
from remedy.modules.controller import _pg_sessions
from remedy.modules.controller._pg_sessions import BACKUPS, Client
from remedy.modules.controller._postgres import LOGIN_PARAMS, LOGIN_VARIABLES, Session, opened

_CRITERIA = ("age", "transaction_age", "states", "users", "dbs", "clients", "applications", "query", "pids")
_GONE = 5.0  # seconds for a session to be gone
_LOOK = 0.05

PARAMS = (
    Param("reads", "bool", default=False, help="Only look: allowed in diagnose."),
    Param("age", "duration", help="At what they are at for so long: their statement, or waiting for the client."),
    Param("transaction_age", "duration", help="In a transaction that began so long ago."),
    Param("states", "list", elements="str", choices=("active", "idle", "idle in transaction",
          "idle in transaction (aborted)", "fastpath function call", "disabled"), help="In these states."),
    Param("users", "list", elements="str", help="Of these roles."),
    Param("dbs", "list", elements="str", help="In these databases."),
    Param("clients", "list", elements="str", help="From these addresses; local: by the socket."),
    Param("applications", "list", elements="str", help="With these application names."),
    Param("query", help="Whose statement this regular expression is found in."),
    Param("pids", "list", elements="int", help="With these process numbers."),
    Param("keep_users", "list", elements="str", help="Never of these roles. Else the variable postgres_keep_users."),
    Param("keep_applications", "list", elements="str", default=list(BACKUPS), help="Never with these application "
          "names."),
    Param("cancel_only", "bool", default=False, help="Cancel statements; end no session."),
    Param("grace", "duration", default=5, help="How long a cancelled statement may take to end."),
    Param("limit", "int", help="So many at most, the oldest."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = {"keep_users": "postgres_keep_users", **LOGIN_VARIABLES}
EXAMPLES = """
- postgresql_sessions: {reads: true, states: [active], age: 60s}
  register: long
- postgresql_sessions: {states: [idle in transaction, idle in transaction (aborted)], age: 10m}
- postgresql_sessions: {states: [active], age: 1h, users: [reports], cancel_only: true}
"""


def check_params(params: dict[str, Any]) -> str | None:
    if params["query"] is not None:
        try:
            re.compile(str(params["query"]))
        except re.error as error:
            return f"query is no regular expression: {error}"
    if isinstance(params["limit"], int) and params["limit"] < 1:
        return "limit must be 1 or more"
    for name in ("age", "transaction_age"):
        if isinstance(params[name], int | float) and params[name] < 0:
            return f"{name} cannot be less than 0: every session is older than that"
    for name in _CRITERIA[2:]:
        if params[name] in ("", []):
            return f"{name} is empty, and would match every session"
    if not params["reads"] and all(params[name] in (None, 0) for name in _CRITERIA):
        return f"without a criterion it would end every session: give one of {', '.join(_CRITERIA)}"
    return None


def kind(params: dict[str, Any]) -> type[Probe | Sweep]:
    return Look if params.get("reads") is True else End


class Look(Probe):
    """Reads them."""

    def read(self) -> dict[str, Any]:
        """Return those that match."""
        found = _matching(opened(self.host, self.params), self.params)
        found = [each for each in found if not each.untouchable]
        shown = found[: self.params["limit"]] if self.params["limit"] else found
        return {"sessions": [each.told() for each in shown], "matching": len(found)}


class End(Sweep):
    """Ends them."""

    interruptible = False
    deadline = 600
    happened = "ended"
    noun = "session"
    _ended: set[int]
    _cancelled: list[int]
    _told: dict[str, dict[str, Any]]
    _found = False

    def key(self) -> str:
        """Return what is swept."""
        given = [
            f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
            for name in _CRITERIA
            if (value := self.params[name]) not in (None, [])
        ]
        what = "statements" if self.params["cancel_only"] else "sessions"
        return f"{what} of PostgreSQL ({'; '.join(given)})"

    def find(self) -> list[Item]:
        """Return the sessions that match, the oldest first; those that stay say why."""
        if not self._found:
            self._found, self._ended, self._cancelled, self._told = True, set(), [], {}
        items, taking = [], 0
        for each in _matching(opened(self.host, self.params), self.params):
            if each.pid in self._ended:
                continue  # it is told to end, and cleans up
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
        now = self._same(server, item)
        if isinstance(now, str):
            return now
        if now.state == "active":
            self._signal(server, "pg_cancel_backend", now)
            until = time.monotonic() + float(self.params["grace"])
            while not isinstance(now := self._same(server, item), str):
                if self.params["cancel_only"] and time.monotonic() > until:
                    return f"its statement was cancelled, and goes on after {self.params['grace']:g} s"
                if time.monotonic() > until or self.host.stopping():
                    break
                time.sleep(_LOOK)
            if isinstance(now, str):
                self._cancelled.append(int(item.identity[0]))
                return 0
        if self.params["cancel_only"]:
            return "it runs no statement"
        self._signal(server, "pg_terminate_backend", now)
        self._ended.add(now.pid)
        until = time.monotonic() + _GONE
        while _again(server, item):
            if time.monotonic() > until:
                self.host.warn(f"{item.id} is told to end, and still there")
                break
            time.sleep(_LOOK)
        return 0

    def returns(self, taken: list[Item], kept: list[Item]) -> dict[str, Any]:
        """Return those that were ended."""
        return {
            "sessions": [self._told[item.id] for item in taken if item.id in self._told],
            "cancelled": self._cancelled,
        }

    def _same(self, server: Session, item: Item) -> Client | str:
        """Return the session, or why it is not to be ended any more."""
        found = _again(server, item)
        if not found:
            return "it has ended by itself"
        if found[0].identity != list(item.identity):
            return f"it has done something since: it is {found[0].doing}"
        return self._stays(found[0]) or found[0]

    def _stays(self, each: Client) -> str:
        if each.untouchable:
            return each.untouchable
        if each.row["usename"] in (self.params["keep_users"] or ()):
            return f"sessions of {each.row['usename']} are kept (keep_users)"
        if each.row["application_name"] in (self.params["keep_applications"] or ()):
            return f"{each.row['application_name']} is kept (keep_applications)"
        return ""

    @staticmethod
    def _signal(server: Session, function: str, each: Client) -> None:
        try:
            server.rows(f"SELECT {function}(%s) AS done", [each.pid])
        except Failed as failed:
            if failed.result.get("sqlstate") == "42501":
                raise Failed(f"{failed.message}: it takes membership in pg_signal_backend", "permission") from None
            raise


def _again(server: Session, item: Item) -> list[Client]:
    found = _pg_sessions.clients(server, pid=int(item.identity[0]))
    return [each for each in found if each.identity[1] == item.identity[1]]


def _matching(server: Session, params: dict[str, Any]) -> list[Client]:
    """Return the sessions that all criteria match."""
    return [each for each in _pg_sessions.clients(server) if _matches(each, params)]


def _matches(each: Client, params: dict[str, Any]) -> bool:
    row = each.row
    lists = (
        *(("states", each.state), ("users", row["usename"]), ("dbs", row["datname"]), ("pids", each.pid)),
        *(("clients", row["client"] or "local"), ("applications", row["application_name"])),
    )
    if any(params[name] and value not in params[name] for name, value in lists):
        return False
    if params["age"] is not None and each.seconds < params["age"]:
        return False
    if params["transaction_age"] is not None and (each.told()["transaction"] or -1) < params["transaction_age"]:
        return False
    return not params["query"] or re.search(str(params["query"]), str(row["query"] or "")) is not None
