"""Which days: all, some weekdays, the first Monday of a month, the 15th. Read from words."""

from __future__ import annotations

import calendar
from datetime import date, timedelta

from msgspec import Struct

from remedy.errors import nearest

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = tuple(name.lower() for name in calendar.month_name[1:])
_SHORT = {name[:3]: number for number, name in enumerate(WEEKDAYS)} | {"tues": 1, "thur": 3, "thurs": 3}
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}
_WORDS: dict[str, frozenset[int] | None] = {
    "daily": None,
    "day": None,
    "days": None,
    "weekdays": frozenset(range(5)),
    "weekday": frozenset(range(5)),
    "weekends": frozenset((5, 6)),
    "weekend": frozenset((5, 6)),
}
EXPECTED_DAYS = (
    "expected days such as daily, weekdays, sundays, 'mon, thu', 'first monday of the month' or "
    "'1st of the month'"
)


class Days(Struct, frozen=True):
    """A choice of days; None leaves that part open.

    `days` are days of the month (-1: its last), `months` 1 to 12, `weekdays` 0 (Monday) to 6, `nth` which of those
    weekdays in the month (1 to 4; -1: the last). `either`: a day of the month *or* a weekday suffices, as in cron.
    """

    days: frozenset[int] | None = None
    months: frozenset[int] | None = None
    weekdays: frozenset[int] | None = None
    nth: frozenset[int] | None = None
    either: bool = False

    def match(self, day: date) -> bool:
        """Say whether a day is one of them."""
        if self.months is not None and day.month not in self.months:
            return False
        of_month = self.days is None or day.day in self.days or (-1 in self.days and _last(day))
        of_week = self.weekdays is None or day.weekday() in self.weekdays
        if self.either:
            return of_month or of_week
        return of_month and of_week and (self.nth is None or self._counted(day))

    def ever(self, today: date) -> bool:
        """Say whether there is such a day at all; a 29 February that is a Monday comes within 40 years."""
        return any(self.match(today + timedelta(days=number)) for number in range(41 * 366))

    def _counted(self, day: date) -> bool:
        nth = self.nth or frozenset()
        return (day.day - 1) // 7 + 1 in nth or (-1 in nth and (day + timedelta(days=7)).month != day.month)


def _last(day: date) -> bool:
    return (day + timedelta(days=1)).month != day.month


def read_days(text: str) -> Days:
    """Read days from words; a ValueError says what is wrong and what was expected."""
    body, of, month = " ".join(text.lower().split()).partition(" of ")
    months = None
    if of and month.split()[-1:] != ["month"]:
        months = frozenset(month_number(word) for word in listed(month))
    for opening in ("on ", "the ", "every ", "each "):
        body = body.removeprefix(opening)
    if body == "monthly" and not of:
        return Days(days=frozenset((1,)))
    if not of:
        if body in _WORDS:
            return Days(weekdays=_WORDS[body])
        found: set[int] = set()
        for word in listed(body):
            found |= _WORDS.get(word) or {weekday_number(word)}
        if not found:
            raise ValueError(f"no days: {EXPECTED_DAYS}")
        return Days(weekdays=frozenset(found))
    return _of_month(body, months)


def _of_month(body: str, months: frozenset[int] | None) -> Days:
    numbers: set[int] = set()
    weekdays: set[int] = set()
    for word in listed(body.replace(" ", ",")):
        plain = word[:-2] if word[-2:] in ("st", "nd", "rd", "th") and word[:-2].isdecimal() else word
        if word in _ORDINALS:
            numbers.add(_ORDINALS[word])
        elif plain.isascii() and plain.isdecimal():
            numbers.add(int(plain))
        elif word not in ("day", "days", "the"):
            weekdays.add(weekday_number(word))
    if not numbers:
        raise ValueError(f"'{body} of the month' does not say which: {EXPECTED_DAYS}")
    if weekdays:
        if not numbers <= {1, 2, 3, 4, -1}:
            raise ValueError("not every month has a fifth of each weekday: expected first to fourth, or last")
        return Days(months=months, weekdays=frozenset(weekdays), nth=frozenset(numbers))
    if not numbers <= {*range(1, 32), -1}:
        raise ValueError(f"{max(numbers)} is no day of a month: expected 1 to 31, or 'last day'")
    return Days(months=months, days=frozenset(numbers))


def listed(text: str) -> list[str]:
    """Return the words of a list: "a, b and c"."""
    return [word.strip() for word in text.replace(" and ", ",").split(",") if word.strip() not in ("", "and")]


def weekday_number(word: str) -> int:
    """Return 0 for monday, mondays or mon; ValueError for what is none."""
    plain = word.removesuffix("s") if word.endswith("days") else word
    if plain in WEEKDAYS:
        return WEEKDAYS.index(plain)
    if plain in _SHORT:
        return _SHORT[plain]
    raise ValueError(f"'{word}' is no day: {_hint(word, [*_WORDS, *WEEKDAYS], EXPECTED_DAYS)}")


def month_number(word: str) -> int:
    """Return 1 for january or jan; ValueError for what is none."""
    for number, name in enumerate(MONTHS, 1):
        if word in (name, name[:3]):
            return number
    raise ValueError(f"'{word}' is no month: {_hint(word, MONTHS, 'expected january to december')}")


def _hint(word: str, known: object, otherwise: str) -> str:
    if " " in word or word == "weekly":  # what is near would be many more days: 'monday' for 'first monday'
        return otherwise
    near = nearest(word, known)  # type: ignore[arg-type]  # any iterable of names
    return near if near.startswith("did you mean") else otherwise
