"""What becomes of due times: windows, blackouts, lateness, a pause, runs that overlap."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remedy.schedule import Schedule
from remedy.schedule.clock import Reading, Story, look
from remedy.schedule.decide import Decision, decide, span
from remedy.schedule.times import Due, between
from tests.schedule.making import made, moments

WINDOW = ["daily 01:00 to 05:00"]


def _at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}Z" if "T" in text else f"{text}T00:00Z")


def _decided(schedule: Schedule, since: str, now: str, during: str | None = None) -> Decision:
    passed = list(between(schedule.rules, schedule.zone, _at(since), _at(now)))
    return decide(schedule, passed, _at(now), lambda due: "the machine was off", lambda due: during)


def _told(decision: Decision) -> list[str]:
    return [f"{each.due.at:%dT%H:%M} {each.state}: {each.reason}" for each in decision.skipped]


def test_what_is_due_starts() -> None:
    decision = _decided(made(windows=WINDOW), "2026-11-29T03:00", "2026-11-30T02:00:04")
    assert decision.start is not None
    assert decision.start.at == _at("2026-11-30T02:00")
    assert decision.skipped == ()


def test_three_times_slept_through_and_booted_by_day_start_nothing() -> None:
    decision = _decided(made(windows=WINDOW), "2026-11-26T03:00", "2026-11-29T11:00")
    assert decision.start is None
    assert _told(decision) == [
        "27T02:00 missed: the machine was off",
        "28T02:00 missed: the machine was off",
        "29T02:00 missed: the machine was off; 9 h late by now",
    ]


@pytest.mark.parametrize("missed", ["skip", "once"])
def test_booted_by_day_nothing_starts_whatever_missed_says(missed: str) -> None:
    decision = _decided(made(windows=WINDOW, missed=missed), "2026-11-26T03:00", "2026-11-29T11:00")
    assert decision.start is None


def test_missed_once_waits_for_its_window_and_runs_once_there() -> None:
    schedule = made(when="sundays at 02:00", windows=WINDOW, missed="once")
    by_day = _decided(schedule, "2026-11-15T03:00", "2026-11-29T11:00")
    assert by_day.waiting is not None
    assert by_day.waiting.at == _at("2026-11-29T02:00")
    assert by_day.opens == _at("2026-11-30T01:00")
    assert _told(by_day) == ["22T02:00 missed: the machine was off"]
    at_night = _decided(schedule, "2026-11-22T02:00", "2026-11-30T01:00")
    assert at_night.start == by_day.waiting
    assert at_night.late == "23 h late (the machine was off), inside its window"


def test_several_within_the_grace_start_the_newest_only() -> None:
    schedule = made(when="every 1 minute")
    passed = list(between(schedule.rules, schedule.zone, _at("2026-11-29T01:57"), _at("2026-11-29T02:00:30")))
    decision = decide(schedule, passed, _at("2026-11-29T02:00:30"), lambda due: None)
    assert decision.start == passed[-1]
    assert {each.reason for each in decision.skipped} == {"a later due time came before it was started"}


def test_missed_once_inside_its_window_runs_the_newest() -> None:
    decision = _decided(
        made(when="*/30 * * * *", windows=WINDOW, missed="once"), "2026-11-29T00:30", "2026-11-29T02:17"
    )
    assert decision.start is not None
    assert decision.start.at == _at("2026-11-29T02:00")
    assert len(decision.skipped) == 2


def test_outside_its_window_and_in_a_blackout_nothing_starts() -> None:
    assert _told(
        _decided(made(when="daily at 05:00", windows=WINDOW), "2026-11-29", "2026-11-29T05:00:01")
    ) == ["29T05:00 skipped: outside its windows: daily 01:00 to 05:00"]
    freeze = [{"from": "2026-11-28", "to": "2026-11-29", "why": "freeze"}]
    assert _told(_decided(made(blackouts=freeze), "2026-11-29", "2026-11-29T02:00:01")) == [
        "29T02:00 skipped: blackout: 2026-11-28 to 2026-11-29 (freeze)"
    ]
    assert _decided(made(blackouts=freeze), "2026-11-29T03:00", "2026-11-30T02:00:01").start is not None


def test_the_jitter_may_not_lead_out_of_the_window() -> None:
    schedule = made(when="daily at 04:59", windows=WINDOW, jitter="4h")
    assert schedule.late_by(Due(_at("2026-11-29T04:59"), _at("2026-11-29T04:59"))) > timedelta(minutes=1)
    assert _decided(schedule, "2026-11-29", "2026-11-29T04:59:01").start is None


def test_a_time_that_does_not_exist_is_recorded() -> None:
    decision = _decided(
        made(when="daily at 02:30", zone="Europe/Berlin"), "2026-03-28T12:00", "2026-03-29T01:00:05"
    )
    assert decision.start is None
    assert _told(decision) == [
        "29T01:00 skipped: 02:30 does not exist on 2026-03-29 in Europe/Berlin: the clock jumps over it"
    ]


def test_paused_times_are_recorded() -> None:
    decision = _decided(made(paused="since Monday"), "2026-11-28", "2026-11-29T02:00:01")
    assert decision.start is None
    assert _told(decision) == [
        "28T02:00 skipped: paused: since Monday",
        "29T02:00 skipped: paused: since Monday",
    ]


def test_overlap_is_refused_or_waits() -> None:
    during = "overlap: the run of 2026-11-29 01:45 UTC was still at work"
    now, since = "2026-11-29T02:20", "2026-11-29T01:45"
    refused = _decided(made(when="every 30 minutes"), since, now, during)
    assert refused.start is None
    assert _told(refused) == [f"29T02:00 skipped: {during}"]
    waiting = _decided(made(when="every 30 minutes", overlap="wait"), since, now, during)
    assert waiting.start is not None
    outside = _decided(
        made(when="every 30 minutes", overlap="wait", windows=["daily 01:00 to 02:10"]), since, now, during
    )
    assert outside.start is None


_WINDOWS = st.sampled_from(
    [[], WINDOW, ["sat, sun 22:00 to 04:00"], ["first monday of the month 00:00 to 24:00"]]
)


@settings(max_examples=50)
@given(
    st.sampled_from(["*/7 * * * *", "daily at 02:00", "every 6 hours at :20", "0 2,14 * * sun"]),
    _WINDOWS,
    st.sampled_from(["skip", "once"]),
    st.sampled_from(["refuse", "wait"]),
    st.sampled_from(["UTC", "Europe/Berlin"]),
    moments("2026-03-20", "2026-11-10"),
    st.integers(0, 3 * 86400),
)
def test_nothing_starts_outside_a_window_and_nothing_is_lost(
    when: str, windows: list[str], missed: str, overlap: str, zone: str, since: datetime, seconds: int
) -> None:
    once = missed if windows else "skip"
    words = {"windows": windows} if windows else {}
    schedule = made(when=when, missed=once, overlap=overlap, zone=zone, jitter="20m", **words)
    now = since + timedelta(seconds=seconds)
    passed = list(between(schedule.rules, schedule.zone, since, now))
    decision = decide(schedule, passed, now, lambda due: None)
    if decision.start is not None:
        start = max(now, decision.start.at + schedule.late_by(decision.start))
        assert schedule.opening.closed(start) is None
        assert not decision.start.gap
        assert decision.late or now - decision.start.at <= timedelta(seconds=schedule.grace)
    handled = [each.due for each in decision.skipped]
    handled += [due for due in (decision.start, decision.waiting) if due is not None]
    assert sorted(handled, key=lambda due: due.at) == passed
    assert all(each.reason for each in decision.skipped)


# Why it was missed


def _reading(boot: str, wall: str, boottime: float, awake: float | None = None) -> Reading:
    return Reading(boot, _at(wall).timestamp(), boottime, boottime if awake is None else awake)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (("a", "2026-11-28T12:00", 9000.0), ("b", "2026-11-29T11:00", 600.0),
         "the machine was off (it was booted 2026-11-29 10:50 UTC)"),
        (("a", "2026-11-29T01:00", 9000.0), ("a", "2026-11-29T11:00", 9600.0),
         "the clock was set forward by 9 h 50 min"),
        (("a", "2026-11-29T01:00", 9000.0, 9000.0), ("a", "2026-11-29T11:00", 45000.0, 9600.0),
         "the machine slept for 9 h 50 min"),
        (("a", "2026-11-29T01:00", 9000.0), ("a", "2026-11-29T11:00", 45000.0), None),
        (("a", "2026-11-28T01:00", 9000.0), ("b", "2026-11-29T11:00", 80000.0), None),
        (None, ("b", "2026-11-29T11:00", 600.0), "the machine was off"),
    ],
)  # fmt: skip
def test_why_a_time_was_missed(
    before: tuple[object, ...] | None, after: tuple[object, ...], expected: str
) -> None:
    first = None if before is None else _reading(*before)  # type: ignore[arg-type]
    story = Story(first, _reading(*after))  # type: ignore[arg-type]
    found = story.why(Due(_at("2026-11-29T02:00"), _at("2026-11-29T02:00")))
    assert found == expected or (expected is not None and found is not None and found.startswith(expected))


def test_a_clock_that_was_set_back_is_told() -> None:
    story = Story(_reading("a", "2026-11-29T11:00", 9000.0), _reading("a", "2026-11-29T09:00", 9060.0))
    assert story.set_back() == "the clock was set back by 2 h 1 min"


def test_the_clocks_are_remembered(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "schedules" / "nightly.clock"
    assert look(path).before is None
    again = look(path)
    assert again.before is not None
    assert again.set_by() == 0
    path.write_text("{")
    assert look(path).before is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5 s"), (600, "10 min"), (7200, "2 h"), (9000, "2 h 30 min"), (90000, "25 h"), (270000, "3 d 3 h")],
)
def test_a_length_of_time_for_people(seconds: int, text: str) -> None:
    assert span(timedelta(seconds=seconds)) == text
