"""The daemon's jobs, over a real history database: what it starts next once its clock was set."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from sqlalchemy import event, select

from remedy.history import Database, HistoryError
from remedy.history.tables import schedule_jobs, schedule_times
from remedy.project import Project
from remedy.schedule import clock, load_schedule
from remedy.schedule.book import Book
from remedy.schedule.children import Children
from remedy.schedule.daemon import Daemon, DueTrigger, OpeningTrigger
from remedy.schedule.jobs import served
from remedy.schedule.times import Due, between
from tests.schedule.making import made

HOUR = timedelta(hours=1)


@pytest.fixture
def daemon(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon that is at work, and starts nothing in these seconds: its one schedule is due in an hour at most."""
    monkeypatch.setenv("REMEDY_STATE", str(tmp_path / "state"))
    (tmp_path / "ops" / "schedules").mkdir(parents=True)
    minute = (datetime.now(UTC) - timedelta(minutes=2)).minute
    (tmp_path / "ops" / "schedules" / "hourly.yml").write_text(
        f"playbook: disk-full\nwhen: 'hourly at :{minute:02}'\n"
    )
    said: list[str] = []
    children = Children(["/bin/false"], tmp_path / "ops", [], said.append)
    daemon = Daemon(Project(tmp_path / "ops"), database, children, "tester", said.append)
    daemon.said = said  # type: ignore[attr-defined]
    daemon._open()
    yield daemon
    daemon._close()


def job(daemon: Daemon) -> Any:
    return daemon._scheduler.get_job("hourly")


def leave_ahead(daemon: Daemon) -> None:
    daemon._scheduler.modify_job("hourly", next_run_time=datetime.now(UTC) + timedelta(days=1500))


def test_a_clock_that_was_set_back_has_every_job_begin_anew(daemon: Daemon) -> None:
    leave_ahead(daemon)
    daemon._look()
    assert job(daemon).next_run_time > datetime.now(UTC) + HOUR

    daemon._set_back(-1500 * 86400.0)
    assert datetime.now(UTC) < job(daemon).next_run_time <= datetime.now(UTC) + HOUR
    assert "the clock was set back by 1500 d" in daemon.said  # type: ignore[attr-defined]


def test_a_job_that_a_clock_ahead_has_left_behind_is_due_in_time_again(daemon: Daemon) -> None:
    leave_ahead(daemon)
    daemon._close()
    daemon._open()
    assert datetime.now(UTC) < job(daemon).next_run_time <= datetime.now(UTC) + HOUR


def test_a_folder_that_cannot_be_read_takes_no_job_away(daemon: Daemon, tmp_path: Path) -> None:
    folder, away = tmp_path / "ops" / "schedules", tmp_path / "away"
    folder.rename(away)
    folder.symlink_to(tmp_path / "not-mounted")
    daemon._look()
    assert job(daemon) is not None
    folder.unlink()
    away.rename(folder)
    (folder / "odd.yml").write_text("when: [")
    (folder / "other.yaml").write_text("playbook: look\nwhen: '@daily'\n")
    daemon._look()
    (folder / "new.yml").write_text("playbook: look\nwhen: '@daily'\n")
    daemon._look()
    told = "".join(f"{line}\n" for line in daemon.said)  # type: ignore[attr-defined]
    assert "schedules: the schedules cannot be read: No such file or directory\n  expected a folder" in told
    assert "the schedules can be read again after 0 s\n" in told
    assert "its file is gone" not in told
    assert told.count("odd cannot be used: ") == 1, "once for each change of it"
    assert told.count("other.yaml is not read: name it other.yml\n") == 1
    assert "new: next at " in told


def test_the_clocks_are_known_before_the_first_turn(daemon: Daemon, tmp_path: Path) -> None:
    """So that turn can say that the clock was set, and not that nobody was there."""
    path = clock.reading_file(Project(tmp_path / "ops").state, tmp_path / "ops/schedules/hourly.yml")
    kept = path.read_text()
    daemon._seen = {}
    daemon._look()
    assert path.read_text() == kept  # what a turn has written stays
    before = clock.Reading(**json.loads(kept))
    ahead = msgspec.structs.replace(clock.Reading.now(), wall=before.wall + 5 * 3600)
    due = Due(datetime.now(UTC) + HOUR, datetime.now(UTC) + HOUR)
    assert str(clock.Story(before, ahead).why(due)).startswith("the clock was set forward by ")


