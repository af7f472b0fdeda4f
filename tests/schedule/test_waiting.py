"""A turn that has waited looks at the schedule's file again: what it says then counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from remedy.errors import InputError, Position, Refused, Unreachable
from remedy.history import Database, HistoryError
from remedy.schedule import Schedule
from remedy.schedule.book import Book
from remedy.schedule.lease import Lease
from remedy.schedule.turn import Turn
from remedy.schedule.world import Ending
from tests.schedule.making import made
from tests.schedule.test_turn import Stage

PERMISSION = {"kinds": ["D"], "at_most": 1, "until": "2099-12-31", "by": "anna@example.com"}


class Edited(Stage):
    """A stage whose file becomes another one while the turn sleeps."""

    def __init__(self, folder: Path, database: Database, **words: Any) -> None:
        super().__init__(folder, database, **words)
        self.words = words
        self.file: Callable[[], Schedule] = lambda: self.schedule
        self.later: Callable[[], Schedule] = self.file
        self.slept = 0
        self.ended: list[Ending] = []
        self.before: Lease | None = None
        self.schedule.path.parent.mkdir(parents=True)
        self.schedule.path.touch()

    def becomes(self, **words: Any) -> Edited:
        edited = made(self.folder / "ops", **{**self.words, **words})
        self.later = lambda: edited
        return self

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.file = self.later
        self.slept += 1
        if self.before is not None:
            self.before.leave()

    def run_before(self, database: Database) -> None:
        """Let another run be at work until the turn has slept once."""
        self.before = Lease(database, f"schedule:{self.schedule.key}", "somebody", 500)
        assert self.before.take()

    def turn(self, holder: str = "tester", schedule: Schedule | None = None) -> Turn:
        found = replace(self.world(holder), again=lambda: self.file(), ended=self.ended.append)
        return Turn(schedule or self.schedule, found)

    def reasons(self) -> list[tuple[str, int | None, str | None]]:
        return [(each.state, each.exit_code, each.reason) for each in self.entries()]


@pytest.fixture(params=["jitter", "overlap", "database"])
def waiting(request: pytest.FixtureRequest, tmp_path: Path, database: Database) -> Edited:
    """A turn that has something to wait for: its jitter, the run before, the database."""
    words = {"jitter": {"jitter": "1h"}, "overlap": {"overlap": "wait"}, "database": {}}[request.param]
    stage = Edited(tmp_path, database, mode="play", permission=PERMISSION, **words)
    stage.at("2099-11-30T02:00:01")
    if request.param == "overlap":
        stage.run_before(database)
    if request.param == "database":
        away(request, stage)
    return stage


def away(request: pytest.FixtureRequest, stage: Edited) -> None:
    """Let the database be away when a run is about to begin."""
    patch = request.getfixturevalue("monkeypatch")
    tell = Book.tell

    def told(self: Book, at: datetime, state: str, **given: Any) -> None:
        if state == "running" and not stage.slept:
            raise HistoryError("it is away")
        tell(self, at, state, **given)

    patch.setattr(Book, "tell", told)


def test_a_file_that_stays_runs(waiting: Edited) -> None:
    assert waiting.turn().due() == 0
    assert (len(waiting.played), waiting.slept) == (1, 1)


def test_a_pause_is_seen(waiting: Edited) -> None:
    assert waiting.becomes(paused="the move").turn().due() == 0
    assert waiting.played == []
    assert waiting.reasons() == [("skipped", None, "paused: the move")]
    assert [(each.run, each.reason, each.exit_code) for each in waiting.ended] == [(None, "paused: the move", None)]
    assert waiting.said[-1] == "nightly: 2099-11-30T02:00:00Z skipped: paused: the move"


def test_a_permission_that_has_ended_is_seen(waiting: Edited) -> None:
    waiting.becomes(permission={**PERMISSION, "until": "2099-11-01"})
    with pytest.raises(Refused, match=r"permission of the schedule 'nightly' \(D\) ended on 2099-11-01"):
        waiting.turn().due()
    assert waiting.played == []
    assert waiting.entries()[0].state == "refused"


def test_a_window_that_has_closed_is_seen(waiting: Edited) -> None:
    assert waiting.becomes(windows=["daily 00:00 to 01:00"]).turn().due() == 0
    assert waiting.played == []
    assert waiting.reasons() == [("skipped", None, "outside its windows: daily 00:00 to 01:00")]


def test_a_file_that_is_gone_is_seen(waiting: Edited) -> None:
    def gone() -> Schedule:
        waiting.schedule.path.unlink(missing_ok=True)
        raise InputError("no schedule 'nightly'")

    waiting.later = gone
    assert waiting.turn().due() == 0
    assert waiting.played == []
    assert waiting.reasons() == [("skipped", None, "its file was removed meanwhile")]
    assert [each.reason for each in waiting.ended] == ["its file was removed meanwhile"]


def test_a_file_that_broke_is_seen_and_its_unit_fails(waiting: Edited) -> None:
    def broken() -> Schedule:
        raise InputError("when: 'x' is no time", where=Position("nightly.yml", 2, 7))

    waiting.later = broken
    with pytest.raises(InputError, match="when: 'x' is no time"):
        waiting.turn().due()
    assert waiting.played == []
    reason = "its file could not be used: nightly.yml:2:7: when: 'x' is no time"
    assert waiting.reasons() == [("skipped", 5, reason)]
    assert [(each.reason, each.exit_code) for each in waiting.ended] == [(reason, 5)]


def test_times_that_were_changed_are_those_of_the_next_turn(waiting: Edited) -> None:
    assert waiting.becomes(when="daily at 04:00").turn().due() == 0
    assert waiting.played == []
    (row,) = waiting.reasons()
    assert row == ("skipped", None, "its times were changed meanwhile: daily at 04:00 (UTC)")
    # Nothing of the old plan was written anew: the new one runs at its time.
    changed = waiting.later()
    waiting.at("2099-11-30T04:00:01")
    assert waiting.turn(schedule=changed).due() == 0
    assert len(waiting.played) == 1


def test_a_time_that_the_changed_plan_has_too_is_not_lost(waiting: Edited) -> None:
    """It is claimed: whoever acts by the new plan finds it taken."""
    assert waiting.becomes(when=["daily at 02:00", "daily at 14:00"]).turn().due() == 0
    assert len(waiting.played) == 1
    changed = waiting.later()
    waiting.at("2099-11-30T14:00:01")
    assert waiting.turn(schedule=changed).due() == 0
    assert [each.state for each in waiting.entries()] == ["done", "done"]
    assert len(waiting.played) == 2


def test_a_time_that_came_during_a_run_is_not_lost_to_a_plan_that_was_changed_meanwhile(
    tmp_path: Path, database: Database
) -> None:
    stage = Edited(tmp_path, database, when="hourly at :00", overlap="wait").at("2099-11-29T13:00:01")

    def work() -> None:
        stage.during = lambda: None
        stage.becomes(when=["hourly at :00", "hourly at :30"])
        stage.file = stage.later
        stage.at("2099-11-29T14:00:05")

    stage.during = work
    assert stage.turn().due() == 0
    assert len(stage.played) == 2
    assert [each.state for each in stage.entries()] == ["done", "done"]


@pytest.mark.parametrize("anyway", [False, True])
def test_by_hand_a_pause_holds_unless_anyway(tmp_path: Path, database: Database, anyway: bool) -> None:
    stage = Edited(tmp_path, database, overlap="wait")
    stage.run_before(database)
    stage.becomes(paused="the move", when="daily at 04:00")
    if anyway:
        assert stage.turn("by hand, me").by_hand(anyway=True) == 0
        assert len(stage.played) == 1
        return
    with pytest.raises(Refused, match="the schedule 'nightly' does not run now: paused: the move"):
        stage.turn("by hand, me").by_hand()
    assert stage.played == []
    assert stage.reasons() == [("skipped", 3, "paused: the move")]
    assert stage.said[-1].endswith("skipped: paused: the move")


@pytest.mark.parametrize("broken", [False, True])
def test_the_moment_before_a_due_time_counts_too(tmp_path: Path, database: Database, broken: bool) -> None:
    stage = Edited(tmp_path, database, when="hourly at :00").at("2099-11-29T12:59:57")

    def fail() -> Schedule:
        raise InputError("when: 'x' is no time", where=Position("nightly.yml", 2, 7))

    if broken:
        stage.later = fail
        with pytest.raises(InputError):
            stage.turn().due()
        assert stage.entries() == []
        assert list((tmp_path / "schedules").glob("*.broken"))
        return
    assert stage.becomes(when="hourly at :00", paused="the move").turn().due() == 0
    assert stage.reasons() == [("skipped", None, "paused: the move")]


def test_in_the_moment_before_a_due_time_the_plan_may_change_around_it(tmp_path: Path, database: Database) -> None:
    stage = Edited(tmp_path, database, when="hourly at :00").at("2099-11-29T12:59:57")
    assert stage.becomes(when=["hourly at :00", "hourly at :30"]).turn().due() == 0
    assert [each.state for each in stage.entries()] == ["done"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"paused": "the move"}, "paused: the move"),
        ({"windows": ["daily 00:00 to 01:00"]}, "outside its windows: daily 00:00 to 01:00"),
        ({"permission": {**PERMISSION, "kinds": ["R"]}}, "its file was changed meanwhile"),
        (None, "its file could not be used: nightly.yml:2:7: when: 'x' is no time"),
        ({}, None),
    ],
)
def test_what_comes_while_its_run_is_noted_counts_too(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, words: Any, reason: str | None
) -> None:
    """The database is away once more when the playbook has been read: with what was read then nothing begins."""
    stage = Edited(tmp_path, database, mode="play", permission=PERMISSION).at("2099-11-30T02:00:01")
    tell = Book.tell

    def told(self: Book, at: datetime, state: str, **given: Any) -> None:
        if given.get("run") and not stage.slept:
            raise HistoryError("it is away")
        tell(self, at, state, **given)

    monkeypatch.setattr(Book, "tell", told)
    stage.becomes(**(words or {}))
    if words is None:

        def broken() -> Schedule:
            raise InputError("when: 'x' is no time", where=Position("nightly.yml", 2, 7))

        stage.later = broken
        with pytest.raises(InputError):
            stage.turn().due()
    else:
        assert stage.turn().due() == 0
    assert len(stage.played) == (reason is None)
    state, code, why = stage.reasons()[0]
    if reason is not None:
        assert (state, code, why) == ("skipped", 5 if words is None else None, reason)


# How a turn ends


@pytest.mark.parametrize(
    ("codes", "code"),
    [([10, 2], 2), ([2, 10], 2), ([10, 0], 10), ([0, 10], 10), ([2, 4], 4), ([4, 3], 3), ([11, 10], 11), ([0, 0], 0)],
)
def test_of_two_runs_the_worse_one_counts(tmp_path: Path, database: Database, codes: list[int], code: int) -> None:
    stage = Stage(tmp_path, database, when="hourly at :00", overlap="wait").at("2099-11-29T13:00:01")

    def work() -> None:
        stage.code = codes[len(stage.played) - 1]
        stage.at("2099-11-29T14:00:05" if len(stage.played) == 1 else "2099-11-29T14:10:00")

    stage.during = work
    assert stage.turn().due() == code
    assert len(stage.played) == 2


def test_an_error_of_the_second_run_hides_no_worse_end_of_the_first(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database, when="hourly at :00", overlap="wait").at("2099-11-29T13:00:01")

    def work() -> None:
        stage.code = 3
        if len(stage.played) == 2:
            raise Unreachable("dns", "db1 cannot be reached")
        stage.at("2099-11-29T14:00:05")

    stage.during = work
    assert stage.turn().due() == 3
    assert "nightly: db1 cannot be reached" in stage.said
    assert [each.exit_code for each in stage.entries()] == [4, 3]


def test_who_ends_the_telling_ends_nothing_that_ran(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database, when="hourly at :00", overlap="wait").at("2099-11-29T13:00:01")
    stage.code = 10
    stage.during = lambda: stage.at("2099-11-29T14:00:05") and None

    def ended(ending: Ending) -> None:
        raise KeyboardInterrupt

    assert Turn(stage.schedule, replace(stage.world("tester"), ended=ended)).due() == 10
    assert len(stage.played) == 1  # whoever ended it wants no other run to begin
    assert stage.told() == ["29T13:00 done 10: None"]
    assert "told to end while it told how the run ended" in stage.said[-1]
    assert stage.entries()[0].due == datetime(2099, 11, 29, 13, tzinfo=UTC)
