"""The tables of the history database.

What stands in `runs` and below it is told by the journals, and can be filled anew from them at any time;
`schedule_times`, `schedule_jobs` and `leases` are of the schedules, and stand nowhere else. All times are UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DataError
from sqlalchemy.types import TypeEngine

HEAD = "0002"
"""The newest revision in migrations/: what this program reads and writes."""
VERSION_TABLE = "remedy_version"
"""Where the revision stands: alembic's usual name may be another program's in the same database."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class _Moment(sqlite.DATETIME):
    """SQLite's time, a text; what is none is an error of the database, as it is with a server."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        """Return what reads it."""
        read = super().result_processor(dialect, coltype)

        def moment(value: Any) -> datetime | None:
            try:
                found: datetime | None = read(value) if read else value
            except (ValueError, TypeError) as error:
                raise DataError(None, None, ValueError(f"{value!r} is no time")) from error
            return found

        return moment


class Utc(TypeDecorator[datetime]):
    """A moment: goes in with a time zone, whichever, and comes out in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type that a database has for it."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(_Moment())  # type: ignore[no-untyped-call]  # SQLAlchemy's own
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return it in UTC; ValueError for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return it in UTC; SQLite keeps no zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Plain(TypeDecorator[str]):
    """A text, also one that hosts or file names made: what a database cannot hold becomes a question mark."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Return it without NUL (PostgreSQL has none) and without halves of characters (UTF-8 has none)."""
        if value is None:
            return None
        return str(value).replace("\0", "?").encode("utf-8", "replace").decode("utf-8")


def _of_run() -> Column[Any]:
    return Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), nullable=False)


runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", Plain, nullable=False, unique=True),  # the run's id: the name of its folder
    Column("origin", Plain, nullable=False),  # whose journals these are: MACHINE:STATE-FOLDER
    Column("playbook", Plain, nullable=False),  # as it was named
    Column("name", Plain, nullable=False),  # its stem: disk-full
    Column("inventory", Plain, nullable=False),
    Column("mode", Plain, nullable=False),  # apply, check, diagnose, rollback
    Column("user", Plain, nullable=False),
    Column("arguments", Plain, nullable=False),  # a JSON list, without the values of extra variables
    Column("sources", Plain, nullable=False),  # a JSON list: the inventories as absolute paths
    Column("started_in", Plain, nullable=False),
    Column("project", Plain),  # its root; NULL where the journal does not say
    Column("started", Utc, nullable=False),
    Column("seconds", Double),  # NULL where the end is missing
    Column("outcome", Plain, nullable=False),  # RunEnded's, or "running", or "cut off"
    Column("exit_code", Integer),
    Column("hosts", Integer, nullable=False),  # counts
    Column("changes", Integer, nullable=False),
    Column("predicted", Integer, nullable=False),
    Column("intents", Integer, nullable=False),
    Column("lent", Integer, nullable=False),
    Column("findings", Integer, nullable=False),
    Column("unresolved", Integer, nullable=False),
    Column("journal_bytes", Integer, nullable=False),  # how much of the journal was read
    Column("trouble", Plain),  # why not all of it: its damaged line
    Column("gone", Utc),  # since when its journal is missed: what is here is all that is left of it
    Index(None, "started"),
    Index(None, "origin"),
)

run_hosts = Table(
    "run_hosts",
    metadata,
    _of_run(),
    Column("host", Plain, nullable=False),
    Column("status", Plain, nullable=False),  # failed, unreachable, refused, changed, pending, ok; none: not reached
    Column("reason", Plain),  # why it was left out: a key of errors.REASONS
    Column("message", Plain),
    *(
        Column(name, Integer, nullable=False)  # counts of tasks, as in the recap
        for name in ("ok", "changed", "failed", "skipped", "rescued", "ignored")
    ),
    Column("findings", Integer, nullable=False),
    Column("unresolved", Integer, nullable=False),
    UniqueConstraint("run_id", "host"),
    Index(None, "host", "run_id"),
)

findings = Table(
    "findings",
    metadata,
    _of_run(),
    Column("host", Plain, nullable=False),
    Column("play", Plain, nullable=False),
    Column("finding", Plain, nullable=False),  # its id: disk-full
    Column("severity", Plain, nullable=False),
    Column("title", Plain, nullable=False),
    Column("raised", Utc, nullable=False),
    Column("resolved", Boolean),  # NULL: nobody has looked again
    UniqueConstraint("run_id", "host", "play", "finding"),
    Index(None, "host", "finding"),
)

changes = Table(
    "changes",
    metadata,
    _of_run(),
    Column("number", Integer, nullable=False),  # 1 is the run's first
    Column("host", Plain, nullable=False),
    Column("task", Plain, nullable=False),
    Column("module", Plain, nullable=False),
    Column("kind", Plain, nullable=False),  # resource, sweep, action, command
    Column("object", Plain, nullable=False),
    Column("happened", Plain, nullable=False),
    Column("time", Utc, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("bytes_freed", Double),  # more than 2**31 in one sweep
    Column("reversible", Boolean, nullable=False),
    Column("predicted", Boolean, nullable=False),  # of a check: it would have happened
    UniqueConstraint("run_id", "number"),
    Index(None, "host", "run_id"),
)

measures = Table(
    "measures",
    metadata,
    _of_run(),
    Column("host", Plain, nullable=False),
    Column("name", Plain, nullable=False),  # disk.used, memory.total, connections.used, database.size, ...
    Column("object", Plain, nullable=False),  # what of it: a mount, a database, a server; "" where there is one only
    Column("value", Double, nullable=False),  # bytes, counts
    Column("time", Utc, nullable=False),
    Index(None, "host", "name", "object", "time"),
    Index(None, "run_id"),
)

schedule_times = Table(
    "schedule_times",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("schedule", Plain, nullable=False),
    Column("due", Utc, nullable=False),  # a due time can be claimed once: see the constraint below
    Column("state", Plain, nullable=False),  # claimed, running, done, skipped, missed, refused
    Column("reason", Plain),
    Column("run", Plain),  # the run's id, where there was one; its row in `runs` may come later
    Column("exit_code", Integer),
    Column("holder", Plain, nullable=False),  # which daemon or timer on which host
    Column("updated", Utc, nullable=False),
    UniqueConstraint("schedule", "due"),
    Index(None, "due"),
)

schedule_jobs = Table(
    "schedule_jobs",
    metadata,
    Column("project", Plain, nullable=False),
    Column("job", Plain, nullable=False),  # the schedule's name; NAME/window for the openings of its windows
    Column("plan", Plain, nullable=False),  # the words that it was computed from
    Column("next", Utc, nullable=False),
    UniqueConstraint("project", "job"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Plain, primary_key=True),
    Column("holder", Plain, nullable=False),
    Column("until", Utc, nullable=False),
)
