"""Reading a run back from its journal."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from remedy.errors import InputError, Position, RemedyError
from remedy.events import Event, Intent
from remedy.journal import blobs
from remedy.journal.journal import FILE, KEY
from remedy.journal.lines import Line, read_line
from remedy.journal.sealing import Seal
from remedy.journal.summary import RunSummary, Summing


class RunRecord(Struct, frozen=True):
    """A run as its journal tells it; `torn` says that the end of the last line is missing.

    An Intent in `lines` is without what stands in its blob; `intent` returns it whole.
    """

    folder: Path
    summary: RunSummary
    lines: tuple[Line, ...]
    torn: bool

    @property
    def id(self) -> str:
        """The run's id."""
        return self.folder.name

    @property
    def events(self) -> tuple[Event, ...]:
        """The events in their order."""
        return tuple(line.event for line in self.lines)

    def intent(self, line: Line) -> Intent:
        """Return the Intent of a line with all that undo needs; RemedyError where its blob cannot be read."""
        if not isinstance(line.event, Intent):
            raise TypeError(f"line {line.seq} is no Intent")
        if line.blob is None:
            return line.event
        seal = Seal(self.folder.parent.parent / KEY)
        return replace(line.event, **blobs.load(self.folder, line.blob, seal))


def read_run(folder: Path) -> RunRecord:
    """Return a run's record; InputError where there is none, RemedyError where the journal is damaged.

    The torn last line of a run that was killed counts as never written.
    """
    summing = Summing()
    lines = []
    torn = False
    for found in lines_of(folder):
        if found is None:
            torn = True
        else:
            summing(found.event)
            lines.append(found)
    summary = summing.summary(folder, running=is_active(folder))
    if summary is None:
        raise InputError(
            f"the journal {folder / FILE} does not say which run it is of", hint="it was cut off at once"
        )
    return RunRecord(folder, summary, tuple(lines), torn)


def sum_up(folder: Path) -> RunSummary | None:
    """Return a run's summary from its journal; None before its first line."""
    summing = Summing()
    for found in lines_of(folder):
        if found is not None:
            summing(found.event)
    return summing.summary(folder, running=is_active(folder))


def is_active(folder: Path) -> bool:
    """Say whether a run is under way in this folder."""
    try:
        descriptor = os.open(folder / FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def lines_of(folder: Path) -> Iterator[Line | None]:
    """Yield a journal's lines, None for a torn last one; RemedyError, at its place, for one that is damaged."""
    path = folder / FILE
    try:
        with path.open("rb") as file:
            rows = file.readlines()
    except OSError as error:
        raise InputError(f"cannot read the journal {path}: {error.strerror}") from error
    for number, row in enumerate(rows, 1):
        try:
            found = read_line(row)
        except (ValueError, TypeError):
            if number < len(rows) or row.endswith(b"\n"):
                raise RemedyError(
                    "this line of the journal is damaged",
                    where=Position(str(path), number),
                    hint="look at the file; without the line the run cannot be told or rolled back",
                ) from None
            yield None
            return
        if found is not None:
            yield found
