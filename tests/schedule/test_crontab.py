"""Lines for cron: whatever they start too often, each due time is started."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from remedy.schedule import Schedule
from remedy.schedule.crontab import another_zone, crontab
from tests.schedule.making import made, moments


def lines(schedule: Schedule) -> list[str]:
    """Return the times of the lines for cron."""
    text = crontab(schedule, ["remedy"], Path("/srv/ops"), Path("/var/lib/remedy"))
    return [line.partition("  ")[0] for line in text.splitlines() if re.match(r"[*0-9]", line)]


def starts(line: str, wall: datetime) -> bool:
    """Say whether cron starts a line at a minute, as crontab(5) and its entry.c have it."""
    minute, hour, day, month, weekday = line.split()
    if not (_in(minute, wall.minute) and _in(hour, wall.hour) and _in(month, wall.month)):
        return False
    of_month, of_week = _in(day, wall.day), _in(weekday, wall.isoweekday() % 7)
    # A star at the start, and both must match, else one of them.
    return of_month and of_week if "*" in (day[0], weekday[0]) else of_month or of_week


def _in(field: str, number: int) -> bool:
    if field == "*":
        return True
    for part in field.split(","):
        first, _, last = part.partition("-")
        if int(first) <= number <= int(last or first):
            return True
    return False


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("0 2 1-31 * mon", "0 2 * * *"),
        ("0 2 1 * 0-6", "0 2 * * *"),
        ("0 2 1-31 2,3 mon-sat,sun", "0 2 * 2,3 *"),
        ("0 2 1 * mon", "0 2 1 * 1"),
        ("0 2 * * mon", "0 2 * * 1"),
        ("0 2 1-31 * *", "0 2 * * *"),
    ],
)
def test_a_list_of_all_days_keeps_its_meaning(when: str, expected: str) -> None:
    assert lines(made(when=when)) == [expected]


_WORDS = st.sampled_from(["first and third monday of the month at 04:00", "last friday of the month at 04:00",
                          "last day of may at 01:00", "1st and last day of the month at 01:00", "every 5 minutes",
                          "weekdays at 02:30 and 14:05"])  # fmt: skip
_CRON = st.tuples(
    st.sampled_from(["*", "0", "0-59", "*/20", "15,45"]),
    st.sampled_from(["*", "2", "0-23", "*/6", "1-4"]),
    st.sampled_from(["*", "1", "1-31", "25-31", "*/2", "*/1"]),
    st.sampled_from(["*", "2", "1-12", "4-11"]),
    st.sampled_from(["*", "0", "0-6", "mon-sat,sun", "mon-fri", "sun", "*/2", "1-7"]),
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(_CRON | _WORDS, st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
       moments("2026-01-01", "2030-12-31"))  # fmt: skip
@example("0 2 1-31 * mon", "UTC", datetime(2026, 11, 29, tzinfo=UTC))
@example("0 2 1 * 0-6", "UTC", datetime(2026, 11, 29, tzinfo=UTC))
def test_each_due_time_is_started_by_a_line(when: str, zone: str, after: datetime) -> None:
    schedule = made(when=when, zone=zone)
    times = lines(schedule)
    for due in islice(schedule.dues(after), 40):
        wall = due.wall.replace(tzinfo=None)
        assert any(starts(line, wall) for line in times), (due, times)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["daily 01:00 to 05:00", "sat, sun 22:30 to 04:00", "first sunday of the month 00:00 to 24:00",
                        "1st and 15th of the month 03:00 to 05:00"]), moments("2026-01-01", "2030-12-31"))  # fmt: skip
def test_where_a_missed_time_may_run_each_opening_of_a_window_is_started(window: str, after: datetime) -> None:
    schedule = made(when="@monthly", windows=[window], missed="once")
    times, at = lines(schedule), after
    for _ in range(5):
        opens = schedule.opening.opens(at)
        assert opens is not None
        at = opens + timedelta(minutes=1)
        if opens > after:  # else it is open already
            assert any(starts(line, opens.replace(tzinfo=None)) for line in times), (opens, times)
        while schedule.opening.closed(at) is None:
            at += timedelta(minutes=30)


@pytest.mark.parametrize(
    ("zone", "machine", "differs"),
    [("UTC", "Etc/UTC", False), ("Europe/Berlin", "Europe/Paris", False), ("UTC", "Europe/London", True),
     ("Europe/Berlin", "UTC", True)],
)  # fmt: skip
def test_zones_whose_clocks_agree_all_year_are_one(zone: str, machine: str, differs: bool) -> None:
    now = datetime(2026, 12, 1, tzinfo=UTC)  # London's winter is UTC
    assert another_zone(made(zone=zone), ZoneInfo(machine), now) == differs


def test_the_lines_say_for_what_their_zone_holds() -> None:
    text = crontab(made(), ["remedy"], Path("/srv/ops"), Path("/var/lib/remedy"))
    assert "It holds for every line below it" in text
    assert "put these lines at the crontab's end" in text
