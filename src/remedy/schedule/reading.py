"""What the words of a schedule's file may be: each reader takes (value, word, position) and returns what was read."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from remedy.document import Map
from remedy.errors import InputError, Position, nearest
from remedy.modules.values import TYPES
from remedy.playbook import readers
from remedy.schedule.permission import KINDS, Permission
from remedy.schedule.when import Rule, read_when
from remedy.schedule.windows import Span, Window, read_window

_DAY = 86400
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d?:\d\d(?::\d\d)?)?")
_YEARS = range(2000, 2200)  # what lies further away is a slip, and beyond what calendars can add to
_Read = TypeVar("_Read")


def _mapped(read: Callable[[str], _Read], value: Any, name: str, position: Position, expected: str) -> _Read:
    """Read a text, a ValueError of `read` becoming an InputError here."""
    text = readers.constant(value, name, position) if isinstance(value, str) else None
    if text is None:
        raise readers.wrong(value, name, position, expected)
    try:
        return read(text)
    except ValueError as error:
        message, colon, hint = str(error).rpartition(": ")
        if hint.startswith(("expected", "did you mean", "valid here")) and colon:
            raise InputError(f"{name}: {message}", where=position, hint=hint) from None
        found = re.match(r"(.*?): (expected .*)", str(error), re.DOTALL)
        message, hint = (found[1], found[2]) if found else (str(error), f"expected {expected}")
        raise InputError(f"{name}: {message}", where=position, hint=hint) from None


def when(value: Any, name: str, position: Position) -> tuple[tuple[str, ...], tuple[Rule, ...]]:
    """Read when it runs: the texts, and the rules made of them."""
    texts: list[str] = []
    rules: list[Rule] = []
    for item, at in readers.items(value, position):
        read = _mapped(read_when, item, name, at, "a cron expression or words such as 'daily at 03:10'")
        texts.append(str(item))
        rules += read
    if not rules:
        raise readers.wrong(value, name, position, "a cron expression or words such as 'daily at 03:10'")
    return tuple(texts), tuple(rules)


def zone(value: Any, name: str, position: Position) -> ZoneInfo:
    """Read a time zone's name."""
    text = readers.constant(value, name, position)
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = available_timezones()
        hint = nearest(text, known)
        if not hint.startswith("did you mean"):
            last = [
                each for each in known if each.rpartition("/")[2].lower() == text.lower().replace(" ", "_")
            ]
            hint = (
                nearest(last[0], last)
                if last
                else "expected a name such as Europe/Berlin, Asia/Shanghai or UTC"
            )
        raise InputError(f"no time zone '{text}'", where=position, hint=hint) from None


def seconds(value: Any, name: str, position: Position) -> float:
    """Read a duration of at most a day, in seconds."""
    try:
        found = float(TYPES["duration"](value))
    except (ValueError, OverflowError):
        found = -1.0
    if not 0 <= found <= _DAY:
        raise readers.wrong(value, name, position, "a duration such as 90s or 10m, at most 1d")
    return found


