"""Heavy statements of PostgreSQL (VACUUM, CREATE INDEX): one at a time, never waiting long for a lock, with room."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Any

from remedy.agent.kinds import Failed
from remedy.modules.controller._pg_settings import size
from remedy.modules.controller._postgres import Login, Session, session
from remedy.modules.controller._site import Site

_LOCK = 7_236_573  # any number, the same in every run: two runs of remedy do not work in one database at once


@contextmanager
def alone(server: Session, lock_timeout: float) -> Iterator[None]:
    """Keep others of remedy's away, and let no statement wait longer for a lock; raises Failed where somebody works."""
    running = server.rows(running_sql(server.major), [server.pid])
    if running:
        first = running[0]
        raise Failed(
            f"{first['what']} runs already (pid {first['pid']}, {first['relation']}): one heavy operation at a time"
        )
    if not server.rows(f"SELECT pg_try_advisory_lock({_LOCK}) AS mine")[0]["mine"]:
        raise Failed("another run of remedy works in this database: one heavy operation at a time")
    try:
        server.rows(f"SET lock_timeout = {math.ceil(lock_timeout * 1000)}")
        yield
    finally:
        with suppress(Failed):  # where the session has ended both are gone
            server.rows(f"SELECT set_config('lock_timeout', '0', false), pg_advisory_unlock({_LOCK})")


def running_sql(major: int) -> str:
    """Return the statement that tells which heavy operations somebody has started; autovacuum does not count."""
    parts = [
        "SELECT p.pid, 'VACUUM' AS what, COALESCE(p.relid::regclass::text, '') AS relation "
        "FROM pg_stat_progress_vacuum p JOIN pg_stat_activity a USING (pid) WHERE a.backend_type = 'client backend'"
    ]
    if major >= 12:
        parts += [
            "SELECT pid, command, COALESCE(relid::regclass::text, '') FROM pg_stat_progress_create_index",
            "SELECT pid, command, COALESCE(relid::regclass::text, '') FROM pg_stat_progress_cluster",
        ]
    return f"SELECT * FROM ({' UNION ALL '.join(parts)}) AS all_of_them WHERE pid <> %s"


def need_room(site: Site, server: Session, needed: int, what: str) -> None:
    """Raise Failed where the data folder's file system has less than `needed` bytes free and a tenth beside."""
    told = server.ask_host(site)
    data, disk = server.data_folder(), told.get("disk") or told.get("perhaps")
    if disk and disk["free"] < needed * 1.1:
        raise Failed(
            f"{what} takes about {size(needed)}, and {data} has {size(disk['free'])} free: make room first",
            cause="disk_full",
        )


def databases(site: Site, login: Login, wanted: list[str] | None) -> Iterator[tuple[str, Session]]:
    """Give a session in each database: those wanted, else all that take connections.

    One at a time beside the run's own: where every connection is taken, there are few for superusers.
    """
    first = session(site, login)
    names = wanted or [row["datname"] for row in first.rows(
        "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1")]  # fmt: skip
    for name in names:
        if name == login.database:
            yield name, first
            continue
        with closing(session(site, replace(login, database=name))) as server:
            yield name, server


def table_of(server: Session, name: str) -> dict[str, Any]:
    """Return a table by its name, with or without a schema; raises Failed where there is none."""
    rows = server.rows(
        "SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s) "
        "AND c.relkind IN ('r', 'm', 'p')",
        [name],
    )
    if not rows:
        raise Failed(f"there is no table {name} in this database (login_db)")
    return rows[0]


def size_of(server: Session, table: dict[str, Any]) -> int:
    """Return the bytes of a table with its indexes; to measure it takes a lock, so ask it within `alone`."""
    return int(server.rows("SELECT pg_total_relation_size(%s::oid) AS size", [table["oid"]])[0]["size"])
