"""What earlier runs lent: told until somebody has put it back, and seen it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from remedy.events import Event
from remedy.journal import Journal, Loans, list_runs
from tests.journal import telling

RESERVE = "ext4_reserve:/dev/vdb"
NINE, NONE = {"blocks": 9}, {"blocks": 0}


def lent(**given: Any) -> Event:
    about: dict[str, Any] = {"object": RESERVE, "before": NINE, "want": NONE, "kept": {"state": NINE}}
    params = {"path": "/var/lib/mysql", "blocks": 0}
    return telling.intent(
        lent=True, module="remedy.modules.target.ext4_reserve", params=params, **about, **given
    )


def taken(before: Any = NINE, after: Any = NONE, **given: Any) -> Event:
    return telling.changed(object=RESERVE, before=before, after=after, **given)


def back() -> list[Event]:
    """Return what a run tells that puts it back itself."""
    intent = telling.intent(change="2", object=RESERVE, before=NONE, want=NINE, kept={"state": NONE})
    return [intent, taken(NONE, NINE, change="2")]


def told(state: Path, host: str = "db1") -> list[str]:
    return [loan.run for loan in Loans(state).of(host, lambda text: None)]


def test_what_a_run_did_not_put_back_is_told(tmp_path: Path) -> None:
    telling.write(tmp_path, "cut-off", [lent()], end=False)
    telling.write(tmp_path, "host-lost", [lent(), taken(), telling.done()])
    telling.write(tmp_path, "whole", [lent(), taken(), *back()])
    telling.write(tmp_path, "another", [telling.intent(), telling.changed()])
    telling.write(tmp_path, "elsewhere", [lent(host="db2"), taken(host="db2")])
    assert sorted(told(tmp_path)) == ["cut-off", "host-lost"]
    assert told(tmp_path, "db2") == ["elsewhere"]
    (loan,) = Loans(tmp_path).of("db2", lambda text: None)
    assert (loan.object, loan.before, loan.params["path"]) == (RESERVE, NINE, "/var/lib/mysql")
    assert loan.module == "remedy.modules.target.ext4_reserve"
    assert {run.id: run.lent for run in list_runs(tmp_path)}["host-lost"] == 1, "read from the summary"


def test_what_a_rollback_has_put_back_is_not_told(tmp_path: Path) -> None:
    telling.write(tmp_path, "20250101-a", [lent(), taken()], time=100.0)
    undone = telling.undid(RESERVE, after=NINE)
    telling.write(tmp_path, "20250102-b", undone, time=200.0, **telling.back("20250101-a"))
    assert told(tmp_path) == []


def test_what_was_seen_put_back_is_told_no_more(tmp_path: Path) -> None:
    telling.write(tmp_path, "one", [lent(), taken(), lent(host="db2"), taken(host="db2")])
    loans = Loans(tmp_path)
    (loan,) = loans.of("db1", lambda text: None)
    loans.back(loan)
    assert loans.of("db1", lambda text: None) == []
    assert told(tmp_path) == []
    assert told(tmp_path, "db2") == ["one"]


def test_a_run_under_way_and_a_check_lend_nothing_that_is_due(tmp_path: Path) -> None:
    telling.write(tmp_path, "check", [lent()], mode="check")
    journal = Journal(tmp_path / "runs/now")
    try:
        journal(telling.started("now"))
        journal(lent())
        journal.commit()
        assert told(tmp_path) == []
    finally:
        journal.close()
    assert told(tmp_path) == ["now"]


def test_a_journal_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = telling.write(tmp_path, "good", [lent(), taken()])
    folder = telling.write(tmp_path, "broken", [lent(), taken()])
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join([lines[0], b"{\n", *lines[2:]]))
    warnings: list[str] = []
    loans = Loans(tmp_path)
    assert [loan.run for loan in loans.of("db1", warnings.append)] == ["good"]
    assert loans.of("db2", warnings.append) == []
    (text,) = warnings
    assert text.startswith("what the run broken lent is not known: ")


def test_a_note_that_was_torn_is_written_again(tmp_path: Path) -> None:
    folder = telling.write(tmp_path, "one", [lent(), taken()])
    (folder / "back.jsonl").write_bytes(b'["db1", "ext4')
    loans = Loans(tmp_path)
    (loan,) = loans.of("db1", lambda text: None)
    loans.back(loan)
    assert told(tmp_path) == []