class Spans:
    """Reads windows and blackouts; dates are days of the schedule's zone."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone

    def windows(self, value: Any, name: str, position: Position) -> tuple[Window, ...]:
        """Read when it may start."""
        found = tuple(
            _mapped(read_window, item, name, at, "a text such as 'daily 01:00 to 05:00'")
            for item, at in readers.items(value, position)
        )
        if not found:
            raise readers.wrong(
                value, name, position, "at least one window; without the word any time is open"
            )
        return found

    def blackouts(self, value: Any, name: str, position: Position) -> tuple[Window | Span, ...]:
        """Read when it may not start."""
        return tuple(self._blackout(item, name, at) for item, at in readers.items(value, position))

    def _blackout(self, value: Any, name: str, position: Position) -> Window | Span:
        expected = "a mapping {from, to, why} of dates, or a text such as 'weekdays 08:00 to 18:00'"
        if not isinstance(value, Map):
            return _mapped(read_window, value, name, position, expected)
        written = readers.read_mapping(
            value, name, {"from": self._first, "to": self._last, "why": readers.constant}
        )
        for word in ("from", "to"):
            if word not in written:
                raise InputError(f"a blackout without '{word}'", where=position, hint=f"expected {expected}")
        (start, first), (end, last) = written["from"], written["to"]
        if end <= start:
            where = value.values_at["to"]
            raise InputError(
                f"the blackout ends before it begins: {first} to {last}", where=where, hint="swap them"
            )
        return Span(start, end, f"{first} to {last}", written.get("why", ""))

    def _first(self, value: Any, name: str, position: Position) -> tuple[datetime, str]:
        moment, text, _ = self._moment(value, name, position)
        return moment, text

    def _last(self, value: Any, name: str, position: Position) -> tuple[datetime, str]:
        moment, text, whole = self._moment(value, name, position)
        if whole:  # a day is meant with all its hours
            moment = (moment.astimezone(self._zone) + timedelta(days=1)).astimezone(UTC)
        return moment, text

    def _moment(self, value: Any, name: str, position: Position) -> tuple[datetime, str, bool]:
        """Return a date or a date with a time as a moment, its text, and whether it is a whole day."""
        text = value.isoformat(" ") if isinstance(value, datetime) else str(value)
        found = None
        if _DATE.fullmatch(text):
            try:
                found = datetime.fromisoformat(re.sub(r"([ T])(\d):", r"\g<1>0\2:", text))
            except ValueError:
                pass
        if found is None or found.year not in _YEARS:
            raise readers.wrong(
                value,
                name,
                position,
                "a date (2026-12-20) or a date and time ('2026-12-20 18:00'), of this century or the next",
            )
        return found.replace(tzinfo=self._zone).astimezone(UTC), text, len(text) == len("2026-12-20")


def permission(value: Any, name: str, position: Position) -> Permission:
    """Read what may happen with nobody to ask."""
    expected = "a mapping such as {kinds: [D, R], at_most: 25%, until: 2027-06-30, by: anna@example.com}"
    if not isinstance(value, Map):
        raise readers.wrong(value, name, position, expected)
    written = readers.read_mapping(
        value, name, {"kinds": _kinds, "at_most": _most, "until": _until, "by": readers.constant}
    )
    for word in ("kinds", "at_most", "until", "by"):
        if word not in written:
            raise InputError(f"a permission without '{word}'", where=position, hint=f"expected {expected}")
    most, share = written["at_most"]
    return Permission(written["kinds"], most, share, written["until"], written["by"])


def _kinds(value: Any, name: str, position: Position) -> frozenset[str]:
    found = set()
    for item, at in readers.items(value, position):
        if item == "!":
            raise InputError(
                "what is marked ! cannot be permitted ahead",
                where=at,
                hint="it needs its own variable and --yes, by hand: somebody must look at it",
            )
        if not isinstance(item, str) or item not in KINDS:
            raise readers.wrong(item, name, at, "D (destroys) or R (interrupts), such as [D, R]")
        found.add(str(item))
    if not found:
        raise readers.wrong(value, name, position, "D (destroys) or R (interrupts), such as [D, R]")
    return frozenset(found)


def _most(value: Any, name: str, position: Position) -> tuple[float, bool]:
    expected = "a share of the hosts (25%) or their number (2)"
    if isinstance(value, str) and value.endswith("%"):
        try:
            share = float(TYPES["percent"](value))
        except ValueError:
            share = 0.0
        if share > 0:
            return share / 100, True
    whole = int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value
    if isinstance(whole, bool) or not isinstance(whole, int) or whole < 1:
        raise readers.wrong(value, name, position, expected)
    return float(whole), False


def _until(value: Any, name: str, position: Position) -> date:
    try:
        found = date.fromisoformat(str(value))
    except ValueError:
        found = date.min
    if found.year not in _YEARS:
        raise readers.wrong(value, name, position, "a date such as 2027-06-30, of this century or the next")
    return found
