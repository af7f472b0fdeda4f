"""Filling the history database from the journals of a state folder: what is missing, or everything anew."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, text, update

from remedy.errors import RemedyError
from remedy.history.database import Database
from remedy.history.rows import Rows, rows_of
from remedy.history.tables import changes, findings, measures, run_hosts, runs
from remedy.journal import FILE, RUNNING, RUNS, is_active

Progress = Callable[[int, int], None]
"""Told of the runs that are done, and of how many there are."""

_BATCH_SECONDS = 0.3  # of reading; then what was read is stored, so that one who is killed has not read for nothing
_BATCH_ROWS = 20_000
AT_ONCE = 1000  # names or numbers in one question; databases have limits of their own, above 30 000
_LOCK = 7_236_340  # of PostgreSQL's advisory locks: one who stores at a time


class Filled(NamedTuple):
    """What was done: runs that were stored, those whose journals are missed by now, and journals that say nothing."""

    stored: int
    gone: int
    unreadable: tuple[str, ...]


def origin_of(state: Path) -> str:
    """Return whose journals those of a state folder are: MACHINE:FOLDER."""
    return f"{socket.gethostname()}:{state}"


def catch_up(database: Database, state: Path, progress: Progress | None = None) -> Filled:
    """Store the runs that are not in the database, or were not whole when they were stored; raises HistoryError.

    A run whose journal has been deleted stays, marked so. May be cut off anywhere, and run by many at once: what is
    missing then is stored the next time.
    """
    found = _journals(state)
    known = _known(database, origin_of(state), list(found))
    stale = [folder for name, folder in found.items() if _is_stale(known.get(name), folder)]
    return _fill(database, state, stale, known, found, progress)


def rebuild(database: Database, state: Path, progress: Progress | None = None) -> Filled:
    """Store every run of the state folder anew, whatever the database says of it; raises HistoryError.

    Runs whose journals are gone, those of other state folders, and what schedules keep are left as they are.
    """
    found = _journals(state)
    known = _known(database, origin_of(state), list(found))
    return _fill(database, state, list(found.values()), known, found, progress)


class _Known(NamedTuple):
    origin: str
    size: int
    outcome: str
    gone: datetime | None


def _known(database: Database, origin: str, names: list[str]) -> dict[str, _Known]:
    """Return what is known of an origin's runs, and of those whose journals are here by now.

    A container has another name each time, and a state folder may be moved: that is no reason to read it all again.
    """
    asked = select(runs.c.run, runs.c.origin, runs.c.journal_bytes, runs.c.outcome, runs.c.gone)
    with database.reading() as connection:
        found = {name: _Known(*about) for name, *about in connection.execute(asked.where(runs.c.origin == origin))}
        for some in _chunks([name for name in names if name not in found]):
            elsewhere = connection.execute(asked.where(runs.c.run.in_(some)))
            found.update((name, _Known(*about)) for name, *about in elsewhere)
    return found


def _chunks(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), AT_ONCE):
        yield names[start : start + AT_ONCE]


def _journals(state: Path) -> dict[str, Path]:
    """Return the folders that have a journal, by the id of their run, the oldest first."""
    folder = state / RUNS
    try:
        names = sorted(each.name for each in folder.iterdir() if (each / FILE).is_file())
    except OSError:
        return {}
    return {name: folder / name for name in names}


def _is_stale(known: _Known | None, folder: Path) -> bool:
    if known is None or known.gone is not None:
        return True
    try:
        size = (folder / FILE).stat().st_size
    except OSError:
        return False
    return size != known.size or (known.outcome == RUNNING and not is_active(folder))


def _fill(
    database: Database,
    state: Path,
    folders: list[Path],
    known: dict[str, _Known],
    found: dict[str, Path],
    progress: Progress | None,
) -> Filled:
    origin = origin_of(state)
    unreadable: list[str] = []
    stored = done = 0
    for batch, read in _batches(folders, origin, unreadable):
        stored += _store(database, batch)
        done += read
        if progress is not None:
            progress(done, len(folders))
    moved = [name for name, about in known.items() if about.origin != origin]
    missed = [name for name, about in known.items() if name not in found and about.gone is None]
    if not (state / RUNS).is_dir():
        missed = []  # not mounted, or a new one
    gone = _mark(database, moved, origin, missed) if moved or missed else 0
    return Filled(stored, gone, tuple(unreadable))


def _batches(folders: list[Path], origin: str, unreadable: list[str]) -> Iterator[tuple[list[Rows], int]]:
    """Yield runs that are stored together, and how many journals were read for them."""
    batch: list[Rows] = []
    read = count = 0
    begun = time.monotonic()
    for folder in folders:
        read += 1
        try:
            rows = rows_of(folder, origin)
        except (OSError, RemedyError):
            rows = None
        if rows is None:
            unreadable.append(folder.name)  # not begun, deleted meanwhile, or damaged from its first line on
        else:
            batch.append(rows)
            count += sum(map(len, rows[1:]))
        if count >= _BATCH_ROWS or time.monotonic() - begun > _BATCH_SECONDS:
            yield batch, read
            batch, read, count = [], 0, 0
            begun = time.monotonic()
    if read:
        yield batch, read


def store_alone(connection: Connection) -> None:
    """Wait until nobody else stores or deletes runs, and keep the others out until the transaction ends."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _store(database: Database, batch: list[Rows]) -> int:
    if not batch:
        return 0
    with database.writing() as connection:
        store_alone(connection)
        return sum(_put(connection, rows) for rows in batch)


def _put(connection: Connection, rows: Rows) -> bool:
    """Store a run, in the place of what was known of it; what another one has read further stays."""
    known = connection.execute(
        select(runs.c.id, runs.c.journal_bytes).where(runs.c.run == rows.run["run"])
    ).one_or_none()
    if known is None:
        inserted = connection.execute(insert(runs).values(**rows.run)).inserted_primary_key
        number = inserted[0] if inserted is not None else None
    else:
        number = known.id
        if known.journal_bytes > rows.run["journal_bytes"]:
            return False
        connection.execute(update(runs).where(runs.c.id == number).values(**rows.run))
    for table, content in zip((run_hosts, findings, changes, measures), rows[1:], strict=True):
        if known is not None:
            connection.execute(delete(table).where(table.c.run_id == number))
        if content:
            connection.execute(insert(table), [{"run_id": number, **each} for each in content])
    return True


def _mark(database: Database, moved: list[str], origin: str, missed: list[str]) -> int:
    """Note whose journals are here by now, and since when others are missed; return how many newly are."""
    marked = 0
    with database.writing() as connection:
        for some in _chunks(moved):
            connection.execute(update(runs).where(runs.c.run.in_(some)).values(origin=origin))
        for some in _chunks(missed):
            now_gone = update(runs).where(runs.c.run.in_(some), runs.c.gone.is_(None))
            marked += connection.execute(now_gone.values(gone=datetime.now(UTC))).rowcount
    return marked
