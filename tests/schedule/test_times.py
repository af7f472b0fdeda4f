"""Due times: cron and words, and what the clock changes do to them."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from remedy.schedule.times import Due, between, dues, jitter
from remedy.schedule.units import calendars
from remedy.schedule.when import read_when
from tests.schedule.making import made, moments

BERLIN, NEW_YORK, LORD_HOWE = map(ZoneInfo, ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe"))


def _next(text: str, zone: ZoneInfo, after: str, number: int) -> list[str]:
    found = islice(dues(read_when(text), zone, datetime.fromisoformat(after)), number)
    return [
        f"{due.at:%Y-%m-%dT%H:%MZ}{' gap' if due.gap else ''}{' twice' if due.twice else ''}" for due in found
    ]


@pytest.mark.parametrize(
    ("text", "zone", "after", "expected"),
    [
        # Europe/Berlin: 2026-03-29 02:00 -> 03:00, 2026-10-25 03:00 -> 02:00
        ("30 2 * * *", BERLIN, "2026-03-28T00:00Z",
         ["2026-03-28T01:30Z", "2026-03-29T01:00Z gap", "2026-03-30T00:30Z"]),
        ("30 2 * * *", BERLIN, "2026-10-24T12:00Z", ["2026-10-25T00:30Z twice", "2026-10-26T01:30Z"]),
        ("0 3 * * *", BERLIN, "2026-03-28T12:00Z", ["2026-03-29T01:00Z", "2026-03-30T01:00Z"]),
        # 02:30 does not exist, and 03:00 is where the clock jumps to: that one runs
        ("0,30 2,3 * * *", BERLIN, "2026-03-29T00:00Z", ["2026-03-29T01:00Z", "2026-03-29T01:30Z"]),
        ("hourly at :15", BERLIN, "2026-10-24T23:30Z",
         ["2026-10-25T00:15Z twice", "2026-10-25T02:15Z", "2026-10-25T03:15Z"]),
        # America/New_York: 2026-03-08 02:00 -> 03:00, 2026-11-01 02:00 -> 01:00
        ("15 2 * * *", NEW_YORK, "2026-03-08T00:00Z", ["2026-03-08T07:00Z gap", "2026-03-09T06:15Z"]),
        ("15 1 * * *", NEW_YORK, "2026-10-31T12:00Z", ["2026-11-01T05:15Z twice", "2026-11-02T06:15Z"]),
        # Australia/Lord_Howe: half an hour; 2026-10-04 02:00 -> 02:30, 2026-04-05 02:00 -> 01:30
        ("15 2 * * *", LORD_HOWE, "2026-10-03T00:00Z", ["2026-10-03T15:30Z gap", "2026-10-04T15:15Z"]),
        ("45 1 * * *", LORD_HOWE, "2026-04-04T00:00Z", ["2026-04-04T14:45Z twice", "2026-04-05T15:15Z"]),
        ("0 0 29 2 *", BERLIN, "2026-01-01T00:00Z", ["2028-02-28T23:00Z", "2032-02-28T23:00Z"]),
        ("0 12 29 2 mon", ZoneInfo("UTC"), "2027-12-31T00:00Z", ["2028-02-07T12:00Z", "2028-02-14T12:00Z"]),
    ],
)  # fmt: skip
def test_due_times_over_the_clock_changes(text: str, zone: ZoneInfo, after: str, expected: list[str]) -> None:
    assert _next(text, zone, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("daily at 03:10", ["2026-11-30T03:10Z", "2026-12-01T03:10Z"]),
        ("daily at 15:10 and 03:10", ["2026-11-29T15:10Z", "2026-11-30T03:10Z"]),
        ("sundays at 02:00", ["2026-12-06T02:00Z", "2026-12-13T02:00Z"]),
        ("mon, thu at 02:00", ["2026-11-30T02:00Z", "2026-12-03T02:00Z"]),
        ("weekdays at 23:59", ["2026-11-30T23:59Z", "2026-12-01T23:59Z"]),
        ("first monday of the month at 04:00", ["2026-12-07T04:00Z", "2027-01-04T04:00Z"]),
        ("the first and third monday of the month at 04:00", ["2026-12-07T04:00Z", "2026-12-21T04:00Z"]),
        ("last friday of january and july at 04:00", ["2027-01-29T04:00Z", "2027-07-30T04:00Z"]),
        ("last day of the month at 01:00", ["2026-11-30T01:00Z", "2026-12-31T01:00Z"]),
        ("1st and 15th of the month at 01:00", ["2026-12-01T01:00Z", "2026-12-15T01:00Z"]),
        ("every minute", ["2026-11-29T12:31Z", "2026-11-29T12:32Z"]),
        ("every hour at :05", ["2026-11-29T13:05Z"]),
        ("every 30 minutes", ["2026-11-29T13:00Z", "2026-11-29T13:30Z"]),
        ("every 6 hours at :20", ["2026-11-29T18:20Z", "2026-11-30T00:20Z"]),
        ("@weekly", ["2026-12-06T00:00Z", "2026-12-13T00:00Z"]),
        ("0 2 * * 7", ["2026-12-06T02:00Z", "2026-12-13T02:00Z"]),
        ("0 2 * * 0", ["2026-12-06T02:00Z", "2026-12-13T02:00Z"]),
        ("0 2 1 * mon", ["2026-11-30T02:00Z", "2026-12-01T02:00Z"]),  # crontab(5): either suffices
        ("0 2 */2 * mon", ["2026-12-07T02:00Z", "2026-12-21T02:00Z"]),  # a star at the start: both
        ("5-20/5 1 * jan-mar *", ["2027-01-01T01:05Z", "2027-01-01T01:10Z"]),
    ],
)
def test_words_and_cron(text: str, expected: list[str]) -> None:
    assert _next(text, ZoneInfo("UTC"), "2026-11-29T12:30Z", len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("61 * * * *", "minute '61': expected 0 to 59"),
        ("* * * *", "has 4 fields"),
        ("* 9-5 * * *", "hour '9-5': the range runs backwards"),
        ("5/10 * * * *", "a step needs a range, such as 5-59/10 or */10"),
        ("* * * 13 *", "month '13': expected 1 to 12, or jan to dec"),
        ("*/0 * * * *", "the step is no number"),
        ("@reboot", "expected one of @hourly"),
        ("daily", "does not say at what time"),
        ("daily at 24:00", "expected HH:MM, 00:00 to 23:59"),
        ("sundys at 01:00", "did you mean 'sunday'?"),
        ("first monday of janury at 01:00", "did you mean 'january'?"),
        ("fifth monday of the month at 01:00", "'fifth' is no day"),
        ("5th monday of the month at 01:00", "first to fourth, or last"),
        ("32nd of the month at 01:00", "32 is no day of a month"),
        ("every 7 minutes", "expected one of 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30"),
        ("whenever", "does not say at what time"),
        ("", "does not say at what time"),
    ],
)
def test_what_is_no_time_says_why(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_when(text)
    assert message in str(caught.value)


_PARTS = st.sampled_from
_CRON = st.tuples(
    _PARTS(["*", "0", "30", "*/20", "15,45"]),
    _PARTS(["*", "0", "1", "2", "2,3", "*/6", "1-4"]),
    _PARTS(["*", "1", "29", "25-31", "*/2"]),
    _PARTS(["*", "2", "3,10", "4-11"]),
    _PARTS(["*", "0", "mon-fri", "sun"]),
).map(" ".join)
_ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana",
                          "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca"])  # fmt: skip
_MOMENTS = moments("2011-12-20", "2035-12-31")


@settings(max_examples=60)
@given(_CRON, _ZONES, _MOMENTS)
@example(
    "*/20 * * * *", "Pacific/Apia", datetime(2011, 12, 29, tzinfo=UTC)
)  # a whole day that does not exist
@example("0 0 * * *", "America/Havana", datetime(2026, 3, 7, tzinfo=UTC))  # midnight does not exist
def test_due_times_are_those_that_a_clock_on_the_wall_shows_first(
    text: str, zone: str, after: datetime
) -> None:
    """Each minute that passes is asked whether the wall shows a due time that it has not shown before."""
    rules, there = read_when(text), ZoneInfo(zone)
    after = after.replace(second=0, microsecond=0)
    upto = after + timedelta(days=3)
    shown: set[datetime] = set()
    expected = []
    for number in range(-24 * 60, 3 * 24 * 60 + 1):
        at = after + timedelta(minutes=number)
        wall = at.astimezone(there).replace(tzinfo=None, fold=0)
        fits = any(
            wall.minute in rule.minutes and wall.hour in rule.hours and rule.days.match(wall.date())
            for rule in rules
        )
        if fits and wall.second == 0 and wall not in shown and at > after:
            expected.append(at)
        shown.add(wall)
    found = list(between(rules, there, after, upto))
    assert [due.at for due in found if not due.gap] == expected
    assert [due.at for due in found] == sorted({due.at for due in found})


@settings(max_examples=25)
@given(_CRON, st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
       moments("2026-01-01", "2030-12-31"))  # fmt: skip
@example("30 2 * * *", "Europe/Berlin", datetime(2026, 3, 27, tzinfo=UTC))
@example("30 2 * * *", "Europe/Berlin", datetime(2026, 10, 23, tzinfo=UTC))
@example("15 2 * * *", "Australia/Lord_Howe", datetime(2026, 10, 2, tzinfo=UTC))
def test_systemd_reads_the_exported_times_as_we_do(text: str, zone: str, after: datetime) -> None:
    after = after.replace(microsecond=0)
    rules = read_when(text)
    ours = [due.at for due in islice((due for due in dues(rules, ZoneInfo(zone), after) if not due.gap), 4)]
    assert _of_systemd(calendars(made(when=text, zone=zone)), after, 4) == ours


@pytest.mark.parametrize(
    "text",
    ["first and third monday of the month at 04:00", "last friday of the month at 04:00", "last day of may at 01:00",
     "1st and last day of the month at 01:00", "weekdays at 02:30 and 14:05", "every 5 minutes", "0 2 13 * fri"],
)  # fmt: skip
def test_systemd_reads_words_as_we_do(text: str) -> None:
    after = datetime(2026, 11, 29, 12, tzinfo=UTC)
    rules = read_when(text)
    ours = [due.at for due in islice(dues(rules, BERLIN, after), 6) if not due.gap]
    assert _of_systemd(calendars(made(when=text, zone="Europe/Berlin")), after, 6) == ours


def _of_systemd(expressions: list[str], after: datetime, number: int) -> list[datetime]:
    """Return what systemd makes of OnCalendar lines together."""
    program = shutil.which("systemd-analyze")
    assert program is not None, "these tests ask systemd itself: apt-get install systemd"
    found: set[datetime] = set()
    for expression in expressions:
        base = f"--base-time={after:%Y-%m-%d %H:%M:%S} UTC"
        argv = [program, "calendar", base, f"--iterations={number}", expression]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30, env={"TZ": "UTC"})
        for line in done.stdout.splitlines():
            name, _, value = line.strip().partition(": ")
            if name.startswith(("Next elapse", "Iter.")) and value.endswith("UTC"):
                found.add(datetime.strptime(value, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC))
    return sorted(found)[:number]


@given(_MOMENTS, st.integers(0, 86400))
def test_jitter_is_the_same_for_a_due_time_and_never_too_much(at: datetime, most: int) -> None:
    late = jitter("ops/nightly", at, most)
    assert timedelta() <= late <= timedelta(seconds=most)
    assert late == jitter("ops/nightly", at.astimezone(BERLIN), most)


def test_jitter_differs_between_schedules_and_days() -> None:
    at = datetime(2026, 11, 29, 2, tzinfo=UTC)
    by_name = {jitter(f"ops/{number}", at, 600) for number in range(50)}
    by_day = {jitter("ops/nightly", at + timedelta(days=number), 600) for number in range(50)}
    assert len(by_name) > 30
    assert len(by_day) > 30


def test_a_due_time_says_what_the_wall_clock_shows() -> None:
    (due,) = islice(dues(read_when("30 2 * * *"), BERLIN, datetime(2026, 3, 28, 12, tzinfo=UTC)), 1)
    assert due == Due(
        datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN), gap=True
    )
