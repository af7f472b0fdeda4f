"""A history that cannot be used when something is due: that is told, and the reason that is recorded later."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from remedy.cli import cli
from remedy.cli.scheduler import _opened
from remedy.errors import Refused
from remedy.history import Database, HistoryError, open_database
from remedy.project import Project
from remedy.schedule import load_schedule
from remedy.schedule.away import Away, note
from remedy.schedule.book import Book
from remedy.schedule.clock import Reading, look, reading_file
from remedy.schedule.lease import Lease
from remedy.schedule.remembered import remembered
from remedy.schedule.turn import Turn
from remedy.schedule.world import Ending
from tests.notify.listening import web_server
from tests.schedule.making import made
from tests.schedule.test_daemon import daemon
from tests.schedule.test_telling import LOOKS
from tests.schedule.test_turn import Stage

__all__ = ["daemon"]  # a fixture

WHY = "the history database postgresql://ops:***@db/ops cannot be used: connection refused"
FIRST = datetime(2099, 11, 30, 2, tzinfo=UTC)


def away(*given: Any, **more: Any) -> Any:
    raise HistoryError(WHY, away=True)


def test_a_time_at_which_the_history_was_away_says_so(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database)
    note(tmp_path, stage.schedule.path, WHY, FIRST + timedelta(seconds=6))
    assert stage.at("2099-12-02T11:00:00").turn().due() == 0
    assert stage.told() == [
        "02T02:00 missed None: nobody started it: no timer, crontab line or daemon was at work; 9 h late by now",
        "01T02:00 missed None: nobody started it: no timer, crontab line or daemon was at work",
        f"30T02:00 missed None: it could not be started: {WHY}",
    ]
    assert not remembered(tmp_path, stage.schedule.path, "away").exists()


def test_failures_that_follow_each_other_are_one_outage(tmp_path: Path) -> None:
    path = made(tmp_path).path
    new = [note(tmp_path, path, WHY, FIRST + timedelta(seconds=seconds)) for seconds in (0, 300, 600, 86400, 86430)]
    assert new == [True, False, False, True, False]
    known = Away(tmp_path, path, 60)
    reasons = {seconds: known.why(FIRST + timedelta(seconds=seconds))
               for seconds in (-61, -60, 450, 600, 601, 86339, 86340, 86430, 86431)}  # fmt: skip
    assert [seconds for seconds, reason in reasons.items() if reason] == [-60, 450, 600, 86340, 86430]
    assert reasons[450] == f"it could not be started: {WHY}"


@pytest.mark.parametrize("text", ["", "{}", "[[1]]", '[["x", 1, "y"]]', '[[1e300, 1e301, "x"]]', "[1]", "null"])
def test_what_was_remembered_of_an_outage_cannot_harm(tmp_path: Path, text: str) -> None:
    path = made(tmp_path).path
    remembered(tmp_path, path, "away").parent.mkdir()
    remembered(tmp_path, path, "away").write_text(text)
    assert Away(tmp_path, path, 600).why(FIRST) is None
    note(tmp_path, path, WHY, FIRST)
    assert Away(tmp_path, path, 600).why(FIRST) is not None


def test_a_turn_whose_history_goes_away_is_told_once_and_recorded_later(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    told: list[Ending] = []
    world = replace(stage.world("tester"), ended=told.append)
    with monkeypatch.context() as patch:
        patch.setattr(Book, "begin", away)
        for _ in range(2):
            with pytest.raises(HistoryError):
                Turn(stage.schedule, world).due()
    assert told == [Ending(due=FIRST, reason=f"it could not be started: {WHY}", exit_code=4)]
    stage.at("2099-11-30T11:00:00")
    assert Turn(stage.schedule, world).due() == 0
    assert stage.told() == [f"30T02:00 missed None: it could not be started: {WHY}; 9 h late by now"]


def test_a_time_that_was_claimed_and_could_not_begin_says_why(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process ends with exit code 4, and its row stays as it is: who finds that knows the reason."""
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    told: list[Ending] = []
    world = replace(stage.world("tester"), ended=told.append)
    with monkeypatch.context() as patch:
        patch.setattr(Book, "tell", away)
        with pytest.raises(HistoryError):
            Turn(stage.schedule, world).due()
    assert [(each.due, each.exit_code) for each in told] == [(FIRST, 4)]
    assert stage.played == []
    monkeypatch.setattr("remedy.schedule.book.surely_dead", lambda holder: holder == "tester")
    stage.turn("another").due()
    assert stage.told() == [f"30T02:00 cut off None: it could not be started: {WHY}"]


