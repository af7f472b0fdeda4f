"""When: a cron expression or calendar words, as rules of days and times of day."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from remedy.schedule.days import MONTHS, WEEKDAYS, Days, listed, read_days

EXPECTED = (
    "expected five cron fields (10 3 * * *) or words such as 'daily at 03:10', 'sundays at 02:00', "
    "'first monday of the month at 04:00', 'every 15 minutes'"
)
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_EVERY = re.compile(r"every (?:(\d+) )?(minute|hour)s?(?: at :([0-5]\d))?|hourly(?: at :([0-5]\d))?")
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
# name, lowest, highest, names (the first is the lowest)
_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, tuple(name[:3] for name in MONTHS)),
    ("day of the week", 0, 7, ("sun", *(name[:3] for name in WEEKDAYS))),
)


class Rule(Struct, frozen=True):
    """On these days, at every one of the hours with every one of the minutes."""

    days: Days
    hours: tuple[int, ...]
    minutes: tuple[int, ...]


def read_when(text: str) -> tuple[Rule, ...]:
    """Read a cron expression or calendar words; a ValueError says what is wrong and what was expected."""
    plain = " ".join(text.lower().split())
    if plain.startswith("@"):
        if plain not in _MACROS:
            raise ValueError(f"'{text}' is no time: expected one of {', '.join(_MACROS)}")
        plain = _MACROS[plain]
    if re.match(r"[\d*]", plain) and " at " not in plain:
        return (_cron(plain),)
    return _words(plain)


def _words(text: str) -> tuple[Rule, ...]:
    if match := _EVERY.fullmatch(text):
        return (_interval(match),)
    days, at, times = text.rpartition(" at ")
    if not at:
        raise ValueError(f"'{text}' does not say at what time: {EXPECTED}")
    found = sorted({read_time(word) for word in listed(times)})
    if not found:
        raise ValueError(f"'{text}' does not say at what time: {EXPECTED}")
    chosen = read_days(days)
    return tuple(Rule(chosen, (hour,), (minute,)) for hour, minute in found)


def _interval(match: re.Match[str]) -> Rule:
    number = int(match[1] or 1)
    minute = int(match[3] or match[4] or 0)
    whole = 60 if match[2] == "minute" else 24
    if not 0 < number < whole or whole % number:
        parts = ", ".join(str(each) for each in range(1, whole) if whole % each == 0)
        raise ValueError(
            f"'{match[0]}' would not come round with the {'hour' if whole == 60 else 'day'}: expected one of {parts}"
        )
    if whole == 60:
        if match[3]:
            raise ValueError(f"'{match[0]}': ':{match[3]}' goes with hours, not with minutes")
        return Rule(Days(), tuple(range(24)), tuple(range(0, 60, number)))
    return Rule(Days(), tuple(range(0, 24, number)), (minute,))


def read_time(text: str) -> tuple[int, int]:
    """Read HH:MM of a 24-hour clock."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no time of day: expected HH:MM, 00:00 to 23:59")
    return int(match[1]), int(match[2])


def _cron(text: str) -> Rule:
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"'{text}' has {len(fields)} fields: {EXPECTED}")
    parsed = [_field(field, *about) for field, about in zip(fields, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = parsed
    stars = [field.startswith("*") for field in fields]
    chosen = Days(
        days=None if fields[2] == "*" else frozenset(days),
        months=None if fields[3] == "*" else frozenset(months),
        # cron counts from Sunday, and knows it as 7, too
        weekdays=None if fields[4] == "*" else frozenset((day - 1) % 7 for day in weekdays),
        # Both given: either suffices (crontab(5)); a field that begins with a star is no choice of its own.
        either=not stars[2] and not stars[4],
    )
    return Rule(chosen, tuple(sorted(hours)), tuple(sorted(minutes)))


def _field(text: str, name: str, low: int, high: int, names: Sequence[str]) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        if slash and not (step.isascii() and step.isdecimal() and 0 < int(step) <= high):
            raise ValueError(f"{name} '{part}': the step is no number from 1 to {high}")
        if span == "*":
            first, last = low, high if high != 7 else 6
        else:
            begin, dash, end = span.partition("-")
            first = _number(begin, name, low, high, names)
            last = _number(end, name, low, high, names) if dash else first
            if slash and not dash:
                raise ValueError(
                    f"{name} '{part}': a step needs a range, such as {first}-{high}/{step} or */{step}"
                )
        if first > last:
            raise ValueError(f"{name} '{part}': the range runs backwards")
        found |= set(range(first, last + 1, int(step) if slash else 1))
    return found


def _number(text: str, name: str, low: int, high: int, names: Sequence[str]) -> int:
    if text in names:
        return low + names.index(text)
    number = int(text) if text.isascii() and text.isdecimal() else -1
    if not low <= number <= high:
        words = f", or {names[0]} to {names[-1]}" if names else ""
        raise ValueError(f"{name} '{text}': expected {low} to {high}{words}")
    return number
