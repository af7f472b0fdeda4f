"""Runs are found again, whatever happened to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from remedy.errors import InputError, Refused, RemedyError
from remedy.journal import Journal, delete_run, find_run, list_runs, read_run
from tests.journal import telling


@pytest.fixture
def state(tmp_path: Path) -> Path:
    telling.write(tmp_path, "20250101-a", [telling.intent(), telling.changed()], time=100.0)
    telling.write(tmp_path, "20250102-b", [telling.done(status="ok")], time=200.0, mode="diagnose")
    telling.write(
        tmp_path,
        "20250103-c",
        [telling.intent(), telling.changed()],
        time=300.0,
        mode="rollback",
        arguments=["rollback", "20250101-a"],
    )
    telling.write(tmp_path, "20250104-d", [telling.changed(predicted=True)], time=400.0, mode="check")
    return tmp_path


def test_the_list_has_the_newest_first(state: Path) -> None:
    runs = list_runs(state)
    assert [run.id for run in runs] == ["20250104-d", "20250103-c", "20250102-b", "20250101-a"]
    assert [run.changes for run in runs] == [0, 1, 0, 1]
    first = runs[-1]
    assert (first.playbook, first.inventory, first.mode, first.user) == (
        "playbooks/disk-full.yml",
        "prod",
        "apply",
        "ada",
    )
    assert (first.started, first.seconds, first.outcome, first.exit_code, first.hosts) == (
        100.0,
        1.5,
        "ok",
        0,
        2,
    )


def test_without_summaries_the_list_is_the_same(state: Path) -> None:
    with_summaries = list_runs(state)
    for path in state.glob("runs/*/summary.json"):
        path.unlink()
    assert list_runs(state) == with_summaries


def test_no_state_is_an_empty_list(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "none") == []
    with pytest.raises(InputError, match=r"no run 'a' in .*\n  there are no runs yet"):
        find_run(tmp_path / "none", "a")


def test_a_journal_of_nonsense_does_not_hide_the_others(state: Path) -> None:
    folder = state / "runs" / "zzz"
    folder.mkdir()
    (folder / "journal.jsonl").write_text("nonsense\n")
    assert len(list_runs(state)) == 4
    with pytest.raises(RemedyError, match=r"journal.jsonl:1: this line of the journal is damaged"):
        read_run(folder)


def test_a_prefix_is_enough_where_it_is_unique(state: Path) -> None:
    assert find_run(state, "20250102").id == "20250102-b"
    assert find_run(state, "20250102-b").id == "20250102-b"
    with pytest.raises(InputError, match=r"'202501' could be 4 runs\n  write more of one: 20250104-d, "):
        find_run(state, "202501")


def test_a_wrong_name_gets_the_nearest(state: Path) -> None:
    with pytest.raises(InputError, match=r"no run '20250102-x' in .*\n  did you mean '20250102-b'\?"):
        find_run(state, "20250102-x")
    with pytest.raises(InputError, match=r"no run 'nothing' in .*\n  the newest runs: 20250104-d"):
        find_run(state, "nothing")
    with pytest.raises(InputError, match="no run ''"):
        find_run(state, "")


def test_a_run_under_way_is_listed_and_cannot_be_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "now"
    journal = Journal(folder)
    journal(telling.started("now"))
    journal.commit()
    assert list_runs(tmp_path)[0].outcome == "running"
    with pytest.raises(Refused, match="the run now is under way"):
        delete_run(folder)
    journal.close()
    delete_run(folder)
    assert list_runs(tmp_path) == []


@pytest.mark.parametrize("keep", [1, 30, -1])
def test_a_torn_last_line_counts_as_never_written(tmp_path: Path, keep: int) -> None:
    folder = telling.write(tmp_path, "killed", [telling.changed()], end=False)
    path = folder / "journal.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    torn = whole[1].rstrip(b"\n")[:keep]
    path.write_bytes(whole[0] + torn)
    record = read_run(folder)
    assert record.torn
    assert len(record.events) == 1
    assert record.summary.outcome == "cut off"


def test_a_torn_line_in_the_middle_is_no_cut_but_damage(tmp_path: Path) -> None:
    folder = telling.write(tmp_path, "bad", [telling.changed()])
    path = folder / "journal.jsonl"
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:20] + b"\n" + third)
    with pytest.raises(RemedyError, match=r"journal.jsonl:2: this line of the journal is damaged"):
        read_run(folder)


def test_events_and_fields_of_a_newer_remedy_are_passed_over(tmp_path: Path) -> None:
    folder = telling.write(tmp_path, "new", [])
    path = folder / "journal.jsonl"
    newer = b'{"seq":9,"event":"Levitated"}\n{"seq":10,"event":"Warned","message":"m","colour":"red"}\n'
    path.write_bytes(path.read_bytes() + newer)
    assert [type(event).__name__ for event in read_run(folder).events] == ["RunStarted", "RunEnded", "Warned"]


def test_no_journal_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the journal .*journal.jsonl: No such file"):
        read_run(tmp_path)