def test_what_would_not_run_is_told_to_nobody(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, database).at("2099-11-30T02:00:01")
    told: list[Ending] = []
    monkeypatch.setattr(Book, "begin", away)

    def turn(**words: Any) -> None:
        schedule = made(tmp_path / "ops", name=f"quiet-{len(words)}{stage.now.hour}", **words)
        with pytest.raises(HistoryError):
            Turn(schedule, replace(stage.world("tester"), ended=told.append)).due()

    turn(paused="the move", overlap="wait")
    turn(windows=["daily 03:00 to 05:00"])
    stage.at("2099-11-30T12:00:00")  # nothing is due
    turn()
    assert told == []
    stage.at("2099-12-01T02:00:00")
    turn()
    assert len(told) == 1


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("playbooks", "inventory", "schedules"):
        (tmp_path / folder).mkdir()
    (tmp_path / "playbooks/odd.yml").write_text(LOOKS)
    (tmp_path / "inventory/here.yml").write_text("all: {hosts: {here: {ansible_connection: local}}}\n")
    (tmp_path / "schedules/nightly.yml").write_text(
        "playbook: odd\ninventory: here\nwhen: every 1 minute\nnotify: [ops]\n"
    )
    (tmp_path / "remedy.yml").write_text(f"history: sqlite:///{tmp_path}/unmounted/history.db\n")
    monkeypatch.setenv("REMEDY_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("REMEDY_HISTORY_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_timer_that_fires_while_the_history_cannot_be_opened_tells_of_it(project: Path) -> None:
    def due() -> Any:
        return CliRunner().invoke(cli, ["schedule", "run", "nightly", "--due", "now"], standalone_mode=False)

    with web_server() as (web, port):
        (project / "notifications.yml").write_text(f"ops: {{url: 'json://127.0.0.1:{port}/ops'}}\n")
        for _ in range(2):
            failed = due()
            assert isinstance(failed.exception, HistoryError), failed.output
            assert failed.exception.exit_code == 4
        by_hand = CliRunner().invoke(cli, ["schedule", "run", "nightly"], standalone_mode=False)
        assert isinstance(by_hand.exception, HistoryError)
        [(_, body)] = web.bodies
    assert body["title"].startswith("nightly: ")
    assert "it could not be started: the history database" in f"{body['title']} {body['message']}"
    (kept,) = (project / "state/schedules").glob("*.away")
    [[since, until, why]] = json.loads(kept.read_text())
    assert abs(since - time.time()) < 120
    assert since <= until
    assert "there is no folder" in why


def test_a_daemon_that_waits_for_the_history_remembers_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter((HistoryError(WHY, away=True), HistoryError(WHY, away=True), None))

    def opened(*given: Any, **more: Any) -> Any:
        answer = next(answers)
        if answer is not None:
            raise answer
        return "the database"

    monkeypatch.setattr("remedy.history.open_database", opened)
    monkeypatch.setattr("remedy.cli.scheduler._RETRY", 0.01)
    said: list[str] = []
    found: Any = _opened(Project.find(project), threading.Event(), said.append)
    assert found == "the database"
    (kept,) = (project / "state/schedules").glob("*.away")
    [[since, until, why]] = json.loads(kept.read_text())
    assert since < until
    assert why == WHY
    assert len(said) == 2


def test_what_died_is_not_shown_as_running(project: Path) -> None:
    """Nobody has marked it yet: the machine was cut off from its power, and nothing was due since."""
    (project / "remedy.yml").unlink()
    schedule = load_schedule(project / "schedules/nightly.yml", project=Project.find(project))
    with open_database(project / "state") as database:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        book = Book(database, schedule, "of a machine that is gone")
        assert book.claim(at)
        book.tell(at, "running", run="run-x")
        lease = Lease(database, f"schedule:{schedule.key}", "of a machine that is gone")
        assert lease.take()

        def shown() -> Any:
            words = ["schedule", "show", "nightly", "--format", "json"]
            return json.loads(CliRunner().invoke(cli, words, standalone_mode=False).stdout)["last"][0]

        assert shown()["state"] == "running"
        lease.leave()
        assert (shown()["state"], shown()["reason"]) == ("cut off", "its process ended without a word")
        listed = CliRunner().invoke(cli, ["schedule", "list"], standalone_mode=False).output
        assert "2026-01-01 00:00Z cut off" in listed
        entry = book.find(at)
        assert entry is not None
        assert entry.state == "running", "whoever looks writes nothing"


def test_the_daemon_remembers_from_when_to_when_nothing_could_be_started(
    daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = daemon._project
    path = remembered(project.state, project.root / "schedules/hourly.yml", "away")
    daemon._elect(time.monotonic())
    assert not path.exists()
    with monkeypatch.context() as patch:
        patch.setattr(daemon._lease, "take", away)
        daemon._elect(time.monotonic())
        [[since, until, why]] = json.loads(path.read_text())
        assert (since, why) == (until, WHY)
        first = path.stat().st_mtime_ns
        daemon._elect(time.monotonic())
        assert path.stat().st_mtime_ns == first, "not at every look"
        daemon._noted -= 301
        daemon._elect(time.monotonic())
        assert path.stat().st_mtime_ns != first
    daemon._elect(time.monotonic())
    [[again, until, _]] = json.loads(path.read_text())
    assert since == again < until
    path.unlink()
    daemon._elect(time.monotonic())
    assert not path.exists()


def test_the_daemon_has_a_run_that_died_with_its_machine_told_at_once(
    daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[str, datetime | None]] = []
    monkeypatch.setattr(daemon._children, "start", lambda name, due, ended: started.append((name, due)))
    daemon._elect(time.monotonic())
    schedule = load_schedule(daemon._project.root / "schedules/hourly.yml", project=daemon._project)
    daemon._catch_up(schedule)
    assert started == []
    book, at = Book(daemon._database, schedule, "of a machine that is gone"), datetime(2020, 1, 1, tzinfo=UTC)
    assert book.claim(at)
    book.tell(at, "running")
    daemon._catch_up(schedule)
    assert started == [("hourly", None)]


# What kept the machine from starting it is not forgotten before it is on record


BEFORE = Reading("a", datetime(2099, 11, 29, 12, tzinfo=UTC).timestamp(), 9000.0, 9000.0)
AFTER = Reading("b", datetime(2099, 11, 30, 11, tzinfo=UTC).timestamp(), 600.0, 600.0)
OFF = "the machine was off (it was booted 2099-11-30 10:50 UTC)"


@pytest.mark.parametrize("step", ["begin", "open", "skip"])
def test_a_turn_that_fails_before_it_has_recorded_anything_forgets_nothing(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*given: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    stage = Stage(tmp_path, database).at("2099-11-30T11:00:00")
    monkeypatch.setattr(Reading, "now", lambda: BEFORE)
    look(reading_file(tmp_path, stage.schedule.path))
    monkeypatch.setattr(Reading, "now", lambda: AFTER)
    with monkeypatch.context() as patch:
        patch.setattr(Book, step, killed)
        with pytest.raises(KeyboardInterrupt):
            stage.turn().due()
    assert stage.turn().due() == 0
    assert stage.told() == [f"30T02:00 missed None: {OFF}; 9 h late by now"]
    assert look(reading_file(tmp_path, stage.schedule.path)).before == AFTER


def test_a_missed_time_that_waits_for_its_window_keeps_its_reason(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"when": "daily at 02:00", "windows": ["daily 01:00 to 05:00", "daily 20:00 to 21:00"], "missed": "once"}
    stage = Stage(tmp_path, database, **words).at("2099-11-30T11:00:00")
    monkeypatch.setattr(Reading, "now", lambda: BEFORE)
    look(reading_file(tmp_path, stage.schedule.path))
    monkeypatch.setattr(Reading, "now", lambda: AFTER)
    assert stage.turn().due() == 0
    assert stage.entries() == []
    later = Reading("b", datetime(2099, 11, 30, 20, tzinfo=UTC).timestamp(), 33000.0, 33000.0)
    monkeypatch.setattr(Reading, "now", lambda: later)
    assert stage.at("2099-11-30T20:00:01").turn().due() == 0
    assert stage.told() == [f"30T02:00 done 0: 18 h late ({OFF}), inside its window"]


# A window that closes while the history lets us wait


@pytest.mark.parametrize("steps", [(0, 60), (25, 60), (25, 0)])
@pytest.mark.parametrize("by_hand", [False, True])
def test_a_window_that_closes_while_the_history_is_away_is_closed(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, steps: tuple[int, int], by_hand: bool
) -> None:
    """That it is at work is noted twice, and each time the history may be waited for: a minute at most."""
    stage = Stage(tmp_path, database, windows=["daily 02:00 to 02:01"]).at("2099-11-30T02:00:30")
    left = [seconds // 2 for seconds in steps]
    real = Book.tell

    def tell(book: Book, at: datetime, state: str, **more: Any) -> None:
        step = int("run" in more)
        if state == "running" and left[step]:
            left[step] -= 1
            away()
        real(book, at, state, **more)

    monkeypatch.setattr(Book, "tell", tell)
    closes = sum(steps) > 30
    turn = stage.turn("by hand, me" if by_hand else "tester")
    if by_hand and closes:  # whoever has started it is told
        with pytest.raises(Refused, match="does not run now: outside its windows: daily 02:00 to 02:01"):
            turn.by_hand()
    else:
        assert (turn.by_hand() if by_hand else turn.due()) == 0
    assert len(stage.played) == (0 if closes else 1)
    (entry,) = stage.entries()
    assert (entry.state, entry.exit_code) == (("skipped", 3 if by_hand else None) if closes else ("done", 0))
    if closes:
        assert entry.reason == "outside its windows: daily 02:00 to 02:01"


def test_by_hand_and_anyway_no_window_counts(tmp_path: Path, database: Database) -> None:
    stage = Stage(tmp_path, database, windows=["daily 02:00 to 02:01"]).at("2099-11-30T12:00:00")
    assert stage.turn("by hand, me").by_hand(anyway=True) == 0
    assert len(stage.played) == 1
