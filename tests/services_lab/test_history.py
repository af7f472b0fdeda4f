"""The history database in a real PostgreSQL: filled by several machines at once, cut off, restarted, gone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from remedy.history import Database, HistoryError, in_memory, open_database, tables
from remedy.history.filling import catch_up, rebuild
from remedy.history.opening import filled, kept_up
from remedy.history.pruning import prune_runs
from remedy.history.queries import Asked, list_past, measured
from remedy.lab import Lab
from remedy.schedule.book import prune as prune_times
from tests.acceptance.operator import Operator
from tests.conftest_lab import HostFactory
from tests.history import made
from tests.journal import telling
from tests.services_lab.postgres import UNIT, Postgres

pytestmark = pytest.mark.lab

FILLING = """
import sys, time
from pathlib import Path
from remedy.history import open_database, filling
filling._BATCH_SECONDS = 0.0
filling.socket.gethostname = lambda: sys.argv[3]
insert = filling.insert
def slowly(table):
    time.sleep(float(sys.argv[4]))  # in the middle of a transaction
    return insert(table)
filling.insert = slowly
def tell(done, total):
    sys.stdout.write(f"{done}\\n")
    sys.stdout.flush()
filling.catch_up(open_database(Path(sys.argv[1]), sys.argv[2]), Path(sys.argv[1]), tell)
"""


@pytest.fixture
def opened(url: str, tmp_path: Path) -> Iterator[Database]:
    database = open_database(tmp_path, url)
    yield database
    database.close()


def filler(state: Path, url: str, machine: str, pause: float = 0.0) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", FILLING, str(state), url, machine, str(pause)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def some(state: Path, number: int, name: str = "2026") -> None:
    for each in range(number):
        telling.write(state, f"{name}-{each:04}", made.healed("db1"), time=1000.0 + each)


def told_alone(state: Path) -> dict[str, list[tuple[object, ...]]]:
    with in_memory() as alone:
        catch_up(alone, state)
        return made.content(alone)


def test_the_migrations_lead_to_the_tables(opened: Database) -> None:
    with opened.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": tables.VERSION_TABLE})
        assert compare_metadata(context, tables.metadata) == []


def test_it_holds_what_sqlite_holds_and_a_rebuild_the_same(opened: Database, tmp_path: Path) -> None:
    some(tmp_path, 20)
    telling.write(tmp_path, "odd", [made.found("db1", title="nul \0 and half \udcff")], hosts=["db1"])
    assert catch_up(opened, tmp_path).stored == 21
    expected = told_alone(tmp_path)
    assert made.content(opened) == expected
    assert catch_up(opened, tmp_path).stored == 0
    assert rebuild(opened, tmp_path).stored == 21
    assert made.content(opened) == expected
    assert expected["findings"][-1][5] == "nul ? and half ?"


def test_it_answers_as_sqlite_does(opened: Database, tmp_path: Path) -> None:
    some(tmp_path, 3)
    telling.write(tmp_path, "failed", [telling.done(status="failed")], time=5000.0)
    alone = in_memory()
    for database in (opened, alone):
        catch_up(database, tmp_path)
    for asked in (
        Asked(),
        Asked(hosts=("db?",), statuses=("failed",)),
        Asked(playbooks=("disk-full",), since=datetime.fromtimestamp(1001, UTC), number=2),
        Asked(statuses=("changed", "findings")),
    ):
        answers = [[(past.run, past.hosts) for past in list_past(database, asked)] for database in (opened, alone)]
        assert answers[0] == answers[1]
        assert answers[0]
    alone.close()


def test_machines_that_make_and_fill_it_at_once_make_it_once(url: str, tmp_path: Path) -> None:
    for machine in "abc":
        some(tmp_path / machine, 20, machine)
    children = [filler(tmp_path / machine, url, machine) for machine in "aabbcc"]
    for child in children:
        _, errors = child.communicate(timeout=200)
        assert (child.returncode, errors) == (0, "")
    database = open_database(tmp_path, url)
    held = made.content(database)
    database.close()
    assert [row[0] for row in held["runs"]] == [f"{machine}-{number:04}" for machine in "abc" for number in range(20)]
    for machine in "abc":
        alone = told_alone(tmp_path / machine)
        for name in ("run_hosts", "findings", "changes", "measures"):
            assert [row for row in held[name] if row[0][0] == machine] == alone[name]


def test_kill_9_in_the_middle_and_the_next_goes_on(url: str, tmp_path: Path) -> None:
    some(tmp_path, 80)
    with filler(tmp_path, url, socket.gethostname(), pause=0.02) as child:
        assert child.stdout is not None
        while child.stdout.readline() != "20\n":
            assert child.poll() is None, child.communicate()
        child.kill()
    database, done = kept_up(tmp_path, url, lambda text: None)
    assert 0 < done.stored <= 60
    assert made.content(database) == told_alone(tmp_path)
    database.close()


def test_a_server_that_was_restarted_is_found_again_and_one_that_is_down_is_done_without(
    server: Postgres, url: str, opened: Database, tmp_path: Path
) -> None:
    some(tmp_path, 2)
    catch_up(opened, tmp_path)
    server.restart()
    assert catch_up(opened, tmp_path).stored == 0
    server.shell(f"systemctl stop {UNIT}")
    try:
        some(tmp_path, 1, "later")
        with pytest.raises(HistoryError, match="cannot be used"):
            catch_up(opened, tmp_path)
        notices: list[str] = []
        with filled(tmp_path, url, notices.append) as instead:
            assert [past.run.id for past in list_past(instead, Asked())] == ["2026-0001", "later-0000", "2026-0000"]
        assert "secret" not in "".join(notices)
        assert f"postgresql://ops:***@{server.address}/ops cannot be used" in notices[0]
    finally:
        server.shell(f"systemctl start {UNIT}")
        server.begin()
    assert catch_up(opened, tmp_path).stored == 1


def test_a_due_time_is_claimed_once_by_many(opened: Database, tmp_path: Path) -> None:
    claim = {"schedule": "a", "due": datetime(2026, 11, 29, tzinfo=UTC), "state": "claimed", "holder": "x"}
    row = tables.schedule_times.insert().values(updated=datetime.now(UTC), **claim)
    with opened.writing() as connection:
        connection.execute(row)
    with pytest.raises(IntegrityError), opened.writing() as connection:
        connection.execute(row)
    with opened.reading() as connection:
        assert connection.execute(select(tables.schedule_times.c.due)).scalars().all() == [claim["due"]]


def test_a_newer_schema_is_refused(server: Postgres, url: str, opened: Database, tmp_path: Path) -> None:
    server.sql(f"UPDATE {tables.VERSION_TABLE} SET version_num = '9999'", database="ops")
    with pytest.raises(HistoryError, match="is of a newer remedy"):
        open_database(tmp_path, url)


def test_a_wrong_password_is_said_without_it(server: Postgres, url: str, tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="password authentication failed") as caught:
        open_database(tmp_path, url.replace("a%2Fsecret", "wr0ng-secret"))
    assert "wr0ng" not in str(caught.value)


ASKED = """
- hosts: pg1
  gather_facts: true
  tasks:
    - disk_usage: {paths: [/]}
    - postgresql_info: {filter: [connections, databases]}
    - postgresql_disk: {}