def test_who_serves_a_schedule_and_when_stands_in_the_database(daemon: Daemon, database: Database) -> None:
    project = str(daemon._project.root)
    daemon._save()
    assert served(database, project, "hourly") is None, "it has no lease"
    assert daemon._lease.take()
    assert served(database, project, "hourly") == ("tester", job(daemon).next_run_time)
    assert served(database, project, "other") == ("tester", None)
    assert served(database, "/elsewhere", "hourly") is None

    later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    daemon._scheduler.modify_job("hourly", next_run_time=later)
    daemon._save()
    assert served(database, project, "hourly") == ("tester", later)
    (daemon._project.root / "schedules" / "hourly.yml").unlink()
    daemon._look()
    daemon._save()
    assert served(database, project, "hourly") == ("tester", None)


def test_rows_of_the_daemon_before_it_go(daemon: Daemon, database: Database) -> None:
    with database.writing() as connection:
        for project in (str(daemon._project.root), "/elsewhere"):
            row = {"project": project, "job": "gone", "plan": "daily", "next": datetime.now(UTC)}
            connection.execute(schedule_jobs.insert().values(**row))
    daemon._save()
    with database.reading() as connection:
        rows = {tuple(row) for row in connection.execute(select(schedule_jobs.c.project, schedule_jobs.c.job))}
    assert rows == {(str(daemon._project.root), "hourly"), ("/elsewhere", "gone")}


def test_a_database_that_is_away_keeps_no_job_from_being_added(daemon: Daemon, database: Database) -> None:
    """Not a row is lost by that: it is written when the database is back."""
    with database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE schedule_jobs RENAME TO elsewhere")
    daemon._save()
    assert "schedule_jobs" in daemon.said[-1]  # type: ignore[attr-defined]
    assert job(daemon) is not None
    with database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO schedule_jobs")
    daemon._save()
    with database.reading() as connection:
        assert connection.execute(select(schedule_jobs.c.job)).scalars().all() == ["hourly"]


@pytest.mark.parametrize(
    "when", ["every 1 minute", "every 6 hours", "daily at 02:00", "sundays at 02:00", "0 5 31 * *"]
)
@pytest.mark.parametrize("leap", [timedelta(minutes=3), timedelta(hours=30), timedelta(days=40), timedelta(days=800)])
def test_of_all_that_a_clock_leaps_over_the_newest_is_due(when: str, leap: timedelta) -> None:
    schedule = made(when=when)
    previous = next(schedule.dues(datetime(2026, 11, 1, 0, 0, 30, tzinfo=UTC))).at
    now = previous + leap
    found, asked = [previous], 0
    while found[-1] <= now:  # as the scheduler does it
        following = DueTrigger(schedule).get_next_fire_time(found[-1], now)
        assert following is not None
        assert following > found[-1]
        found.append(following)
        asked += 1
    passed = [previous, *(due.at for due in between(schedule.rules, schedule.zone, previous, now))]
    assert found[-2] == passed[-1]
    assert found[-1] == next(schedule.dues(now)).at
    assert asked <= 61, "an hour's minutes at most"


def test_windows_that_opened_while_a_clock_leapt_are_one() -> None:
    schedule = made(missed="once", windows=["daily 01:00 to 05:00"])
    previous = datetime(2026, 11, 1, 1, tzinfo=UTC)
    following = OpeningTrigger(schedule).get_next_fire_time(previous, previous + timedelta(days=10_000, hours=1))
    assert following == previous + timedelta(days=10_001)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_of_the_scheduler_that_ended_is_replaced(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*about: object) -> None:
        raise ArithmeticError("no due time")

    with monkeypatch.context() as patch:
        patch.setattr(DueTrigger, "get_next_fire_time", broken)
        thread = next(each for each in threading.enumerate() if each.name == "APScheduler")
        daemon._scheduler.modify_job("hourly", next_run_time=datetime.now(UTC))
        thread.join(30)
    assert not daemon._scheduler.alive
    daemon._elect(time.monotonic())
    assert daemon._scheduler.alive
    assert job(daemon).next_run_time > datetime.now(UTC)
    assert "the thread that starts what is due has ended: another one takes its place" in daemon.said  # type: ignore[attr-defined]


