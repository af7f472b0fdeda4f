"""The history is what the journals say: whole, in order, once; whoever is killed, and however many fill at once."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import event as events
from sqlalchemy import select

from remedy.history import HistoryError, database, in_memory, open_database, tables
from remedy.history.filling import catch_up, rebuild
from remedy.history.opening import filled, kept_up
from remedy.journal import Journal
from remedy.journal.journal import FILE
from tests.history import made
from tests.journal import telling

ROOT = Path(__file__).resolve().parents[2]


def some(state: Path, number: int) -> None:
    for each in range(number):
        telling.write(state, f"2026-{each:04}", made.healed("db1"), time=1000.0 + each)


def column(opened: database.Database, name: str, table: str = "runs") -> list[object]:
    with opened.reading() as connection:
        return list(connection.execute(select(tables.metadata.tables[table].c[name])).scalars())


def test_the_tables_hold_what_a_run_was(tmp_path: Path) -> None:
    events = [
        *made.healed("db1"),
        made.found("db2", "backup-old", title="no backup since Monday"),
        telling.done(host="db2", status="failed", reason="broken"),
        made.away("db3"),
        made.away("db4", refused=True),
    ]
    hosts = ["db1", "db2", "db3", "db4", "db5"]
    folder = telling.write(tmp_path, "20261129-a", events, hosts=hosts, time=99.0, started_in="/srv", sources=["/i"])
    opened = open_database(tmp_path)
    assert catch_up(opened, tmp_path) == (1, 0, ())
    with opened.reading() as connection:
        run = dict(connection.execute(select(tables.runs)).mappings().one())
    assert run.pop("started").isoformat() == "1970-01-01T00:01:39+00:00"
    expected = {
        **{"id": 1, "run": "20261129-a", "origin": f"{socket.gethostname()}:{tmp_path}"},
        **{"playbook": "playbooks/disk-full.yml", "name": "disk-full", "inventory": "prod", "mode": "apply"},
        **{"user": "ada", "arguments": '["play", "disk-full"]', "sources": '["/i"]', "started_in": "/srv"},
        **{"project": "/srv", "seconds": 1.5, "outcome": "ok", "exit_code": 0, "hosts": 5, "changes": 1},
        **{"predicted": 0, "intents": 1, "lent": 0, "findings": 2, "unresolved": 1, "trouble": None, "gone": None},
        "journal_bytes": (folder / FILE).stat().st_size,
    }
    assert run == expected
    held = made.content(opened)
    name = "20261129-a"
    assert held["run_hosts"] == [
        # status, reason, message; ok, changed, failed, skipped, rescued, ignored; findings, unresolved
        (name, "db1", "changed", None, None, 3, 1, 0, 0, 0, 0, 1, 0),
        (name, "db2", "failed", None, None, 0, 0, 1, 0, 0, 0, 1, 1),
        (name, "db3", "unreachable", "timeout", "no answer", 0, 0, 0, 0, 0, 0, 0, 0),
        (name, "db4", "refused", "locked", "no answer", 0, 0, 0, 0, 0, 0, 0, 0),
        (name, "db5", "none", None, None, 0, 0, 0, 0, 0, 0, 0, 0),
    ]
    assert [(row[1], *row[3:6], row[7]) for row in held["findings"]] == [
        ("db1", "disk-full", "P1", "/var above 85 %", True),
        ("db2", "backup-old", "P1", "no backup since Monday", None),
    ]
    (change,) = held["changes"]
    assert change[1:7] == (1, "db1", "Write it", "copy", "resource", "file:/etc/motd")
    assert change[9:] == (0.1, 600.0, True, False)
    # Of two looks both count, where they differ; images never do.
    assert [(row[2], row[3], row[4], row[5].second) for row in held["measures"]] == [
        ("disk.available", "/var", 100.0, 40),
        ("disk.available", "/var", 700.0, 43),
        ("disk.inodes", "/var", 100.0, 40),
        ("disk.inodes_used", "/var", 7.0, 40),
        ("disk.size", "/var", 1000.0, 40),
        ("disk.used", "/var", 300.0, 43),
        ("disk.used", "/var", 900.0, 40),
    ]
    opened.close()


def test_what_is_in_stays_and_a_rebuild_gives_the_same(tmp_path: Path) -> None:
    some(tmp_path, 5)
    opened = open_database(tmp_path)
    told: list[tuple[int, int]] = []
    assert catch_up(opened, tmp_path, lambda done, total: told.append((done, total))).stored == 5
    assert told[-1] == (5, 5)
    assert column(opened, "run") == sorted(column(opened, "run"), key=str)
    before = made.content(opened)
    assert catch_up(opened, tmp_path).stored == 0
    with opened.writing() as connection:
        connection.execute(tables.runs.update().values(outcome="nonsense"))
        connection.execute(tables.changes.delete())
        connection.execute(tables.leases.insert().values(name="daemon", holder="a", until=made_up()))
    assert rebuild(opened, tmp_path).stored == 5
    assert made.content(opened) == before
    assert column(opened, "name", "leases") == ["daemon"]
    opened.close()


def made_up() -> tables.datetime:
    return tables.datetime(2026, 11, 29, tzinfo=tables.UTC)


def test_a_run_under_way_is_there_and_its_end_too(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "runs/now")
    journal(telling.started("now"))
    journal.commit()
    opened = open_database(tmp_path)
    catch_up(opened, tmp_path)
    assert column(opened, "outcome") == ["running"]
    assert catch_up(opened, tmp_path).stored == 0
    for event in made.healed("db1"):
        journal(event)
    journal.commit()
    catch_up(opened, tmp_path)
    assert (column(opened, "outcome"), column(opened, "changes")) == (["running"], [1])
    journal(telling.ended("now"))
    journal.close()
    catch_up(opened, tmp_path)
    assert (column(opened, "outcome"), column(opened, "id")) == (["ok"], [1])
    opened.close()


def test_a_run_that_was_killed_is_cut_off_though_its_journal_is_no_longer(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "runs/now")
    journal(telling.started("now"))
    journal.commit()
    opened = open_database(tmp_path)
    catch_up(opened, tmp_path)
    journal.close()
    assert catch_up(opened, tmp_path).stored == 1
    assert column(opened, "outcome") == ["cut off"]
    opened.close()


def test_a_torn_journal_is_taken_as_far_as_it_goes(tmp_path: Path) -> None:
    for name, keep in (("a", -20), ("b", None)):
        path = telling.write(tmp_path, name, [telling.changed(), *made.healed("db1")]) / FILE
        lines = path.read_bytes()
        if keep is not None:
            path.write_bytes(lines[:keep])  # the last line is torn
        else:
            rows = lines.splitlines(keepends=True)
            path.write_bytes(b"".join([*rows[:2], b"{}}\n", *rows[3:]]))
    (tmp_path / "runs/c").mkdir()
    (tmp_path / "runs/c" / FILE).write_bytes(b"")
    opened = open_database(tmp_path)
    assert catch_up(opened, tmp_path) == (2, 0, ("c",))
    assert dict(zip(column(opened, "run"), column(opened, "changes"), strict=True)) == {"a": 2, "b": 1}
    trouble = dict(zip(column(opened, "run"), column(opened, "trouble"), strict=True))
    assert trouble["a"] is None
    assert str(trouble["b"]).startswith(f"{tmp_path}/runs/b/{FILE}:3: this line of the journal is damaged")
    assert column(opened, "outcome") == ["cut off", "cut off"]
    opened.close()


def test_a_run_whose_journal_is_deleted_stays_with_a_mark(tmp_path: Path) -> None:
    some(tmp_path, 2)
    opened = open_database(tmp_path)
    catch_up(opened, tmp_path)
    before = made.content(opened)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(tmp_path / "runs/2026-0000", elsewhere)
    assert catch_up(opened, tmp_path).gone == 1
    assert catch_up(opened, tmp_path).gone == 0
    assert rebuild(opened, tmp_path).stored == 1
    assert [gone is None for gone in column(opened, "gone")] == [False, True]
    assert {**made.content(opened), "runs": 0} == {**before, "runs": 0}
    shutil.move(elsewhere, tmp_path / "runs/2026-0000")
    assert catch_up(opened, tmp_path).stored == 1
    assert made.content(opened) == before
    shutil.move(tmp_path / "runs", elsewhere)  # not mounted
    assert catch_up(opened, tmp_path).gone == 0
    opened.close()


def test_two_machines_share_one_and_leave_each_other_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    for machine, run in (("a", "2026-a"), ("b", "2026-b")):
        monkeypatch.setattr(socket, "gethostname", lambda machine=machine: machine)
        telling.write(tmp_path / machine, run, made.healed("db1"))
        opened = open_database(tmp_path / machine, url)
        assert catch_up(opened, tmp_path / machine) == (1, 0, ())
        opened.close()
    assert column(opened, "origin") == [f"a:{tmp_path}/a", f"b:{tmp_path}/b"]
    assert column(opened, "gone") == [None, None]
    opened.close()


def test_a_machine_with_another_name_reads_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some(tmp_path, 3)
    opened = open_database(tmp_path)
    catch_up(opened, tmp_path)
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    assert catch_up(opened, tmp_path) == (0, 0, ())
    assert set(column(opened, "origin")) == {f"another:{tmp_path}"}
    shutil.rmtree(tmp_path / "runs/2026-0001")
    assert catch_up(opened, tmp_path) == (0, 1, ())
    opened.close()


FILLING = """
import sys, time
from pathlib import Path
from remedy.history import open_database, filling
filling._BATCH_SECONDS = 0.0  # each run is stored on its own
state, insert = Path(sys.argv[1]), filling.insert
def slowly(table):
    time.sleep(float(sys.argv[2]))  # in the middle of a transaction
    return insert(table)
