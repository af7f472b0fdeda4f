"""Leases and the clock: one that was set, or has slept, does not have two runs at work, and slanders nobody."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from remedy.errors import Refused
from remedy.history import Database, open_database
from remedy.history.file import set_aside
from remedy.history.tables import leases
from remedy.schedule.book import Book
from remedy.schedule.holders import process_name
from remedy.schedule.lease import Lease
from tests.schedule.test_turn import Stage

DUE = datetime(2099, 11, 29, 2, tzinfo=UTC)
RUN = f"""\
import sys
sys.path[:0] = {sys.path!r}
from datetime import datetime
from pathlib import Path
from remedy.history import open_database
from remedy.schedule.book import Book
from remedy.schedule.holders import process_name
from remedy.schedule.lease import Lease
from tests.schedule.making import made
folder, at = Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])
schedule, database = made(folder / "ops"), open_database(folder / "state")
holder = "ada@box, " + process_name()
book, lease = Book(database, schedule, holder), Lease(database, "schedule:" + schedule.key, holder)
assert lease.take() and book.claim(at)
book.tell(at, "running", run="run-x")
with lease.kept():
    print("at work", flush=True)
    input()
    book.tell(at, "done", exit_code=0)
"""


def set_clock(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    """Have the clock of this process, and of no other one, go wrong by so much."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + by

    for module in ("lease", "book"):
        monkeypatch.setattr(f"remedy.schedule.{module}.datetime", Clock)


@contextmanager
def at_work(folder: Path) -> Iterator[Any]:
    """Have a run of the schedule at work in a process of its own, which ends when it is told to."""
    argv = [sys.executable, "-c", RUN, str(folder), DUE.isoformat()]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        try:
            assert run.stdout.readline() == "at work\n"
            yield run
        finally:
            run.kill()


@pytest.mark.parametrize("by", [timedelta(hours=5), timedelta(hours=-10), timedelta(days=4000)])
def test_a_clock_that_was_set_leaves_a_living_run_alone(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, by: timedelta
) -> None:
    """Whoever the jump starts comes within a second; the run itself renews its lease a quarter of a minute later."""
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    with at_work(tmp_path) as run:
        set_clock(monkeypatch, by)
        with pytest.raises(Refused, match=r"overlap: ada@box, process \d+ "):
            stage.turn().due()
        assert stage.played == []
        assert [each.split(": ")[0] for each in stage.told()] == ["30T02:00 skipped 3", "29T02:00 running None"]
        run.communicate("\n", timeout=30)
        assert run.returncode == 0
    assert stage.told()[1] == "29T02:00 done 0: None"
    assert stage.at("2099-12-01T02:00:01").turn().due() == 0
    assert len(stage.played) == 1


def test_a_run_that_was_killed_while_the_clock_was_set_holds_nothing(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    with at_work(tmp_path) as run:
        set_clock(monkeypatch, timedelta(hours=5))
        run.kill()
        run.wait(30)
        assert stage.turn().due() == 0
    assert len(stage.played) == 1
    assert stage.told()[1] == "29T02:00 cut off None: its process ended without a word"


def test_on_another_machine_a_lease_that_ran_out_is_free(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid, where = process_name().split(" (")
    elsewhere = f"{pid} (00000000-{where.split('-', 1)[1]}"
    assert Lease(database, "x", elsewhere).take()
    assert not Lease(database, "x", "me").take()
    set_clock(monkeypatch, timedelta(hours=5))
    assert Lease(database, "x", "me").take()


def test_where_one_that_hangs_may_be_replaced_a_lease_runs_out_though_its_holder_lives(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a daemon's: whoever is at work beside it starts nothing twice, and with nobody at work nothing starts."""
    assert Lease(database, "x", process_name()).take()
    set_clock(monkeypatch, timedelta(minutes=2))
    assert not Lease(database, "x", "me").take()
    assert Lease(database, "x", "me").keeper() != ""
    assert Lease(database, "x", "me", replaceable=True).take()


def test_who_has_lost_a_lease_is_told_once(database: Database) -> None:
    mine = Lease(database, "x", "mine", 2.0)
    told: list[str] = []
    heard = threading.Event()

    def lost(holder: str) -> None:
        told.append(holder)
        heard.set()

    assert mine.take()
    with mine.kept(lost):
        with database.writing() as connection:
            until = datetime.now(UTC) + timedelta(seconds=15)
            connection.execute(update(leases).values(holder="another", until=until))
        assert heard.wait(30)
        threading.Event().wait(1.2)  # two more looks
    assert told == ["another"]


@pytest.mark.parametrize("late", [None, "9 h late (the machine was off), inside its window"])
def test_a_run_that_was_believed_to_be_cut_off_says_itself_how_it_ended(
    tmp_path: Path, database: Database, late: str | None
) -> None:
    stage = Stage(tmp_path, database)
    run = Book(database, stage.schedule, "box one")
    assert run.claim(DUE, late)
    run.tell(DUE, "running", run="run-x")
    other = Book(database, stage.schedule, "box two")
    assert [entry.due for entry in other.cut_off()] == [DUE]
    assert other.cut_off() == []
    (entry,) = stage.entries()
    assert (entry.state, entry.reason) == ("cut off", "its process ended without a word")
    run.tell(DUE, "done", exit_code=0)
    (entry,) = stage.entries()
    assert (entry.state, entry.reason, entry.run, entry.exit_code) == ("done", late, "run-x", 0)


def test_a_history_that_was_made_anew_learns_how_a_run_ended(tmp_path: Path) -> None:
    """By whoever found it damaged: the connections of those at work lead to the file that was set aside."""
    database = open_database(tmp_path / "state")
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")

    def renewed() -> None:
        set_aside(tmp_path / "state" / "history.db")
        open_database(tmp_path / "state").close()

    stage.during = renewed
    assert stage.turn().due() == 0
    stage.during = lambda: None
    database.close()
    stage.database = open_database(tmp_path / "state")
    assert stage.told() == ["30T02:00 done 0: None"]
    assert (stage.entries()[0].run, stage.entries()[0].holder) == ("run-0", "tester")
    assert stage.turn().due() == 0
    assert len(stage.played) == 1
    stage.database.close()


def test_a_history_that_was_made_anew_knows_what_is_at_work_before_that_ends(tmp_path: Path) -> None:
    """Else who waits for it would run its time once more."""
    database = open_database(tmp_path / "state")
    stage = Stage(tmp_path, database, overlap="wait").at("2099-11-30T02:00:01")
    found: list[str] = []

    def renewed() -> None:
        set_aside(tmp_path / "state" / "history.db")
        with open_database(tmp_path / "state") as other:
            deadline = time.monotonic() + 30
            while not (found and Lease(other, f"schedule:{stage.schedule.key}", "x").whose() == "tester"):
                assert time.monotonic() < deadline
                found[:] = [entry.state for entry in Book(other, stage.schedule, "").newest(9)]
                time.sleep(0.05)

    stage.during = renewed
    turn = stage.turn()
    turn._launch.lease.seconds = 0.4
    assert turn.due() == 0
    assert found == ["running"]
    assert stage.told() == ["30T02:00 done 0: None"]
    assert len(stage.played) == 1
    database.close()


def test_a_row_that_is_gone_is_written_anew(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")

    def emptied() -> None:
        with database.writing() as connection:
            connection.exec_driver_sql("DELETE FROM schedule_times")

    stage.during = emptied
    assert stage.turn().due() == 0
    assert stage.turn().due() == 0
    assert len(stage.played) == 1
    assert stage.told() == ["30T02:00 done 0: None"]
