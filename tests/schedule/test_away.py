"""The history goes while a schedule is at work, or its process does: the run is what it is, and is told."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from remedy.history import Database, HistoryError
from remedy.schedule.book import Book
from remedy.schedule.trouble import AGAIN, Trouble
from remedy.schedule.turn import Turn
from remedy.schedule.world import Ending
from tests.schedule.making import made
from tests.schedule.test_turn import Stage

_NAME = "from remedy.schedule.holders import process_name; print(process_name())"


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many more words of a run's end the database does not take."""
    left = [0]
    real = Book.tell

    def tell(book: Book, at: datetime, state: str, **more: Any) -> None:
        if left[0] and state != "running":
            left[0] -= 1
            raise HistoryError("the history database is away", away=True)
        real(book, at, state, **more)

    monkeypatch.setattr(Book, "tell", tell)
    return left


def test_a_run_that_is_over_waits_for_the_database(tmp_path: Path, database: Database, gone: list[int]) -> None:
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    gone[0] = 30
    stage.code = 10
    assert stage.turn().due() == 10
    assert stage.told() == ["30T02:00 done 10: None"]
    waits = "nightly: the history database is away; waiting for it, to note that it is done"
    assert stage.said.count(waits) == 1
    assert stage.now == datetime(2099, 11, 30, 2, 1, 1, tzinfo=UTC)


def test_but_not_for_ever_and_its_exit_code_is_its_own(tmp_path: Path, database: Database, gone: list[int]) -> None:
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    gone[0] = 1_000_000
    assert stage.turn().due() == 0
    assert stage.said[-1] == "nightly: how it ended is not in the history: the history database is away"
    assert stage.now == datetime(2099, 11, 30, 2, 10, 1, tzinfo=UTC)
    # Nobody repeats it.
    gone[0] = 0
    assert stage.turn("another").due() == 0
    assert len(stage.played) == 1


def test_a_run_that_cannot_be_noted_does_not_begin(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(*given: Any, **more: Any) -> None:
        raise HistoryError("the history database is away", away=True)

    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    monkeypatch.setattr(Book, "tell", tell)
    with pytest.raises(HistoryError):
        stage.turn().due()
    assert stage.played == []
    assert stage.now == datetime(2099, 11, 30, 2, 1, 1, tzinfo=UTC)


def test_what_a_killed_process_had_begun_is_told_by_the_next_run(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    dead = subprocess.run([sys.executable, "-c", _NAME], capture_output=True, text=True, check=True).stdout.strip()
    at = [datetime(2099, 11, 29, hour, tzinfo=UTC) for hour in (13, 14, 15)]
    assert all(Book(database, stage.schedule, f"ada@box, {dead}").claim(each) for each in at[:2])
    Book(database, stage.schedule, dead).tell(at[1], "running", run="run-x")
    assert Book(database, stage.schedule, "ada@box, process 1 of another machine").claim(at[2])  # waits for its moment
    endings: list[Ending] = []
    world = stage.world("tester")
    turn = Turn(stage.schedule, type(world)(**{name: getattr(world, name) for name in world.__struct_fields__}
                                            | {"ended": endings.append}))  # fmt: skip
    assert turn.due() == 0
    assert stage.told()[1:] == [
        "29T15:00 claimed None: None",
        "29T14:00 cut off None: its process ended without a word",
        "29T13:00 cut off None: its process ended without a word",
    ]
    assert [each.reason for each in endings[:2]] == [
        "it was cut off: its process ended without a word",
        "the run run-x was cut off: its process ended without a word",
    ]
    assert {each.exit_code for each in endings[:2]} == {99}
    assert endings[2].reason is None


def test_a_trouble_is_said_when_it_begins_now_and_then_and_when_it_ends() -> None:
    said: list[str] = []
    clock = [0.0]
    trouble = Trouble(said.append, "it answers again", lambda: clock[0])
    assert not trouble.over()
    for _ in range(100):
        trouble.tell("away")
        clock[0] += AGAIN / 40
    assert trouble.over()
    assert said == ["away", "away (for 5 min by now)", "away (for 10 min by now)", "it answers again after 12 min"]
    assert not trouble.over()
    trouble.tell("away")
    assert said[-1] == "away"


def test_another_project_knows_nothing_of_it(tmp_path: Path, database: Database) -> None:
    """The rows of a schedule are its own: nothing of another one is called cut off."""
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    other = Book(database, made(tmp_path / "other"), "x")
    assert other.claim(stage.now)
    other.tell(stage.now, "running")
    assert stage.turn().due() == 0
    entry = other.find(stage.now)
    assert entry is not None
    assert entry.state == "running"
