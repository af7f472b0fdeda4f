"""What keeps the history database from being used, in remedy's words: the one place for what SQLAlchemy raises."""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    TimeoutError,
)

from remedy.errors import RemedyError, Unreachable

_BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _NOTADB = 5, 6, 8, 10, 11, 13, 14, 26
_SQLITE = {
    _BUSY: "another program has held it locked for too long",
    _LOCKED: "another program has held it locked for too long",
    _READONLY: "it cannot be written",
    _IOERR: "its disk has an error, or is full",
    _CORRUPT: "the file is damaged",
    _FULL: "the disk is full",
    _CANTOPEN: "the file cannot be opened",
    _NOTADB: "the file is no database",
}


class HistoryError(RemedyError):
    """The history database cannot be used now; no run is the worse for it, and a schedule does not run without it.

    `broken`: the file is damaged, and can be made anew from the journals; `newer`: its schema is of a newer remedy;
    `away`: its server does not answer, or somebody holds the file: it may be back in a moment.
    """

    exit_code = Unreachable.exit_code

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        broken: bool = False,
        newer: bool = False,
        away: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.broken = broken
        self.newer = newer
        self.away = away


def mapped(error: SQLAlchemyError, place: str) -> Exception:
    """Return what to raise in the place of an error; one of a constraint stays as it is, for who asked for it."""
    if isinstance(error, IntegrityError):
        return error
    cause: Any = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        code &= 0xFF  # the rest says more than anybody acts on
        why = _SQLITE.get(code, str(cause))
        return HistoryError(
            f"the history database {place} cannot be used: {why}",
            hint=_hint(code),
            broken=code in (_CORRUPT, _NOTADB),
            away=code in (_BUSY, _LOCKED),
        )
    why = " ".join(str(cause).split()) or type(cause).__name__
    away = isinstance(error, OperationalError | InterfaceError | TimeoutError)
    return HistoryError(f"the history database {place} cannot be used: {why}", away=away)


def _hint(code: int) -> str | None:
    if code in (_FULL, _IOERR):
        return "free space; what is missing in it is filled in from the journals"
    if code in (_READONLY, _CANTOPEN):
        return "look at who owns the file and its folder, and how they are mounted"
    return None
