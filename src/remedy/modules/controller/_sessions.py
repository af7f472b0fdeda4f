"""The sessions of a server: who they are, how long they have been at what, and what ending them would roll back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from remedy.agent.kinds import Failed
from remedy.modules.controller._mysql import Asks

# Threads of the server itself, and of replication on either side: nobody ends them here.
_SYSTEM = ("system user", "event_scheduler", "unauthenticated user")
_SERVERS = re.compile(
    r"(Binlog Dump|Slave_|Daemon|Connect$|Group Replication|Backup|Register Slave|Killed)", re.IGNORECASE
)
_OURS = (
    "SELECT PROCESSLIST_ID AS id FROM performance_schema.session_connect_attrs "
    "WHERE ATTR_NAME = 'program_name' AND ATTR_VALUE = 'remedy'"
)
_TRANSACTIONS = (
    "SELECT trx_mysql_thread_id AS id, trx_rows_modified AS modified, trx_rows_locked AS locked, trx_state AS state, "
    "UNIX_TIMESTAMP() - UNIX_TIMESTAMP(trx_started) AS seconds FROM information_schema.INNODB_TRX"
)


@dataclass(frozen=True)
class Transaction:
    """An open transaction: the rows it has changed, which a rollback must change back; the locks it holds."""

    modified: int
    locked: int
    seconds: int
    state: str


@dataclass(frozen=True)
class Client:
    """One session; `seconds` since it has been at what it is at, `since` is that moment (the server's clock)."""

    id: int
    user: str
    host: str
    db: str
    command: str
    state: str
    query: str
    seconds: int
    since: int
    transaction: Transaction | None
    untouchable: str
    """Why it is never ended; "" where it may be."""

    @property
    def idle(self) -> bool:
        return self.command.lower() == "sleep"

    @property
    def name(self) -> str:
        return f"session {self.id} of {self.user}@{self.host}"

    @property
    def identity(self) -> list[Any]:
        return [self.id, self.user, self.host, self.since]

    @property
    def doing(self) -> str:
        """What it has been at, in words."""
        what = "idle" if self.idle else f"in {self.command}{f' ({self.state})' if self.state else ''}"
        text = f"{what} for {self.seconds} s"
        return f"{text}: {self.query[:120]}" if self.query and not self.idle else text

    @property
    def costs(self) -> str:
        """What ending it would roll back; "" where nothing: a statement that only reads is a transaction, too."""
        if self.transaction is None or not (self.idle or self.transaction.modified):
            return ""
        about = self.transaction
        return f"in a transaction of {about.seconds} s with {about.modified} changed rows to roll back"

    def told(self) -> dict[str, Any]:
        """Return what a task returns of it."""
        return {
            "id": self.id,
            "user": self.user,
            "host": self.host,
            "db": self.db,
            "command": self.command,
            "state": self.state,
            "seconds": self.seconds,
            "query": self.query[:4000],
            "never": self.untouchable,
            "transaction": None
            if self.transaction is None
            else {
                "seconds": self.transaction.seconds,
                "rows_modified": self.transaction.modified,
                "rows_locked": self.transaction.locked,
            },
        }


def clients(server: Asks, own: Sequence[int] = ()) -> list[Client]:
    """Return the sessions, the longest in their state first; `own` are this run's."""
    may_see(server)
    ours = {int(number) for number in own}
    with suppress(Failed):  # switched off, or not for this account
        ours |= {int(row["id"] or 0) for row in server.rows(_OURS)}
    return _now(server, ours, None)


def again(server: Asks, id: int) -> Client | None:
    """Return a session that was looked at before as it is now, None where it is gone; quick."""
    return next(iter(_now(server, frozenset(), id)), None)


def _now(server: Asks, ours: set[int] | frozenset[int], id: int | None) -> list[Client]:
    open_ones = transactions(server)
    now = int(server.rows("SELECT UNIX_TIMESTAMP() AS now")[0]["now"])
    rows = server.rows("SHOW FULL PROCESSLIST")
    found = [
        client(row, now, open_ones.get(int(row["Id"])), ours)
        for row in rows
        if id is None or int(row["Id"]) == id
    ]
    return sorted(found, key=lambda each: (-each.seconds, each.id))


def client(
    row: Mapping[str, Any], now: int, transaction: Transaction | None, ours: set[int] | frozenset[int]
) -> Client:
    """Return a session from a row of SHOW FULL PROCESSLIST; MySQL says NULL where MariaDB says nothing."""
    number, seconds = int(row["Id"]), max(0, int(row.get("Time") or 0))
    user, command = str(row.get("User") or ""), str(row.get("Command") or "")
    return Client(
        id=number,
        user=user,
        host=str(row.get("Host") or ""),
        db=str(row.get("db") or ""),
        command=command,
        state=str(row.get("State") or ""),
        query=str(row.get("Info") or ""),
        seconds=seconds,
        since=now - seconds,
        transaction=transaction,
        untouchable=_why_never(number, user, command, ours),
    )


def _why_never(number: int, user: str, command: str, ours: set[int] | frozenset[int]) -> str:
    if number in ours:
        return "it is remedy's own"
    if user in _SYSTEM:
        return "it is the server's own"
    if command == "Killed":
        return "it is being ended already"
    if _SERVERS.match(command):
        return "it is replication's or the server's own"
    return ""


def transactions(server: Asks) -> dict[int, Transaction]:
    """Return the open InnoDB transactions by their sessions' ids."""
    return {
        int(row["id"]): Transaction(
            int(row["modified"] or 0), int(row["locked"] or 0), int(row["seconds"] or 0), str(row["state"])
        )
        for row in server.rows(_TRANSACTIONS)
        if row["id"]
    }


def may_see(server: Asks) -> None:
    """Raise Failed where the account would see its own sessions alone."""
    grants = " ".join(str(value) for row in server.rows("SHOW GRANTS") for value in row.values())
    if "ALL PRIVILEGES ON *.*" not in grants and not re.search(r"\bPROCESS\b", grants):
        raise Failed(
            "the account sees its own sessions alone: GRANT PROCESS ON *.* TO it", cause="permission"
        )


def same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Say whether two identities are one session that has done nothing in between; seconds are rounded."""
    return list(one[:3]) == list(other[:3]) and abs(int(one[3]) - int(other[3])) <= 1
