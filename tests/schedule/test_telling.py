"""Whoever a schedule names is told how each of its due times ended; who cannot be told is no fault of the run's."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from remedy.cli import cli
from remedy.errors import TaskFailed
from remedy.history import open_database
from remedy.schedule.turn import Turn
from remedy.schedule.world import Ending
from tests.notify.listening import web_server
from tests.schedule.test_turn import Stage

LOOKS = """
- hosts: all
  runbook: {title: Odd, severity: P3}
  diagnose:
    - finding: {id: odd, severity: P3, title: "something is odd"}
  verify:
    - assert: {that: true}
"""


def endings(stage: Stage) -> list[Ending]:
    """Run what is due, and return what would be told."""
    found: list[Ending] = []
    world = replace(stage.world("tester"), ended=found.append)
    try:
        Turn(stage.schedule, world).due()
    except TaskFailed:
        pass
    return found


def test_each_end_is_told_once(tmp_path: Path) -> None:
    database = open_database(tmp_path / "state")
    stage = Stage(tmp_path, database, windows=["daily 01:00 to 04:00"])
    [run] = endings(stage.at("2099-11-30T02:00:01"))
    assert (run.run, run.exit_code, run.reason) == ("run-0", 0, None)
    assert run.due == datetime(2099, 11, 30, 2, tzinfo=UTC)
    [late] = endings(stage.at("2099-12-04T12:00:00"))  # four times, one message
    assert late.exit_code is None
    assert late.due == datetime(2099, 12, 4, 2, tzinfo=UTC)
    assert "; 3 due times before it passed without a run, too" in str(late.reason)
    assert endings(stage) == []

    def fail() -> None:
        raise TaskFailed("db1: no")

    stage.during = fail
    [failed] = endings(stage.at("2099-12-05T02:00:01"))
    assert (failed.run, failed.exit_code, failed.reason) == ("run-1", 2, "db1: no")
    database.close()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks/odd.yml").write_text(LOOKS)
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/here.yml").write_text("all: {hosts: {here: {ansible_connection: local}}}\n")
    (tmp_path / "schedules").mkdir()
    monkeypatch.setenv("REMEDY_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("REMEDY_HISTORY_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def remedy(*words: str) -> Any:
    return CliRunner().invoke(cli, words, standalone_mode=False)


def schedule(project: Path, **words: Any) -> None:
    lines = {"playbook": "odd", "inventory": "here", "when": "daily at 02:00", "notify": "[ops]", **words}
    text = "".join(f"{name}: {value}\n" for name, value in lines.items())
    (project / "schedules/nightly.yml").write_text(text)


def test_a_run_of_a_schedule_is_told(project: Path) -> None:
    schedule(project)
    with web_server() as (web, port):
        (project / "notifications.yml").write_text(f"ops: {{url: 'json://127.0.0.1:{port}/ops'}}\n")
        done = remedy("schedule", "run", "nightly")
        assert done.return_value == 10, done.output
        [(path, body)] = web.bodies
    assert (path, body["title"]) == ("/ops", "nightly on here: 1 finding open")
    assert "P3 here odd: something is odd (open)" in body["message"]


def test_a_refusal_is_told_and_whoever_cannot_be_told_is_no_fault_of_the_run(project: Path) -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=2)).date()
    until = f"{{kinds: [R], until: {yesterday}, by: ada, at_most: 1}}"
    schedule(project, mode="play", permission=until)
    with web_server() as (web, port):
        (project / "notifications.yml").write_text(f"ops: {{url: 'json://127.0.0.1:{port}/'}}\n")
        refused = remedy("schedule", "run", "nightly")
        assert "the permission of the schedule 'nightly' (R) ended on" in str(refused.exception)
        [(_, body)] = web.bodies
    assert body["title"].startswith("nightly: refused: the permission of the schedule")
    # The server is gone now; then nobody is known any more.
    schedule(project)
    done = remedy("schedule", "run", "nightly")
    assert done.return_value == 10
    assert "'ops' was not told: " in done.output
    (project / "notifications.yml").write_text("[]\n")
    done = remedy("schedule", "run", "nightly")
    assert done.return_value == 10
    assert "nightly: nobody could be told: " in done.output


def test_one_who_cannot_be_told_keeps_no_other_from_it(project: Path) -> None:
    schedule(project, notify="[gone, ops]")
    with web_server() as (web, port):
        (project / "notifications.yml").write_text(
            f"gone: {{url_env: REMEDY_TEST_NO_SUCH_VARIABLE}}\nops: {{url: 'json://127.0.0.1:{port}/'}}\n"
        )
        done = remedy("schedule", "run", "nightly")
        assert len(web.bodies) == 1
    assert done.return_value == 10
    assert "nightly: 'gone' was not told: " in done.output
    assert "gone  cannot be told: " in remedy("notify", "list").output


def test_who_is_to_be_told_must_be_known_when_a_schedule_is_added(project: Path) -> None:
    schedule(project, notify="[ops, oncal]")
    (project / "notifications.yml").write_text("ops: {url: 'json://h'}\noncall: {url: 'json://h'}\n")
    wrong = remedy("schedule", "add", "nightly")
    assert str(wrong.exception).startswith(f"{project}/schedules/nightly.yml:4:")
    assert "did you mean 'oncall'?" in str(wrong.exception)


@pytest.mark.parametrize("error", [RuntimeError("s3cret"), ImportError("s3cret"), KeyError("s3cret"), RecursionError()])
@pytest.mark.parametrize(
    "broken",
    ["remedy.notify.of_run", "remedy.cli.past.run_as_document", "remedy.notify.Targets.get", "remedy.notify.send"],
)
def test_whatever_goes_wrong_with_the_telling_is_no_fault_of_the_run(
    project: Path, monkeypatch: pytest.MonkeyPatch, broken: str, error: Exception
) -> None:
    schedule(project)
    (project / "notifications.yml").write_text("ops: {url: 'json://127.0.0.1:9/'}\n")

    def fails(*words: Any, **more: Any) -> None:
        raise error

    monkeypatch.setattr(broken, fails)
    done = remedy("schedule", "run", "nightly")
    assert done.return_value == 10, done.exception
    line = f"told: internal error: {type(error).__name__}"
    assert [each.endswith(line) for each in done.output.splitlines() if "internal error" in each] == [True]
    assert "s3cret" not in done.output


def test_a_run_that_is_told_to_end_while_it_tells_has_ended_as_it_has(project: Path) -> None:
    """As by systemctl stop, or by Ctrl-C."""
    schedule(project)
    with web_server(waits=120) as (web, port):
        (project / "notifications.yml").write_text(f"ops: {{url: 'json://127.0.0.1:{port}/'}}\n")
        words = [sys.executable, "-m", "remedy.cli", "schedule", "run", "nightly"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
            deadline = time.monotonic() + 60
            while not web.bodies and running.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            running.send_signal(signal.SIGTERM)
            try:
                out, _ = running.communicate(timeout=20)
            finally:
                running.kill()
    assert running.returncode == 10, out
    assert "nightly: told to end while it told how the run ended; not all may know" in out
    assert "Traceback" not in out
    shown = remedy("schedule", "show", "nightly", "--format", "json")
    (last,) = json.loads(shown.output)["last"]
    assert (last["state"], last["exit_code"]) == ("done", 10)
