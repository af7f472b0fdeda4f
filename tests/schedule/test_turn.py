"""Turns over a real history database: who claims, what is recorded, what overlaps."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from remedy.errors import InputError, Refused, TaskFailed
from remedy.history import Database
from remedy.schedule import Schedule
from remedy.schedule.book import Book, Entry, prune
from remedy.schedule.broken import Broken, note
from remedy.schedule.clock import reading_file
from remedy.schedule.file import written_at
from remedy.schedule.lease import Lease
from remedy.schedule.remembered import remembered
from remedy.schedule.turn import Turn
from remedy.schedule.world import World
from tests.schedule.making import made


class Stage:
    """A schedule, a clock that stands where it is put, and plays that are counted."""

    def __init__(self, folder: Path, database: Database, **words: Any) -> None:
        self.now = datetime(2099, 11, 29, 12, tzinfo=UTC)
        self.folder = folder
        self.database = database
        self.schedule = made(folder / "ops", **words)
        self.played: list[datetime] = []
        self.said: list[str] = []
        self.during: Callable[[], None] = lambda: None
        self.code = 0
        Book(database, self.schedule, "added").begin(self.now)

    def at(self, text: str) -> Stage:
        self.now = datetime.fromisoformat(f"{text}Z")
        return self

    def turn(self, holder: str = "tester", schedule: Schedule | None = None) -> Turn:
        return Turn(schedule or self.schedule, self.world(holder))

    def world(self, holder: str) -> World:
        def play(began: Callable[[str], None]) -> int:
            began(f"run-{len(self.played)}")
            self.played.append(self.now)
            self.during()
            return self.code

        return World(
            database=self.database,
            state=self.folder,
            holder=holder,
            play=play,
            say=self.said.append,
            sleep=self.sleep,
            now=lambda: self.now,
        )

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def entries(self) -> list[Entry]:
        return Book(self.database, self.schedule, "").newest(100)

    def told(self) -> list[str]:
        return [
            f"{each.due:%dT%H:%M} {each.state} {each.exit_code}: {each.reason}" for each in self.entries()
        ]


def test_a_due_time_runs_once(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    assert stage.turn().due() == 0
    assert stage.turn("another").due() == 0
    assert stage.turn("a daemon").due(datetime(2099, 11, 30, 2, tzinfo=UTC)) == 0
    assert len(stage.played) == 1
    (entry,) = stage.entries()
    assert (entry.state, entry.exit_code, entry.run, entry.holder) == ("done", 0, "run-0", "tester")
    assert stage.said[-1].startswith("nightly: 2099-11-30T02:00:00Z is handled already (done, by tester)")


def test_old_due_times_are_pruned_and_none_runs_again(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database)
    book = Book(database, stage.schedule, "tester")
    dues = [datetime(2020, 1, day, 2, tzinfo=UTC) for day in range(1, 9)]
    for due, state in zip(dues, ("done", "skipped", "done", "running", "done", "done", "done", "done"), strict=True):
        assert book.claim(due)
        book.tell(due, state)
    limit = datetime(2020, 1, 6, tzinfo=UTC)
    assert prune(database, limit, count=True) == 4
    assert len(book.newest(100)) == 8
    assert prune(database, limit) == 4
    assert [entry.due.day for entry in book.newest(100)] == [8, 7, 6, 4]
    # The newest one stays, however old: from it on the next ones count.
    assert prune(database, datetime.now(UTC)) == 2
    assert [entry.due.day for entry in book.newest(100)] == [8, 4]
    assert book.find(dues[7]) is not None
    assert not book.claim(dues[7])


def test_a_schedule_first_seen_by_its_timer_runs(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    new = made(tmp_path / "ops", name="from-git")
    assert stage.turn(schedule=new).due() == 0
    assert len(stage.played) == 1


@pytest.mark.parametrize(
    ("written", "handled"),
    [
        ("2099-11-30T02:00:00.5", ["02:01"]),
        ("2099-11-30T01:59:00.5", ["02:00", "02:01"]),
        ("2099-11-29T12:00:00", ["01:52", "01:53", "01:54", "01:55", "01:56", "01:57", "01:58", "01:59", "02:00",
                                 "02:01"]),
        ("2099-12-24T12:00:00", ["01:52", "01:53", "01:54", "01:55", "01:56", "01:57", "01:58", "01:59", "02:00",
                                 "02:01"]),  # by a clock that was ahead
    ],
)  # fmt: skip
def test_what_was_due_before_its_file_was_written_is_nobodys_business(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, written: str, handled: list[str]
) -> None:
    stage = Stage(tmp_path, database).at("2099-11-30T02:01:01")
    when = datetime.fromisoformat(f"{written}+00:00")
    monkeypatch.setattr("remedy.schedule.turn.written_at", lambda path: when)
    stage.schedule = made(tmp_path / "ops", name="never-added", when="every 1 minute", paused="the move")
    assert stage.turn().due() == 0
    assert sorted(f"{entry.due:%H:%M}" for entry in stage.entries()) == handled
    assert {(entry.state, entry.reason) for entry in stage.entries()} == {("skipped", "paused: the move")}


def test_times_at_which_the_file_was_broken_say_so(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database).at("2099-12-02T11:00:00")
    since = datetime(2099, 11, 30, 2, 0, 5, tzinfo=UTC)
    note(tmp_path, stage.schedule.path, "nightly.yml:2:7: when: 'x'")
    note(tmp_path, stage.schedule.path, "another one")
    (kept,) = (tmp_path / "schedules").glob("*.broken")
    said = json.loads(kept.read_text())
    assert said["why"] == "nightly.yml:2:7: when: 'x'"
    assert abs(said["since"] - datetime.now(UTC).timestamp()) < 60
    kept.write_text(json.dumps({**said, "since": since.timestamp()}))
    assert stage.turn().due() == 0
    assert [entry.reason for entry in stage.entries()][::-1][:2] == [
        "its file could not be used: nightly.yml:2:7: when: 'x'"
    ] * 2
    assert {entry.state for entry in stage.entries()} == {"missed"}
    assert not kept.exists()
    stage.at("2099-12-04T11:00:00").turn().due()
    assert "its file" not in str(stage.entries()[0].reason)


@pytest.mark.parametrize("text", ["", "{}", '{"since": "x", "why": 1}', '{"since": 1e300, "why": "x"}', "[]"])
def test_what_was_remembered_of_a_broken_file_cannot_harm(tmp_path: Path, text: str) -> None:
    (tmp_path / "schedules").mkdir()
    remembered(tmp_path, made(tmp_path).path, "broken").write_text(text)
    due = next(made(tmp_path).dues(datetime(2099, 1, 1, tzinfo=UTC)))
    assert Broken(tmp_path, made(tmp_path).path, 600).why(due) is None


def test_a_file_that_is_mended_is_no_reason_any_more(tmp_path: Path) -> None:
    (tmp_path / "schedules").mkdir()
    first, second = list(islice(made(tmp_path).dues(datetime(2099, 1, 1, tzinfo=UTC)), 2))
    since = (first.at - timedelta(hours=1)).timestamp()
    remembered(tmp_path, made(tmp_path).path, "broken").write_text(json.dumps({"since": since, "why": "x"}))
    broken = Broken(tmp_path, made(tmp_path).path, 600, first.at + timedelta(hours=1))
    assert broken.why(first) == "its file could not be used: x"
    assert broken.why(second) is None


def test_two_projects_with_one_state_folder_remember_each_its_own(tmp_path: Path) -> None:
    ops, shop = (made(tmp_path / folder, name="nightly").path for folder in ("ops", "shop"))
    note(tmp_path, ops, "x")
    Broken(tmp_path, shop, 600).over()
    due = next(made(tmp_path / "ops").dues(datetime(2099, 1, 1, tzinfo=UTC)))
    assert Broken(tmp_path, ops, 600).why(due) == "its file could not be used: x"
    assert reading_file(tmp_path, ops) != reading_file(tmp_path, shop)


def test_a_file_says_when_it_was_put_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "nightly.yml"
    assert written_at(path) is None
    before = datetime.now(UTC) - timedelta(seconds=1)
    path.write_text("x")
    os.utime(path, (0, 0))  # what a copy or an archive brings along
    written = written_at(path)
    assert written is not None
    assert before < written <= datetime.now(UTC) + timedelta(seconds=1)


def test_a_changed_plan_begins_anew(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database).at("2099-12-05T12:00:00")
    changed = made(tmp_path / "ops", when="daily at 11:55")
    assert stage.turn(schedule=changed).due() == 0
    assert len(stage.played) == 1
    assert [each.state for each in stage.entries()] == ["done"]


def test_many_at_once_claim_a_due_time_once(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database, overlap="wait").at("2099-11-30T02:00:01")
    together = threading.Barrier(8)
    codes = []

    def start(number: int) -> None:
        together.wait(30)
        codes.append(stage.turn(f"number {number}").due())

    threads = [threading.Thread(target=start, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert codes == [0] * 8
    assert len(stage.played) == 1


def test_what_was_missed_is_recorded_once(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database, windows=["daily 01:00 to 05:00"]).at("2099-12-02T11:00:00")
    assert stage.turn().due() == 0
    assert stage.turn().due() == 0
    assert stage.played == []
    assert [each.state for each in stage.entries()] == ["missed"] * 3


def test_a_very_long_absence_is_summed_up(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database, when="every 1 minute").at("2099-12-02T11:00:00")
    assert stage.turn().due() == 0
    entries = Book(database, stage.schedule, "").newest(5000)
    assert len(entries) == 2001
    assert len(stage.played) == 1
    assert str(entries[-1].reason).endswith("due times before it, since 2099-11-29 12:01 UTC)")


def test_missed_once_waits_and_runs_when_the_window_opens(tmp_path: Path, database: Database) -> None:
    words = {"when": "sundays at 02:00", "windows": ["daily 01:00 to 05:00"], "missed": "once"}
    stage = Stage(tmp_path, database, **words).at("2099-12-06T11:00:00")
    assert stage.turn().due() == 0
    assert stage.entries() == []
    stage.at("2099-12-07T01:00:02")
    assert stage.turn().due() == 0
    assert stage.turn().due() == 0
    assert len(stage.played) == 1
    assert "inside its window" in stage.told()[0]


def test_the_clock_set_back_repeats_nothing(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database, when="hourly at :00")
    for hour in (13, 14, 15):
        stage.at(f"2099-11-29T{hour}:00:01").turn().due()
    stage.at("2099-11-29T12:59:00")
    for hour in (13, 14, 15, 16):
        stage.at(f"2099-11-29T{hour}:00:01").turn().due()
    assert [played.hour for played in stage.played] == [13, 14, 15, 16]


def test_what_a_clock_ahead_called_missed_runs_when_it_comes(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database, when="hourly at :00")
    stage.at("2099-11-29T16:20:00").turn().due()
    assert stage.played == []
    stage.at("2099-11-29T12:59:00").turn().due()
    for hour in (13, 14):
        stage.at(f"2099-11-29T{hour}:00:01").turn().due()
    assert [played.hour for played in stage.played] == [13, 14]


def test_a_clock_that_was_years_ahead_does_not_stop_a_schedule(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database).at("2109-11-30T02:00:01")
    stage.turn().due()
    stage.at("2099-11-30T02:00:01").turn().due()
    stage.at("2099-12-01T02:00:01").turn().due()
    assert [played.year for played in stage.played] == [2109, 2099, 2099]


def test_what_is_missed_by_a_clock_ahead_runs_though_nobody_looks_between(
    tmp_path: Path, database: Database
) -> None:
    """As with a timer: its first turn after the clock was set back is at the due time itself."""
    stage = Stage(tmp_path, database, when="hourly at :00")
    stage.at("2099-11-29T16:20:00").turn().due()
    assert stage.played == []
    for hour in (14, 15, 16, 17):
        stage.at(f"2099-11-29T{hour}:00:01").turn().due()
    assert [played.hour for played in stage.played] == [14, 15, 16, 17]
    # What was missed before the clock was set back stays so, and what ran stays done.
    assert [(entry.due.hour, entry.state) for entry in reversed(stage.entries())] == [
        (13, "missed"), (14, "done"), (15, "done"), (16, "done"), (17, "done")
    ]  # fmt: skip


def test_a_schedule_that_was_added_by_a_clock_ahead_runs_when_its_times_come(
    tmp_path: Path, database: Database
) -> None:
    stage = Stage(tmp_path, database, when="hourly at :00")  # seen at 12:00
    for hour in (9, 10):
        stage.at(f"2099-11-29T{hour:02}:00:01").turn().due()
    assert [played.hour for played in stage.played] == [9, 10]
    for text in ("11:00:01", "11:00:09", "12:00:01"):
        stage.at(f"2099-11-29T{text}").turn().due()
    assert [played.hour for played in stage.played] == [9, 10, 11, 12]


@pytest.mark.parametrize("late", ["2099-11-29T16:00:01", "2099-11-29T17:00:01"])
def test_what_ran_by_a_clock_ahead_does_not_stand_for_what_came_before_it(
    tmp_path: Path, database: Database, late: str
) -> None:
    """Run at 13:00 and, by a clock ahead, at 16:00; set back, run at 14:00, and then nobody looks at 15:00."""
    stage = Stage(tmp_path, database, when="hourly at :00")
    for hour in (13, 16, 14):
        stage.at(f"2099-11-29T{hour}:00:01").turn().due()
    # As a timer, and as the daemon, which names the due time.
    stage.at(late).turn().due(stage.now - timedelta(seconds=1) if late.endswith("16:00:01") else None)
    ran = [13, 16, 14] + ([17] if "17" in late else [])
    assert [played.hour for played in stage.played] == ran
    entries = {entry.due.hour: entry for entry in stage.entries()}
    assert entries[15].state == "missed"
    assert "nobody started it" in str(entries[15].reason)
    assert [entries[hour].state for hour in (13, 14, 16)] == ["done"] * 3
    assert len(stage.entries()) == 4 + ("17" in late)


def test_a_run_that_ended_by_a_clock_ahead_overlaps_nothing(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database, when="hourly at :00").at("2099-11-29T13:00:01")
    stage.during = lambda: stage.at("2099-11-29T16:20:00") and None
    stage.turn().due()
    stage.during = lambda: None
    for hour in (14, 15, 16, 17):
        stage.at(f"2099-11-29T{hour}:00:01").turn().due()
    assert [played.hour for played in stage.played] == [13, 14, 15, 16, 17]


def test_an_overlap_is_refused_with_exit_3(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    assert Lease(database, f"schedule:{stage.schedule.key}", "somebody").take()
    with pytest.raises(Refused, match="overlap: somebody is still at work"):
        stage.turn().due()
    assert stage.played == []
    assert stage.told() == ["30T02:00 skipped 3: overlap: somebody is still at work on it"]


@pytest.mark.parametrize(("overlap", "plays"), [("refuse", 1), ("wait", 2)])
def test_what_came_due_during_a_run_nobody_else_started(
    tmp_path: Path, database: Database, overlap: str, plays: int
) -> None:
    """As with a timer, which does not start a service that is still at work."""
    stage = Stage(tmp_path, database, when="hourly at :00", overlap=overlap).at("2099-11-29T13:00:01")
    first = [True]

    def work() -> None:
        if first.pop():
            first.append(False)
            stage.at("2099-11-29T15:20:00")
        else:
            first.append(False)

    stage.during = work
    assert stage.turn().due() == 0
    assert len(stage.played) == plays
    overlapped = "overlap: the run of 2099-11-29 13:00 UTC was still at work"
    assert f"29T14:00 skipped None: {overlapped}" in stage.told()
    assert (f"29T15:00 skipped None: {overlapped}" in stage.told()) == (overlap == "refuse")


def test_what_comes_while_a_turn_without_work_ends_is_waited_for(tmp_path: Path, database: Database) -> None:
    """As when a timer fires because the clock was set: it does not start the service again while that ends."""
    stage = Stage(tmp_path, database, when="hourly at :00").at("2099-11-29T12:59:50")
    stage.turn().due()
    assert (stage.played, stage.now.second) == ([], 50)
    stage.at("2099-11-29T12:59:57").turn().due()
    assert [(played.hour, played.second) for played in stage.played] == [(13, 0)]


def test_what_came_due_during_a_run_that_failed_is_started_too(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database, when="hourly at :00", overlap="wait").at("2099-11-29T13:00:01")
    stage.code = 2

    def work() -> None:
        assert len(stage.played) <= 2
        stage.at(
            f"2099-11-29T{13 + len(stage.played)}:00:05" if len(stage.played) < 2 else "2099-11-29T14:10:00"
        )

    stage.during = work
    assert stage.turn().due() == 2
    assert [played.hour for played in stage.played] == [13, 14]
    assert [(entry.due.hour, entry.exit_code) for entry in stage.entries()] == [(14, 2), (13, 2)]


def test_waiting_for_the_run_before_ends_with_the_next_due_time(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database, when="every 1 minute", overlap="wait").at("2099-11-29T12:01:01")
    assert Lease(database, f"schedule:{stage.schedule.key}", "somebody", 500).take()
    with pytest.raises(Refused, match="until the next due time"):
        stage.turn().due()
    assert stage.now <= datetime(2099, 11, 29, 12, 2, 3, tzinfo=UTC)


def test_jitter_delays_the_start_and_is_seen_again(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database, jitter="1h").at("2099-11-30T02:00:01")
    stage.turn().due()
    (due,) = stage.entries()
    from remedy.schedule.times import jitter

    assert stage.played == [due.due + jitter("ops/nightly", due.due, 3600)]


def test_interrupted_while_it_waits_is_recorded(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database, jitter="1h").at("2099-11-30T02:00:01")

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    stage.sleep = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stage.turn().due()
    assert stage.told() == ["30T02:00 skipped 99: interrupted before it began"]


def test_an_expired_permission_is_refused_before_anything(tmp_path: Path, database: Database) -> None:
    permission = {"kinds": ["D", "R"], "at_most": 1, "until": "2099-11-30", "by": "anna@example.com"}
    stage = Stage(tmp_path, database, mode="play", permission=permission)
    stage.at("2099-11-30T23:59:00").turn().by_hand()
    with pytest.raises(Refused) as caught:
        stage.at("2099-12-01T02:00:01").turn().due()
    assert "the permission of the schedule 'nightly' (D and R) ended on 2099-11-30" in caught.value.message
    assert caught.value.where is not None
    assert len(stage.played) == 1
    assert stage.entries()[0].state == "refused"
    assert stage.entries()[0].exit_code == 3


def test_a_run_that_fails_is_told(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    stage.code = 2
    assert stage.turn().due() == 2

    def fail() -> None:
        raise TaskFailed("no space")

    stage.during = fail
    with pytest.raises(TaskFailed):
        stage.at("2099-12-01T02:00:01").turn().due()
    assert stage.told() == ["01T02:00 done 2: no space", "30T02:00 done 2: None"]


def test_by_hand_windows_and_a_pause_hold_unless_anyway(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database, windows=["daily 01:00 to 05:00"])
    with pytest.raises(Refused, match="does not run now: outside its windows"):
        stage.turn().by_hand()
    assert stage.turn("by hand, me").by_hand(anyway=True) == 0
    assert stage.told()[0].endswith("done 0: by hand, although outside its windows: daily 01:00 to 05:00")
    paused = made(tmp_path / "ops", paused="for the move")
    with pytest.raises(Refused, match="it is paused: for the move"):
        stage.turn(schedule=paused).by_hand()
    assert len(stage.played) == 1


def test_by_hand_does_not_hide_what_is_due(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    stage.turn("by hand, me").by_hand()
    stage.now += timedelta(seconds=2)
    stage.turn().due()
    assert len(stage.played) == 2


@pytest.mark.parametrize(
    ("due", "message"),
    [
        ("2099-11-30T02:01:00", "is no due time of 'nightly'"),
        ("2099-12-24T02:00:00", "has not come yet"),
    ],
)
def test_a_due_time_that_is_none(tmp_path: Path, database: Database, due: str, message: str) -> None:
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    with pytest.raises(InputError, match=message):
        stage.turn().due(datetime.fromisoformat(f"{due}Z"))
    assert stage.entries() == []


def test_a_run_that_died_is_marked_by_the_next(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    book = Book(database, stage.schedule, "the dead")
    assert book.claim(datetime(2099, 11, 29, 2, tzinfo=UTC))
    book.tell(datetime(2099, 11, 29, 2, tzinfo=UTC), "running", run="x")
    stage.turn().due()
    assert stage.told()[1] == "29T02:00 cut off None: its process ended without a word"


# Leases


def test_one_holds_a_lease_until_it_runs_out(database: Database) -> None:
    first, second = Lease(database, "x", "first", 0.4), Lease(database, "x", "second", 0.4)
    assert first.take()
    assert first.take()
    assert not second.take()
    assert second.whose() == "first"
    deadline = datetime.now(UTC) + timedelta(seconds=30)
    while not second.take():
        assert datetime.now(UTC) < deadline
    assert not first.take()
    second.leave()
    assert first.take()


def test_a_lease_that_is_kept_does_not_run_out(database: Database) -> None:
    first, second = Lease(database, "x", "first", 1.0), Lease(database, "x", "second", 1.0)
    assert first.take()
    with first.kept():
        until = datetime.now(UTC) + timedelta(seconds=2.5)
        while datetime.now(UTC) < until:
            assert not second.take()
            threading.Event().wait(0.1)
    assert second.take()


def test_a_lease_from_a_clock_that_was_ahead_binds_nobody(database: Database) -> None:
    from sqlalchemy import insert

    from remedy.history.tables import leases

    with database.writing() as connection:
        connection.execute(
            insert(leases).values(name="x", holder="old", until=datetime(2109, 1, 1, tzinfo=UTC))
        )
    assert Lease(database, "x", "new").take()


def test_a_row_that_keeps_a_due_time_from_being_claimed_has_handled_it(tmp_path: Path, database: Database) -> None:
    """Whoever wrote it: else the turn would try it for ever."""
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    due = datetime(2099, 11, 30, 2, tzinfo=UTC)
    assert Book(database, stage.schedule, "by hand, somebody").claim(due)
    assert stage.turn().due() == 0
    assert stage.turn().due(due) == 0
    assert stage.played == []
    assert stage.said == [
        "nightly: nothing is due",
        "nightly: 2099-11-30T02:00:00Z is handled already (claimed, by by hand, somebody)",
    ]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+00:00", "0001-01-01T02:00:00+14:00", "9999-12-31T23:59:59-11:00"])
def test_a_due_time_at_the_end_of_the_calendar_is_none(tmp_path: Path, database: Database, at: str) -> None:
    stage = Stage(tmp_path, database)
    with pytest.raises(InputError, match="is no due time of 'nightly'"):
        stage.turn().due(datetime.fromisoformat(at))


def test_a_long_absence_is_looked_through_at_once(tmp_path: Path, database: Database) -> None:
    """Not with a question for each due time: a week has ten thousand minutes, and the server may be far away."""
    stage = Stage(tmp_path, database, when="every 1 minute").at("2099-12-06T12:00:30")
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda c, k, statement, *more: asked.append(statement))
    assert stage.turn().due() == 0
    assert len(stage.played) == 1
    assert len(asked) < 40
