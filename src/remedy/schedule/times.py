"""Due times: rules in a time zone as moments, with the days on which the clocks change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import product

from msgspec import Struct

from remedy.schedule.when import Rule

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
_YEARS = 41 * 366  # days until a rule that has a day at all has come round


class Due(Struct, frozen=True):
    """A due time: the moment in UTC, the wall clock as it is written, and how the clock changes meet it.

    `gap`: the clock jumps over it, and nothing runs; `at` is then the moment of the jump. `twice`: the clock shows it
    two times, and `at` is the first one.
    """

    at: datetime
    wall: datetime
    gap: bool = False
    twice: bool = False


def dues(rules: Sequence[Rule], zone: tzinfo, after: datetime) -> Iterator[Due]:
    """Yield the due times after a moment, in order, each moment once; ends 41 years later."""
    day = after.astimezone(zone).date() - DAY
    last = after.astimezone(UTC)
    for _ in range(_YEARS):
        if day >= date.max - DAY:
            return
        today = [rule for rule in rules if rule.days.match(day)]
        if today:
            for due in _of_day(rules, today, day, zone, last):
                if due.at > last:
                    yield due
                    last = due.at
        day += DAY


def _of_day(
    rules: Sequence[Rule], today: Sequence[Rule], day: date, zone: tzinfo, after: datetime
) -> Iterator[Due]:
    """Yield a day's due times in order, those that are over perhaps left out."""
    start, end = moment(day, 0, 0, zone), moment(day + DAY, 0, 0, zone)
    clocks = _clocks(today)
    if end.at - start.at == DAY and not (start.gap or start.twice or end.gap or end.twice):
        # An ordinary day: nothing to be looked up for each of its due times, which may be one a minute.
        if end.at <= after:
            return
        for hour, minute in clocks:
            at = start.at + timedelta(hours=hour, minutes=minute)
            if at > after:
                yield Due(at, datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone))
        return
    found: dict[datetime, Due] = {}
    for hour, minute in clocks:
        due = moment(day, hour, minute, zone)
        # Where the clock jumps onto a due time, that one is due; it has lost nothing.
        if not due.gap or not _falls_on(rules, due.at.astimezone(zone)):
            known = found.get(due.at)
            found[due.at] = due if known is None or due.wall < known.wall else known
    yield from (found[at] for at in sorted(found))


def _clocks(rules: Sequence[Rule]) -> Iterable[tuple[int, int]]:
    """Return the times of day of rules, in order, each once."""
    if len(rules) == 1:
        return product(rules[0].hours, rules[0].minutes)
    return sorted({clock for rule in rules for clock in product(rule.hours, rule.minutes)})


def between(rules: Sequence[Rule], zone: tzinfo, after: datetime, upto: datetime) -> Iterator[Due]:
    """Yield the due times after a moment up to another one, that one included."""
    for due in dues(rules, zone, after):
        if due.at > upto:
            return
        yield due


def moment(day: date, hour: int, minute: int, zone: tzinfo) -> Due:
    """Return a time of day as a Due."""
    wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
    first = wall.astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) != wall.replace(tzinfo=None):
        return Due(_jump(wall, zone), wall, gap=True)
    second = wall.replace(fold=1).astimezone(UTC)
    return Due(first, wall, twice=second != first)


def _jump(wall: datetime, zone: tzinfo) -> datetime:
    """Return the moment at which the clock jumps over a time that does not exist."""
    # Taken with the offset that holds after the jump it lies before it, and the other way round.
    low, high = wall.replace(fold=1).astimezone(UTC), wall.astimezone(UTC)
    before = low.astimezone(zone).utcoffset()
    while high - low > SECOND:
        middle = low + (high - low) // 2
        middle -= timedelta(microseconds=middle.microsecond)
        if middle in (low, high):
            break
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    return high


def _falls_on(rules: Sequence[Rule], local: datetime) -> bool:
    return local.second == 0 and any(
        local.hour in rule.hours and local.minute in rule.minutes and rule.days.match(local.date())
        for rule in rules
    )


def jitter(schedule: str, due: datetime, most: float) -> timedelta:
    """Return how much later than due to start: from nothing to `most` seconds, always the same for a due time.

    So all that may start a run agree on it, and hosts are not met by all schedules at once.
    """
    if most <= 0:
        return timedelta()
    digest = hashlib.sha256(f"{schedule} {due.astimezone(UTC).isoformat()}".encode()).digest()
    return timedelta(seconds=int(int.from_bytes(digest[:8], "big") / 2**64 * (most + 1)))
