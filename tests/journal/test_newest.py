"""A rollback without a name means the newest run that has something to take back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remedy.errors import InputError
from remedy.events import HostConnected, HostLeftOut
from remedy.journal import newest_undoable, read_run, undo_plan
from tests.journal import telling

COMMAND: dict[str, Any] = {"kind": "command", "kept": None, "params": {}, "module": "command"}
MADE = [telling.intent(), telling.changed()]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    telling.write(tmp_path, "20250101-a", MADE, time=100.0)
    return tmp_path


def refused(**given: Any) -> list[Any]:
    """Return what a run tells whose host was lost when a command was to run."""
    about: dict[str, Any] = {"reason": "authentication", "message": "no key was accepted", **given}
    lost = telling.done(status="not_run", reason="no key was accepted; whether it ran is not known")
    return [telling.intent(**COMMAND), lost, HostLeftOut(host="db1", **about)]


def test_runs_without_anything_to_take_back_are_passed_over(state: Path) -> None:
    command = [telling.intent(**COMMAND), telling.changed(kind="command", reversible=False), telling.done()]
    telling.write(state, "20250102-b", command, time=200.0)
    telling.write(state, "20250103-c", refused(), time=300.0, end=True)
    telling.write(state, "20250104-d", [telling.changed(predicted=True)], time=400.0, mode="check")
    found = newest_undoable(state)
    assert (found.run.id, found.plan.run) == ("20250101-a", "20250101-a")
    assert [run.id for run in found.passed] == ["20250103-c", "20250102-b"]


def test_a_run_that_is_wholly_rolled_back_is_passed_over(state: Path) -> None:
    telling.write(state, "20250102-b", MADE, time=200.0)
    telling.write(state, "20250103-c", telling.undid(), time=300.0, **telling.back("20250102-b"))
    assert newest_undoable(state).run.id == "20250101-a"
    telling.write(state, "20250104-d", telling.undid(), time=400.0, **telling.back("20250103-c"))
    assert newest_undoable(state).run.id == "20250102-b"  # the rollback was taken back


def test_a_run_whose_rollback_failed_is_not_passed_over(state: Path) -> None:
    telling.write(
        state, "20250103-c", telling.undid(status="failed"), time=300.0, **telling.back("20250101-a")
    )
    found = newest_undoable(state)
    assert found.run.id == "20250101-a"
    assert [run.id for run in found.passed] == ["20250103-c"]


def test_a_run_cut_off_after_its_word_may_have_changed_something(state: Path) -> None:
    telling.write(state, "20250105-e", [telling.intent()], end=False, time=500.0)
    found = newest_undoable(state).run
    assert (found.id, found.outcome, found.changes) == ("20250105-e", "cut off", 0)


def test_where_there_is_none_the_error_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no run in .* has anything that can be taken back\n  there are no runs yet"
    ):
        newest_undoable(tmp_path / "none")


@pytest.mark.parametrize(
    ("told", "lost"),
    [
        (refused(), 0),
        (refused(reason="link_lost"), 1),
        ([HostConnected(host="db1", hello={}, seconds=0.0), *refused(reason="link_lost")], 1),
        ([HostConnected(host="db1", hello={}, seconds=0.0), *refused(reason="locked", refused=True)], 0),
    ],
)
def test_what_was_never_sent_did_not_happen(tmp_path: Path, told: list[Any], lost: int) -> None:
    made = undo_plan(read_run(telling.write(tmp_path, "run", told)))
    assert [each.reason.partition(";")[0] for each in made.not_undone] == [
        "it may have happened, the host was lost there"
    ] * lost


def test_only_runs_of_the_project_that_asks_are_meant(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for root in (ours, theirs):
        (root / "playbooks" / "deep").mkdir(parents=True)
    deep = str(ours / "playbooks" / "deep")
    telling.write(tmp_path, "20250101-a", MADE, time=100.0, started_in=deep)
    telling.write(tmp_path, "20250102-b", MADE, time=200.0, started_in=str(theirs))
    telling.write(tmp_path, "20250103-c", MADE, time=300.0)  # of an older version, which did not write it down
    found = newest_undoable(tmp_path, ours)
    assert found.run.id == "20250101-a"
    assert [run.id for run in found.elsewhere] == ["20250103-c", "20250102-b"]
    assert found.passed == ()
    assert newest_undoable(tmp_path, theirs).run.id == "20250102-b"
    assert newest_undoable(tmp_path).run.id == "20250103-c"
    with pytest.raises(InputError) as told:
        newest_undoable(tmp_path, tmp_path / "new")
    assert f"no run of the project {tmp_path / 'new'} in " in told.value.message
    assert told.value.hint == (
        f"name one of other projects, where it is meant: 20250103-c (project not known), 20250102-b ({theirs}), "
        f"20250101-a ({ours})"
    )