- hosts: cache1
  tasks: [{redis_info: {}}, {redis_info: {login_port: 6380}}]
- hosts: db1
  tasks: [{mysql_info: {}}, {mysql_info: {login_unix_socket: /srv/second/s}}, {mysql_binlogs: {}}]
"""
SECOND = r"""
set -e
mkdir /srv/second
chown mysql /srv/second
mariadb-install-db --no-defaults --user=mysql --datadir=/srv/second/d --tmpdir=/srv/second --skip-test-db >/dev/null
printf '%s\n' '[mysqld]' user=mysql datadir=/srv/second/d port=3307 socket=/srv/second/s max_connections=77 \
  > /srv/second/cnf
setsid mariadbd --defaults-file=/srv/second/cnf >/dev/null 2>&1 </dev/null &
for k in $(seq 200); do mariadb -S /srv/second/s -e "SELECT 1" >/dev/null 2>&1 && exit 0; sleep .1; done
exit 1
"""
KNOWN = {
    "pg1": "connections.allowed connections.used database.bytes disk.available disk.inodes disk.inodes_used disk.size "
    "disk.used memory.available memory.total swap.total swap.used wal.bytes",
    "cache1": "connections.allowed connections.used memory.limit memory.used",
    "db1": "connections.allowed connections.peak connections.used",
}


def test_what_real_servers_tell_is_measured(
    server: Postgres, lab: Lab, host_factory: HostFactory, opened: Database, tmp_path: Path
) -> None:
    hosts = [lab.host("pg1"), host_factory("cache1", role="cache"), host_factory("db1", role="db")]
    lab.run("cache1", ["redis-server", "--port", "6380", "--daemonize", "yes", "--save", ""])
    lab.run("db1", ["sh", "-c", SECOND], timeout=120)
    operator = Operator(tmp_path, lab, *hosts, ansible_become=True)
    done = operator.here("play", str(operator.write("ask.yml", ASKED)))
    told: dict[str, Any] = {}
    for task in done.report["tasks"]:
        told.setdefault(task["module"], task["result"])  # of the first server
    assert catch_up(opened, operator.state).stored == 1
    names = {row[2] for row in made.content(opened)["measures"]}
    points = measured(opened, names)
    for host, known in KNOWN.items():
        assert set(known.split()) <= {point.name for point in points if point.host == host}, done.stdout
    value = {(point.host, point.name, point.object): point.value for point in points}
    assert value["pg1", "connections.used", "postgresql"] == told["postgresql_info"]["connections"]["used"]
    assert value["pg1", "database.bytes", "postgresql/postgres"] > 1_000_000
    assert value["pg1", "memory.total", ""] > 2**28
    assert value["cache1", "memory.used", "redis"] == told["redis_info"]["memory"]["used"]
    assert value["db1", "connections.allowed", "mysql"] == told["mysql_info"]["connections"]["allowed"]
    # Second servers of the same hosts are lines of their own.
    assert value["db1", "connections.allowed", "mysql:3307"] == 77
    assert value["cache1", "connections.used", "redis:6380"] == 1


def test_a_run_of_the_command_line_is_there_soon(url: str, opened: Database, tmp_path: Path) -> None:
    environment = {**os.environ, "REMEDY_STATE": str(tmp_path / "state")}
    del environment["REMEDY_HISTORY_FILL"]
    (tmp_path / "remedy.yml").write_text(f"history: {url}\n")
    remedy = [sys.executable, "-c", "from remedy.cli import main; main()"]
    run = ["run", "all", "-i", "here,", "-c", "local", "-m", "ping"]
    done = subprocess.run([*remedy, *run], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    end = time.monotonic() + 60
    while not (runs := list_past(opened, Asked())):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert [(past.run.playbook, past.run.outcome) for past in runs] == [("ping", "ok")]
    assert not (tmp_path / "state/history.db").exists()


def test_old_runs_and_due_times_are_forgotten_and_a_rebuild_does_not_bring_them_back(
    opened: Database, tmp_path: Path
) -> None:
    some(tmp_path, 4)
    catch_up(opened, tmp_path)
    for name in ("2026-0000", "2026-0003"):
        shutil.rmtree(tmp_path / "runs" / name)
    catch_up(opened, tmp_path)
    assert prune_runs(opened, datetime.fromtimestamp(1002, UTC)) == 1
    assert rebuild(opened, tmp_path).stored == 2
    kept = [row[0] for row in made.content(opened)["runs"]]
    assert kept == ["2026-0001", "2026-0002", "2026-0003"]
    about = {"schedule": "ops/nightly", "state": "done", "holder": "x", "updated": datetime.now(UTC)}
    with opened.writing() as connection:
        rows = [{**about, "due": datetime(2020, 1, day, tzinfo=UTC)} for day in (1, 2, 3)]
        connection.execute(tables.schedule_times.insert(), rows)
    assert prune_times(opened, datetime.now(UTC), count=True) == 2
    assert prune_times(opened, datetime.now(UTC)) == 2
    with opened.reading() as connection:
        assert connection.execute(select(tables.schedule_times.c.due)).scalars().all() == [rows[2]["due"]]
