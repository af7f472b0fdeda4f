"""Maintenance windows, in which a run may start, and blackouts, in which it may not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta, tzinfo

from msgspec import Struct

from remedy.schedule.days import Days, read_days
from remedy.schedule.times import DAY, moment

EXPECTED_WINDOW = "expected days and two times, such as 'daily 01:00 to 05:00' or 'sat, sun 22:00 to 04:00'"
_WINDOW = re.compile(r"(.+?)[ ,]+(?:from )?(\d\d?:\d\d) ?(?:to|-|–|until) ?(\d\d?:\d\d)")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)|24:00")
_LOOK = 367  # days: windows come round within a year


class Window(Struct, frozen=True):
    """A time of day on some days, in minutes since midnight; an end that is not after the start is on the next day."""

    days: Days
    start: int
    end: int
    text: str
    why: str = ""

    def holds(self, local: datetime) -> bool:
        """Say whether it is open at a local time."""
        minute = local.hour * 60 + local.minute
        today, yesterday = local.date(), local.date() - DAY
        if self.start < self.end:
            return self.start <= minute < self.end and self.days.match(today)
        return (minute >= self.start and self.days.match(today)) or (
            minute < self.end and self.days.match(yesterday)
        )

    def openings(self, after: datetime, zone: tzinfo) -> Iterator[datetime]:
        """Yield the moments at which it opens, within a year and a day."""
        first = after.astimezone(zone).date()
        for number in range(_LOOK):
            day = first + timedelta(days=number)
            if self.days.match(day):
                at = moment(day, self.start // 60, self.start % 60, zone).at
                if at > after:
                    yield at

    def closes(self, at: datetime, zone: tzinfo) -> datetime:
        """Return when it closes, which is open at a moment."""
        local = at.astimezone(zone)
        day: date = local.date()
        if self.start >= self.end and local.hour * 60 + local.minute >= self.start:
            day += DAY
        if self.end == 24 * 60:
            return moment(day + DAY, 0, 0, zone).at
        return moment(day, self.end // 60, self.end % 60, zone).at


class Span(Struct, frozen=True):
    """One time from a moment to another one."""

    start: datetime
    end: datetime
    text: str
    why: str = ""


class Opening(Struct, frozen=True):
    """Windows and blackouts together: when a run may start. Without windows any time is open."""

    zone: tzinfo
    windows: tuple[Window, ...] = ()
    blackouts: tuple[Window | Span, ...] = ()

    def closed(self, at: datetime) -> str | None:
        """Return why nothing may start at a moment, None where something may."""
        local = at.astimezone(self.zone)
        for each in self.blackouts:
            if each.holds(local) if isinstance(each, Window) else each.start <= at < each.end:
                return f"blackout: {each.text}" + (f" ({each.why})" if each.why else "")
        if self.windows and not any(window.holds(local) for window in self.windows):
            return f"outside its windows: {', '.join(window.text for window in self.windows)}"
        return None

    def opens(self, after: datetime) -> datetime | None:
        """Return when the next window opens; None without windows, or where none does within a year."""
        found = [next(window.openings(after, self.zone), None) for window in self.windows]
        return min((at for at in found if at is not None), default=None)

    def closes(self, at: datetime) -> datetime | None:
        """Return when the windows that are open at a moment are closed, None where none is."""
        local = at.astimezone(self.zone)
        ends = [window.closes(at, self.zone) for window in self.windows if window.holds(local)]
        return max(ends, default=None)

    def skip_to(self, at: datetime) -> datetime | None:
        """Return a later moment before which a closed one stays closed, None where that is not known."""
        for each in self.blackouts:
            if isinstance(each, Span) and each.start <= at < each.end:
                return each.end
            if isinstance(each, Window) and each.holds(at.astimezone(self.zone)):
                return each.closes(at, self.zone)
        if self.windows and not any(window.holds(at.astimezone(self.zone)) for window in self.windows):
            return self.opens(at)
        return None


def read_window(text: str, why: str = "") -> Window:
    """Read a window; a ValueError says what is wrong and what was expected."""
    match = _WINDOW.fullmatch(" ".join(text.lower().split()))
    if match is None:
        raise ValueError(f"'{text}' is no window: {EXPECTED_WINDOW}")
    start, end = _minutes(match[2]), _minutes(match[3])
    if start == end or start == 24 * 60:
        raise ValueError(f"'{text}' is open for no time: a whole day is 00:00 to 24:00")
    return Window(read_days(match[1]), start, end, text, why)


def _minutes(text: str) -> int:
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no time of day: expected HH:MM, 00:00 to 24:00")
    return 24 * 60 if match[1] is None else int(match[1]) * 60 + int(match[2])


def texts(windows: Sequence[Window | Span]) -> str:
    """Return windows or blackouts as one text."""
    return "; ".join(each.text + (f" ({each.why})" if each.why else "") for each in windows)
