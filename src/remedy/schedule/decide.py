"""What becomes of the due times that have passed: which one starts now, and why the others do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from remedy.schedule.model import ONCE, REFUSE, Schedule
from remedy.schedule.times import Due

SKIPPED, MISSED = "skipped", "missed"
NOBODY = "nobody started it: no timer, crontab line or daemon was at work"


class Skipped(Struct, frozen=True):
    """A due time that does not run; `state` is skipped (by a rule of the schedule) or missed (nobody was there)."""

    due: Due
    state: str
    reason: str


class Decision(Struct, frozen=True):
    """`start` now, if anything; `skipped` for good; `waiting` for its window, until `opens`."""

    start: Due | None = None
    late: str = ""
    skipped: tuple[Skipped, ...] = ()
    waiting: Due | None = None
    opens: datetime | None = None


def decide(
    schedule: Schedule,
    passed: Sequence[Due],
    now: datetime,
    why: Callable[[Due], str | None],
    overlapped: Callable[[Due], str | None] = lambda due: None,
) -> Decision:
    """Decide about due times that nobody has handled yet, oldest first.

    `why` tells what kept the machine from starting one, if anything did; `overlapped` names the run of this schedule
    that was at work then, if any.
    """
    skipped = [Skipped(due, SKIPPED, _gap(due, schedule)) for due in passed if due.gap]
    real = [due for due in passed if not due.gap]
    if schedule.paused is not None:
        skipped += [Skipped(due, SKIPPED, f"paused: {schedule.paused}") for due in real]
        return _decision(skipped)
    if not real:
        return _decision(skipped)
    *older, newest = real
    for due in older:
        if during := overlapped(due):
            skipped.append(Skipped(due, SKIPPED, during))
        elif (reason := why(due)) is not None:
            skipped.append(Skipped(due, MISSED, reason))
        elif now - due.at <= timedelta(seconds=schedule.grace):
            skipped.append(Skipped(due, SKIPPED, "a later due time came before it was started"))
        else:
            skipped.append(Skipped(due, MISSED, NOBODY))
    return _newest(schedule, newest, now, skipped, why, overlapped(newest))


def _newest(
    schedule: Schedule,
    due: Due,
    now: datetime,
    skipped: list[Skipped],
    why: Callable[[Due], str | None],
    during: str | None,
) -> Decision:
    start = max(now, due.at + schedule.late_by(due))
    closed = schedule.opening.closed(start)
    if during is not None and schedule.overlap == REFUSE:
        return _decision([*skipped, Skipped(due, SKIPPED, during)])
    if during is not None or now - due.at <= timedelta(seconds=schedule.grace):
        if closed is not None:
            return _decision([*skipped, Skipped(due, SKIPPED, closed)])
        return _decision(skipped, start=due)
    reason = why(due) or NOBODY
    if schedule.missed != ONCE:
        return _decision([*skipped, Skipped(due, MISSED, f"{reason}; {span(now - due.at)} late by now")])
    if closed is None:
        return _decision(skipped, start=due, late=f"{span(now - due.at)} late ({reason}), inside its window")
    opens = schedule.opening.opens(now)
    following = next(schedule.dues(now), None)
    if opens is not None and (following is None or opens < following.at):
        return _decision(skipped, waiting=due, opens=opens)
    text = f"{reason}; {closed}, and the next due time comes before a window opens"
    return _decision([*skipped, Skipped(due, MISSED, text)])


def _decision(
    skipped: list[Skipped],
    start: Due | None = None,
    late: str = "",
    waiting: Due | None = None,
    opens: datetime | None = None,
) -> Decision:
    ordered = tuple(sorted(skipped, key=lambda each: each.due.at))
    return Decision(start=start, late=late, skipped=ordered, waiting=waiting, opens=opens)


def _gap(due: Due, schedule: Schedule) -> str:
    return f"{due.wall:%H:%M} does not exist on {due.wall:%Y-%m-%d} in {schedule.zone.key}: the clock jumps over it"


def span(delta: timedelta) -> str:
    """Return a length of time for people: 90 s, 12 min, 5 h 20 min, 3 d 4 h."""
    seconds = int(abs(delta.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h" + (f" {minutes} min" if minutes else "")
    days, hours = divmod(hours, 24)
    return f"{days} d" + (f" {hours} h" if hours else "")
