"""The history database as whoever asks it wants it: open, up to date, and there whatever befell the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from remedy.history.database import Database, in_memory, open_database, renew
from remedy.history.filling import Filled, Progress, catch_up, rebuild
from remedy.history.trouble import HistoryError

Notice = Callable[[str], None]


def filled(state: Path, url: str | None, notice: Notice, progress: Progress | None = None) -> Database:
    """Return the history database of a state folder with every run of its journals in it.

    Where it cannot be used (locked, disk full, server away, of a newer remedy), `notice` is told why, and one in
    memory is filled from the journals: it tells the same of this state folder, and nothing of others.
    """
    try:
        database, _ = kept_up(state, url, notice, progress)
    except HistoryError as error:
        notice(f"{error.message}; this is told from the journals of {state}")
        database = in_memory()
        catch_up(database, state, progress)
    return database


def kept_up(
    state: Path,
    url: str | None,
    notice: Notice,
    progress: Progress | None = None,
    *,
    anew: bool = False,
) -> tuple[Database, Filled]:
    """Return the database and what was filled in; a damaged one is made anew. Raises HistoryError.

    `anew`: every run is stored again.
    """
    fill = rebuild if anew else catch_up
    database = open_database(state, url, notice=notice)
    try:
        try:
            return database, fill(database, state, progress)
        except HistoryError as error:
            if not error.broken:
                raise
        database = renew(database, notice)
        return database, fill(database, state, progress)
    except BaseException:
        database.close()
        raise