def test_a_lease_that_ran_out_while_the_database_kept_us_waiting_is_not_ours(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer that it is away took longer than the lease holds: another daemon may have it."""

    def away() -> bool:
        raise HistoryError("it does not answer", away=True)

    monkeypatch.setattr(daemon._lease, "take", away)
    daemon._held = asked = time.monotonic() - 25
    daemon._elect(asked)
    assert daemon._scheduler is None


def test_a_row_that_another_daemon_writes_at_the_same_moment_is_no_trouble(
    daemon: Daemon, database: Database
) -> None:
    """Where one was stopped for longer than its lease holds, and goes on, two are at work for a moment."""
    seen: list[str] = []

    def other(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        if statement.startswith("INSERT INTO schedule_jobs") and not seen:
            seen.append(statement)
            row = (str(daemon._project.root), "hourly", "another's", "2026-11-29 12:00:00.000000")
            cursor.execute("INSERT INTO schedule_jobs (project, job, plan, next) VALUES (?, ?, ?, ?)", row)

    event.listen(database.engine, "before_cursor_execute", other)
    daemon._save()
    assert seen
    with database.reading() as connection:
        assert connection.execute(select(schedule_jobs.c.next)).scalars().all() == [job(daemon).next_run_time]


def test_nothing_is_started_while_the_database_lets_us_wait_for_longer_than_the_lease(
    daemon: Daemon, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server whose disk stands still answers nobody: a run a minute would wait for it, all of them at once."""
    started: list[tuple[str, datetime | None]] = []
    monkeypatch.setattr(daemon._children, "start", lambda name, due, ended: started.append((name, due)))
    daemon._elect(time.monotonic())
    past = datetime.now(UTC).replace(second=0, microsecond=0) - 2 * HOUR
    with database.writing() as connection:
        connection.execute(schedule_times.update().values(due=past))  # the plan was first seen then
    daemon._held -= 31
    daemon._scheduler.modify_job("hourly", next_run_time=past)
    deadline = time.monotonic() + 30
    while not daemon._doubt and time.monotonic() < deadline:
        time.sleep(0.01)
    assert daemon._doubt
    assert started == []
    daemon._elect(time.monotonic())
    assert started == [("hourly", None)]


@pytest.mark.parametrize(("ago", "runs"), [(1.5, True), (0.5, False)])
def test_a_time_that_comes_between_a_file_and_the_look_at_it_is_not_lost(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, ago: float, runs: bool
) -> None:
    """Files are looked at every two seconds; one that was written after a due time does not mean that one."""
    started: list[tuple[str, datetime | None]] = []
    monkeypatch.setattr(daemon._children, "start", lambda name, due, ended: started.append((name, due)))
    daemon._elect(time.monotonic())
    minute = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    look = minute + timedelta(seconds=1)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return look

    path = daemon._project.root / "schedules" / "new.yml"
    path.write_text(f"playbook: disk-full\nwhen: 'daily at {minute:%H:%M}'\n")
    put = (look - timedelta(seconds=ago)).timestamp()
    stat = Path.stat

    def ctime(self: Path, **more: Any) -> Any:
        found = stat(self, **more)
        if self != path:
            return found
        told = SimpleNamespace(**{name: getattr(found, name) for name in dir(found) if name.startswith("st_")})
        told.st_ctime = put
        return told

    monkeypatch.setattr("remedy.schedule.daemon.datetime", Clock)
    monkeypatch.setattr(Path, "stat", ctime)
    daemon._look()
    assert (("new", None) in started) == runs
    began = Book(daemon._database, load_schedule(path, project=daemon._project), "").begin(look)
    assert (began < minute) == runs
