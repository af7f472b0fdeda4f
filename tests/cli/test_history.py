"""`remedy history` tells who did what with which playbook, and names every object that changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from remedy.cli.history import history
from remedy.errors import InputError, Refused
from remedy.events import HostLeftOut
from tests.history import made
from tests.journal import telling

ITEMS = [{"item": f"/var/log/{number}.gz", "reason": "old", "size": number * 1024} for number in range(25)]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REMEDY_STATE", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    swept = telling.changed(
        change="2",
        kind="sweep",
        object="old files",
        reversible=False,
        reason="gone",
        bytes_freed=2048,
        items=ITEMS,
    )
    sweep = telling.intent(change="2", kind="sweep", object="old files", kept=None, want=ITEMS)
    made = [telling.intent(), telling.changed(), telling.done(), sweep, swept, telling.done()]
    telling.write(tmp_path, "20250101-a", made, time=100.0)
    pending = [telling.changed(predicted=True, object=f"file:/{number}") for number in range(16)]
    telling.write(tmp_path, "20250102-b", pending, time=200.0, mode="check", hosts=["db1"])
    telling.write(tmp_path, "20250103-c", [sweep], time=300.0, end=False)
    return tmp_path


def told(*arguments: str) -> str:
    result = CliRunner().invoke(history, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_list_says_what_by_whom_and_on_how_many_hosts() -> None:
    lines = [line.split() for line in told().splitlines()]
    assert [line[0] for line in lines] == ["20250103-c", "20250102-b", "20250101-a"]
    assert lines[1][3:] == ["check", "disk-full", "ada", "1", "host", "ok", "(0),", "16", "pending"]
    assert lines[2][3:] == ["apply", "disk-full", "ada", "2", "hosts", "ok", "(0),", "2", "changes"]
    assert len(told("-n", "1").splitlines()) == 1


def test_a_run_names_every_object_and_the_largest_items() -> None:
    text = told("20250101")
    assert text.startswith("20250101-a: apply, ok (0) after 1.5 s, 2 changes\n")
    for words in (
        "playbook   playbooks/disk-full.yml",
        "inventory  prod",
        "by         ada, ",
        "hosts      db1, db2",
    ):
        assert f"  {words}" in text
    assert "  db1: Write it: file:/etc/motd\n" in text
    assert "  db1: Write it: old files, 2.0 KiB freed (cannot be taken back: gone)\n" in text
    assert "24.0 KiB  /var/log/24.gz\n" in text
    assert "/var/log/4.gz" not in text
    assert "... and 5 more (-v lists them)" in text
    assert "/var/log/4.gz" in told("20250101", "-v")


def test_a_sweep_that_was_cut_off_names_what_it_may_have_taken() -> None:
    text = told("20250103")
    assert "may have changed db1: Write it: old files (its end is not known)" in text
    assert "24.0 KiB  /var/log/24.gz\n" in text


def test_a_check_names_what_would_change() -> None:
    assert "  would change db1: Write it: file:/15" in told("20250102")


def test_for_programs_there_is_one_document(state: Path) -> None:
    listed = json.loads(told("--format", "json"))
    assert listed["schema"] == "remedy.history/1"
    assert [(run["id"], run["predicted"]) for run in listed["runs"]][1] == ("20250102-b", 16)
    one = json.loads(told("20250101", "--format", "json"))
    assert one["schema"] == "remedy.report/1"
    assert (one["run"]["user"], one["run"]["journal"]) == ("ada", str(state / "runs/20250101-a"))
    assert [change["object"] for change in one["changes"]] == ["file:/etc/motd", "old files"]
    assert json.loads(told("20250103", "--format", "json"))["run"]["outcome"] == "cut off"


def test_no_runs_are_an_empty_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMEDY_STATE", str(tmp_path / "none"))
    empty = CliRunner().invoke(history, [])
    assert (empty.exit_code, empty.stdout, empty.stderr) == (0, "", "there are no runs yet\n")
    later = CliRunner().invoke(history, ["--since", "1h"])
    assert (later.stdout, later.stderr) == ("", "no run is as asked for\n")
    assert json.loads(told("--format", "json"))["runs"] == []


def test_a_mistyped_command_is_not_only_an_unknown_run() -> None:
    with pytest.raises(InputError) as raised:
        told("prun")
    assert raised.value.hint == "did you mean `remedy history prune`?"


def test_runs_of_other_projects_say_so_and_may_be_left_out(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for root in (here, there):
        (root / "inventory").mkdir(parents=True)
    telling.write(state, "20250104-d", [], time=400.0, started_in=str(there))
    telling.write(state, "20250105-e", [], time=500.0, started_in=str(here / "inventory"))
    monkeypatch.chdir(here)
    lines = told().splitlines()
    assert lines[0].endswith("0 changes")
    assert lines[1].split()[-4:] == ["0", "changes", "in", str(there)]
    assert [line.split()[0] for line in told("--here").splitlines()] == ["20250105-e"]
    assert f"  project    {there}\n" in told("20250104")
    listed = json.loads(told("--format", "json"))["runs"]
    assert [run["project"] for run in listed] == [str(here), str(there), None, None, None]


def test_what_has_no_size_says_why_it_went_instead(state: Path) -> None:
    ended = [{"item": "session 7 of app@db2", "reason": "idle for 900 s", "size": 0, "noun": "session"}]
    swept = telling.changed(kind="sweep", object="sessions of MySQL", items=ended, reversible=False)
    telling.write(state, "20250106-f", [swept], time=600.0)
    text = told("20250106")
    assert "      session 7 of app@db2  idle for 900 s\n" in text
    assert "0 B" not in text


def test_show_and_a_bare_run_are_the_same() -> None:
    for more in ((), ("-v",), ("--format", "json")):
        assert told("show", "20250101", *more) == told("20250101", *more) == told(*more, "20250101")


def test_the_list_is_chosen_by_host_playbook_time_and_status(state: Path) -> None:
    def runs(*arguments: str) -> list[str]:
        return [line.split()[0][-1] for line in told(*arguments).splitlines()]

    failed = telling.done(host="cache1", status="failed")
    telling.write(state, "20250107-g", [failed], playbook="redis-down.yml", hosts=["cache1"])
    assert runs("--host", "cache1") == ["g"]
    assert runs("--host", "db2") == ["c", "a"]
    assert runs("--playbook", "redis-down", "--playbook", "disk-*", "--since", "1h") == ["g"]
    assert runs("--since", "2025-01-01") == ["g"]
    assert runs("--status", "changed") == ["a"]
    assert runs("--status", "cut-off", "--status", "pending") == ["c", "b"]
    assert told("--host", "db*", "--status", "changed").splitlines()[0].endswith("2 changes  db1: changed, db2: none")
    assert json.loads(told("--host", "cache1", "--format", "json"))["runs"][0]["asked"] == {"cache1": "failed"}


def test_findings_are_counted_and_what_is_left_of_them(state: Path) -> None:
    two = [made.found("db1"), made.found("db2"), made.resolved("db1"), made.found("db2", again=True)]
    telling.write(state, "20250108-h", two)
    assert told("-n", "1").rstrip().endswith("ok (0), 2 findings (1 left), 0 changes")


def test_show_tells_what_was_found_what_failed_and_who_was_left_out(state: Path) -> None:
    failed = telling.done(host="db1", status="failed")
    gone = HostLeftOut(
        time=1, host="db2", reason="locked", message="another run is changing this host\nwait for it", refused=True
    )
    telling.write(state, "20250111-k", [made.found("db1"), made.resolved("db1"), made.found("db2"), failed, gone])
    lines = told("show", "20250111").splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("  journal"))
    assert lines[at + 1 : at + 4] == [
        "  db1: P1 /var above 85 % (resolved)",
        "  db2: P1 /var above 85 %",
        "  db2 was left out (locked): another run is changing this host / wait for it",
    ]
    assert lines[at + 4].startswith(f"  failed db1: {failed.task}: ")


def test_a_run_whose_journal_is_gone_is_told_from_what_was_kept(state: Path) -> None:
    events = [*made.healed("db1"), made.found("db2", title="no backup")]
    telling.write(state, "20250109-i", events, time=900.0)
    told()
    shutil.rmtree(state / "runs/20250109-i")
    assert told("-n", "1").rstrip().endswith("2 findings (1 left), 1 change  journal gone")
    text = told("show", "20250109").splitlines()
    assert text[0] == "20250109-i: apply, ok (0) after 1.5 s, 1 change"
    assert text[5].startswith("  journal    gone (missed since 20")
    assert text[6:] == [
        "  db1: P1 /var above 85 % (resolved)",
        "  db2: P1 no backup",
        "  db1: Write it: file:/etc/motd, 600 B freed",
    ]
    document = json.loads(told("20250109", "--format", "json"))
    assert (document["schema"], document["run"]["journal"], document["tasks"]) == ("remedy.report/1", None, None)
    assert document["hosts"]["db1"]["changed"] == 1
    assert [finding["id"] for finding in document["findings"]] == ["disk-full", "disk-full"]


def test_rebuild_says_what_it_did_and_what_it_could_not_read(state: Path) -> None:
    (state / "runs/20250110-j").mkdir()
    (state / "runs/20250110-j/journal.jsonl").write_bytes(b"")
    result = CliRunner().invoke(history, ["rebuild"], catch_exceptions=False)
    assert result.stdout == f"{state}/history.db: 3 runs from {state}/runs\n"
    assert result.stderr == "warning: the journal of 20250110-j does not say which run it is of\n"


def test_a_damaged_database_is_replaced_and_said(state: Path) -> None:
    (state / "history.db").write_text("nonsense " * 999)
    result = CliRunner().invoke(history, [], catch_exceptions=False)
    assert len(result.stdout.splitlines()) == 3
    assert "was damaged: it is now" in result.stderr
    assert CliRunner().invoke(history, [], catch_exceptions=False).stderr == ""


def test_a_server_that_is_away_keeps_nobody_from_the_journals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMEDY_HISTORY_URL", "postgresql://ops:s3cret@127.0.0.1:9/history")
    result = CliRunner().invoke(history, [], catch_exceptions=False)
    assert len(result.stdout.splitlines()) == 3
    assert result.stderr.startswith("warning: the history database postgresql://ops:***@127.0.0.1:9/history cannot be")
    assert "s3cret" not in result.output


def test_help_shows_what_can_be_asked() -> None:
    text = told("--help")
    for words in ("--host", "--playbook", "--since", "--status", "rebuild", "show", "history --host db1 --since 7d"):
        assert words in text


def test_prune_asks_counts_and_forgets_what_has_no_journal(state: Path) -> None:
    told()
    assert told("prune", "--before", "2020-01-01").splitlines() == [
        "3 older runs with a journal: left, for it would fill the run in again",
        f"{state}/history.db: nothing to forget before 2020-01-01 00:00 UTC",
    ]
    shutil.rmtree(state / "runs/20250101-a")
    checked = told("prune", "--before", "2020-01-01", "--check").splitlines()[-1]
    assert checked.startswith(f"{state}/history.db: would forget 1 run whose journals are gone, ")
    refused = CliRunner().invoke(history, ["prune", "--before", "2020-01-01"])
    assert isinstance(refused.exception, Refused)
    assert len(told().splitlines()) == 3
    assert told("prune", "--before", "2020-01-01", "--yes").splitlines()[-1] == (
        f"{state}/history.db: forgot 1 run and 0 due times"
    )
    told("rebuild")
    assert [line.split()[0] for line in told().splitlines()] == ["20250103-c", "20250102-b"]
    wrong = CliRunner().invoke(history, ["prune", "--before", "soon", "--yes"])
    assert str(wrong.exception).startswith("--before 'soon' is no time")