filling.insert = slowly
def tell(done, total):
    sys.stdout.write(f"{done}\\n")
    sys.stdout.flush()
filling.catch_up(open_database(state), state, tell)
"""


def filling_process(state: Path, pause: float = 0.0) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", FILLING, str(state), str(pause)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told_by_one(state: Path) -> dict[str, list[tuple[object, ...]]]:
    with in_memory() as alone:
        catch_up(alone, state)
        return made.content(alone)


def test_kill_9_in_the_middle_leaves_whole_runs_and_the_next_goes_on(tmp_path: Path) -> None:
    some(tmp_path, 150)
    with filling_process(tmp_path, pause=0.02) as child:
        assert child.stdout is not None
        while child.stdout.readline() != "40\n":
            assert child.poll() is None, child.communicate()
        child.kill()
    raw = sqlite3.connect(tmp_path / "history.db")
    assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    raw.close()
    opened = open_database(tmp_path)
    runs = column(opened, "run")
    assert 40 <= len(runs) < 150
    assert runs == [f"2026-{number:04}" for number in range(len(runs))]
    whole, half = told_by_one(tmp_path), made.content(opened)
    for name, rows in half.items():
        assert rows == [row for row in whole[name] if row[0] in runs]
    assert catch_up(opened, tmp_path).stored == 150 - len(runs)
    assert made.content(opened) == whole
    opened.close()


def test_many_who_fill_at_once_fill_it_once(tmp_path: Path) -> None:
    some(tmp_path, 60)
    children = [filling_process(tmp_path) for _ in range(3)]
    for child in children:
        _, errors = child.communicate(timeout=200)
        assert (child.returncode, errors) == (0, "")
    opened = open_database(tmp_path)
    assert made.content(opened) == told_by_one(tmp_path)
    opened.close()


def test_a_file_whose_pages_are_damaged_is_made_anew_while_it_is_filled(tmp_path: Path) -> None:
    some(tmp_path, 3)
    opened = open_database(tmp_path)
    catch_up(opened, tmp_path)
    opened.close()
    path = tmp_path / "history.db"
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (page,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs'").fetchone()
    raw.close()
    broken = bytearray(path.read_bytes())
    broken[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(broken)
    notices: list[str] = []
    opened, done = kept_up(tmp_path, None, notices.append)
    assert done.stored == 3
    assert made.content(opened) == told_by_one(tmp_path)
    assert [notice.partition(" was damaged: it is now ")[0] for notice in notices] == [f"the history database {path}"]
    opened.close()


def test_one_that_is_locked_is_not_waited_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    some(tmp_path, 2)
    open_database(tmp_path).close()
    raw = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    with pytest.raises(HistoryError, match="cannot be used: another program has held it locked for too long"):
        kept_up(tmp_path, None, lambda text: None)
    notices: list[str] = []
    with filled(tmp_path, None, notices.append) as instead:
        assert made.content(instead) == told_by_one(tmp_path)
    assert len(notices) == 1
    assert notices[0].endswith(f"locked for too long; this is told from the journals of {tmp_path}")
    raw.execute("ROLLBACK")
    raw.close()
    opened, done = kept_up(tmp_path, None, notices.append)
    assert done.stored == 2
    opened.close()


FULL = """
set -e
mount -t tmpfs -o size=1m,mode=700 none "$1"
cp -r "$2" "$1/runs"
REMEDY_STATE=$1 "$3" -P -m remedy.history "$1" "$1/history.trouble"
rm -r "$1/runs/2026-0001"; cp -r "$2/2026-0001" "$1/runs/2026-0001b"
dd if=/dev/zero of="$1/filler" bs=4k 2>/dev/null || true
"$3" -P -m remedy.history "$1" "$1/history.trouble" && exit 9
REMEDY_STATE=$1 "$3" -m remedy history
rm "$1/filler"
REMEDY_STATE=$1 "$3" -m remedy history
"""


@pytest.mark.lab
def test_a_full_disk_keeps_nobody_from_reading_and_is_made_good_later(tmp_path: Path) -> None:
    some(tmp_path / "made", 3)
    (tmp_path / "state").mkdir()
    words = ["sh", "-c", FULL.replace("-m remedy history", "-c 'from remedy.cli import main; main()' history")]
    done = subprocess.run(
        ["unshare", "-m", *words, "sh", str(tmp_path / "state"), str(tmp_path / "made/runs"), sys.executable],
        capture_output=True, text=True, timeout=200, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.split()[0] for line in done.stdout.splitlines()]
    assert lines[:3] == ["2026-0002", "2026-0001b", "2026-0000"]
    assert sorted(lines[3:]) == ["2026-0000", "2026-0001", "2026-0001b", "2026-0002"]
    (warning,) = done.stderr.splitlines()
    assert "history.db cannot be used: " in warning
    assert " full; this is told from the journals of " in warning


def statements(folder: Path, hosts: int) -> int:
    """Return how many statements fill the run of so many hosts."""
    made.fleet(folder, "2026-fleet", hosts)
    opened = open_database(folder)
    count = 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1

    events.listen(opened.engine, "before_cursor_execute", counted)
    assert catch_up(opened, folder).stored == 1
    events.remove(opened.engine, "before_cursor_execute", counted)
    assert len(column(opened, "host", "run_hosts")) == hosts
    opened.close()
    return count


def test_a_run_of_fifty_hosts_is_filled_in_as_many_statements_as_that_of_two(tmp_path: Path) -> None:
    assert statements(tmp_path / "fifty", 50) == statements(tmp_path / "two", 2)
