"""A history that could not be used when something was due: the turn that can use it again says so of those times."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from remedy.schedule.model import Schedule
from remedy.schedule.remembered import remember, remembered
from remedy.schedule.times import between

_WHAT = "away"
_ONE = 600.0  # seconds between two failures that are one outage
_MOST = 100  # outages that are remembered


class _Outage(Struct, frozen=True):
    since: float
    until: float
    why: str


def note(state: Path, file: Path, why: str, now: datetime) -> bool:
    """Remember that the history cannot be used now, for the schedule of a file; say whether that is a new outage.

    A folder that cannot be written forgets, and says that it is.
    """
    path, at = remembered(state, file, _WHAT), now.timestamp()
    outages = _read(path)
    last = outages[-1] if outages else None
    new = last is None or not -_ONE <= at - last.until <= _ONE
    if new or last is None:
        outages.append(_Outage(at, at, why))
    else:
        outages[-1] = _Outage(min(last.since, at), max(last.until, at), last.why)
    remember(path, [[each.since, each.until, each.why] for each in outages[-_MOST:]])
    return new


def note_all(state: Path, files: Iterable[Path], why: str) -> None:
    """Remember that the history cannot be used now, for the schedules of these files."""
    now = datetime.now(UTC)
    for file in files:
        note(state, file, why, now)


def note_and_tell(
    state: Path,
    schedule: Schedule,
    why: str,
    now: datetime,
    at: datetime | None,
    tell: Callable[[datetime, str], None],
) -> None:
    """Remember it, and at the beginning of an outage tell of the due time `at`, or of the one that comes just now.

    What would not have run anyway is nobody's business.
    """
    new = note(state, schedule.path, why, now)
    if at is None:
        grace = timedelta(seconds=schedule.grace)
        passed = [due.at for due in between(schedule.rules, schedule.zone, now - grace, now) if not due.gap]
        at = passed[-1] if passed else None
    if new and at is not None and schedule.paused is None and schedule.opening.closed(now) is None:
        tell(at, _reason(why))


class Away:
    """What is remembered of one schedule; `grace` is by how many seconds a due time may be before its start."""

    def __init__(self, state: Path, file: Path, grace: float) -> None:
        self._path = remembered(state, file, _WHAT)
        self._outages = _read(self._path)
        self._grace = grace

    def why(self, at: datetime) -> str | None:
        """Say why a due time was not run, None where the history could be used then as far as is known."""
        moment = at.timestamp()
        for each in self._outages:
            if each.since - self._grace <= moment <= each.until:
                return _reason(each.why)
        return None

    def over(self) -> None:
        """Forget it: what was missed is recorded."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def _reason(why: str) -> str:
    return f"it could not be started: {why}"


def _read(path: Path) -> list[_Outage]:
    with suppress(OSError, ValueError, TypeError):
        told = json.loads(path.read_text(encoding="utf-8"))
        return [_Outage(float(since), float(until), str(why)) for since, until, why in told]
    return []
