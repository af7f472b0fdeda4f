"""Forgetting old runs: those alone whose journals are gone, for a journal would fill its run in again."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, delete, func, select

from remedy.history.database import Database
from remedy.history.filling import AT_ONCE, store_alone
from remedy.history.tables import measures, runs


class Old(NamedTuple):
    """What began before a moment: runs whose journals are gone, their measures, and runs that have a journal."""

    runs: int
    measures: int
    with_journals: int


def old_runs(database: Database, before: datetime) -> Old:
    """Count what `prune_runs` would delete, and what it would leave."""
    gone = _gone(before)
    with database.reading() as connection:
        return Old(
            connection.execute(select(func.count()).select_from(runs).where(gone)).scalar_one(),
            connection.execute(
                select(func.count()).select_from(measures.join(runs, measures.c.run_id == runs.c.id)).where(gone)
            ).scalar_one(),
            connection.execute(
                select(func.count()).select_from(runs).where(runs.c.started < before, runs.c.gone.is_(None))
            ).scalar_one(),
        )


def prune_runs(database: Database, before: datetime) -> int:
    """Delete the runs that began before a moment and whose journals are gone, with all that is known of them.

    May be cut off anywhere. Return how many; raises HistoryError.
    """
    pruned = 0
    while True:
        with database.writing() as connection:
            store_alone(connection)
            some = connection.execute(select(runs.c.id).where(_gone(before)).limit(AT_ONCE)).scalars().all()
            if not some:
                return pruned
            # What else is of them goes with them: the tables say so.
            pruned += connection.execute(delete(runs).where(runs.c.id.in_(some))).rowcount


def _gone(before: datetime) -> ColumnElement[bool]:
    return and_(runs.c.started < before, runs.c.gone.is_not(None))
