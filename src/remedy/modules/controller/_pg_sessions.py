"""Sessions of a PostgreSQL server, as pg_stat_activity shows them, and which of them may never be ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from remedy.modules.controller._postgres import APPLICATION, Session, plain

BACKUPS = ("pg_dump", "pg_dumpall", "pg_restore", "pg_basebackup")
_TEXT = 300

_SQL = (
    "SELECT a.pid, a.backend_start, a.usename, a.datname, a.application_name, a.client_addr::text AS client, "
    "a.backend_type, a.state, a.state_change, a.xact_start, a.query_start, a.wait_event_type, a.wait_event, "
    "a.backend_xid IS NOT NULL AS written, left(a.query, {text}) AS query, clock_timestamp() AS now, "
    "COALESCE(r.rolsuper, false) AS super, ARRAY(SELECT DISTINCT l.relation::regclass::text FROM pg_locks l "
    # A write locks the table's indexes in the same way.
    "JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p') "
    "WHERE l.pid = a.pid AND l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.database = "
    "(SELECT oid FROM pg_database WHERE datname = current_database())) AS tables "
    "FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid "
    "WHERE a.backend_type = ANY(%s) {more}ORDER BY a.backend_start, a.pid"
).replace("{text}", str(_TEXT))
_TYPES = ["client backend", "walsender", "autovacuum worker", "parallel worker", "logical replication worker"]


@dataclass(frozen=True)
class Client:
    """One session; times are seconds until now. `row` is the view's."""

    row: dict[str, Any]
    own: tuple[int, ...] = ()

    @property
    def pid(self) -> int:
        return int(self.row["pid"])

    @property
    def state(self) -> str:
        return str(self.row["state"] or "unknown")

    @property
    def in_transaction(self) -> bool:
        """Say whether it is idle with a transaction open."""
        return self.state.startswith("idle in transaction")

    @property
    def seconds(self) -> float:
        """For how long it has been at what it is at: its statement, or waiting for its client."""
        return self._since("query_start" if self.state == "active" else "state_change")

    @property
    def name(self) -> str:
        return f"pid {self.pid} ({self.row['usename']}, {self.row['datname']}, {self.row['client'] or 'local'})"

    @property
    def identity(self) -> list[Any]:
        """What must be the same just before it is ended."""
        times = [_iso(self.row[name]) for name in ("backend_start", "state_change", "query_start")]
        return [self.pid, times[0], self.state, times[1] if self.state != "active" else times[2]]

    @property
    def untouchable(self) -> str:
        """Why it may never be ended, "" where it may."""
        if self.pid in self.own or self.row["application_name"] == APPLICATION:
            return "it is remedy's own"
        if self.row["backend_type"] == "autovacuum worker" and "to prevent wraparound" in str(self.row["query"]):
            return "it is an autovacuum to prevent wraparound"
        if self.row["backend_type"] != "client backend":
            return f"it is no client's: {self.row['backend_type']}"
        return "it is a superuser's" if self.row["super"] else ""

    @property
    def costs(self) -> str:
        """What ending it would roll back, in words; "" where nothing is open."""
        if self.row["xact_start"] is None or self.state == "idle":
            return ""
        begun = f"its transaction of {span(self._since('xact_start'))} is rolled back"
        if not self.row["written"]:
            return f"{begun}, which has written nothing"
        # Which tables they are is known in the database that remedy is in alone.
        tables = ", ".join(self.row["tables"])
        where = f"to {tables}" if tables else f"in the database {self.row['datname']}"
        return f"{begun}, which has written {where} (undone at once; the work is lost)"

    @property
    def doing(self) -> str:
        return f"{self.state} for {span(self.seconds)}"

    def told(self) -> dict[str, Any]:
        """Return what a task returns of it."""
        return {
            **{name: plain(self.row[name]) for name in ("pid", "client", "state", "written", "wait_event_type")},
            "user": self.row["usename"],
            "db": self.row["datname"],
            "application": self.row["application_name"],
            "seconds": round(self.seconds, 1),
            "transaction": None if self.row["xact_start"] is None else round(self._since("xact_start"), 1),
            "tables": plain(self.row["tables"]),
            "query": " ".join(str(self.row["query"] or "").split()),
        }

    def _since(self, name: str) -> float:
        at = self.row[name]
        return max(0.0, (self.row["now"] - at).total_seconds()) if isinstance(at, datetime) else 0.0


def clients(server: Session, own: tuple[int, ...] = (), pid: int | None = None) -> list[Client]:
    """Return the sessions of clients and of what works for them, the oldest first; or the one with a pid."""
    more = "AND a.pid = %s " if pid is not None else ""
    rows = server.rows(_SQL.replace("{more}", more), [_TYPES, *([] if pid is None else [pid])])
    return [Client(row, (server.pid, *own)) for row in rows]


def span(seconds: float) -> str:
    """Return seconds as people say them."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _iso(value: Any) -> str | None:
    return value.isoformat() if isinstance(value, datetime) else None
