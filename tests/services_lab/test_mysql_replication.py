"""mysql_replication on real pairs, with GTID and without: a listed error is skipped once, threads run, workers stay."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from remedy.lab import Lab
from remedy.modules.controller import _threads
from tests.acceptance.operator import Result
from tests.conftest_lab import HostFactory
from tests.services_lab.pairs import KINDS, Bench, pair_of, problems

pytestmark = pytest.mark.lab
READERS = "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'"
IO_ERROR = {
    True: "SELECT IF(COUNT(*), 2003, 0) FROM information_schema.processlist WHERE state LIKE 'Reconnecting%'",
    False: "SELECT last_error_number FROM performance_schema.replication_connection_status",
}
"""Whether MariaDB → what the replica says while its source is away."""


LATER = ("mariadb-gtid", "mysql-positions")
"""For `make soak`: each server, and GTID and positions, are tried by `make drills`, too."""


@pytest.fixture(scope="module")
def hosts(host_factory: HostFactory) -> None:
    """Two hosts of each server."""
    for name, role in (("db1", "db"), ("db2", "db"), ("my1", "mysql"), ("my2", "mysql")):
        host_factory(name, role=role)


@pytest.fixture(
    params=[pytest.param(kind, marks=pytest.mark.soak if kind in LATER else ()) for kind in KINDS]
)
def bench(request: pytest.FixtureRequest, hosts: None, lab: Lab, tmp_path: Path) -> Bench:
    """A pair as new, and its operator."""
    pair = pair_of(lab, request.param)
    pair.begin()
    return Bench(tmp_path, pair)


def test_a_listed_error_is_skipped_once_with_its_event_in_the_report(bench: Bench) -> None:
    pair = bench.pair
    pair.duplicate(2)
    pair.insert(2, 3)
    pair.stopped(1062)
    refused = bench.task(mode="skipevent", errors=[1032])
    assert refused["status"] == "failed"
    assert "not skipped: error 1062 is not listed (errors: 1032)" in refused["reason"]
    planned = bench.play("--check", mode="skipevent", errors=[1062]).report
    assert "shop.kv" in json.dumps(planned["changes"][0]["object"])
    assert pair.error() == 1062
    assert pair.notes() == {1: "x", 2: "of the replica"}

    done = bench.play(mode="skipevent", errors=[1062]).report
    (change,) = done["changes"]
    stopped = change["before"]["stopped_at"]
    assert stopped["error"] == 1062
    assert "Duplicate entry" in stopped["text"]
    assert any("shop.kv" in line for line in stopped["events"])
    assert bool(stopped["gtid"]) == (pair.gtid or pair.mariadb)
    assert "compare them" in done["tasks"][0]["result"]["advice"]
    pair.applied(3)
    assert pair.notes() == {1: "x", 2: "of the replica", 3: "of the primary"}
    again = bench.task(mode="skipevent", errors=[1062])
    assert (again["status"], again["reason"]) == (
        "ok",
        "replication did not stop at an error, so there is nothing to skip",
    )


def test_what_fails_after_the_skipped_one_is_told_and_stays(bench: Bench) -> None:
    pair = bench.pair
    pair.duplicate(2, 3)
    pair.insert(2, 3, 4)
    pair.stopped(1062)
    done = bench.task(mode="skipevent", errors=[1062])
    assert done["status"] == "failed"
    assert (
        "the transaction was skipped, but replication does not run: the SQL thread stopped at error 1062"
        in done["reason"]
    )
    assert 4 not in pair.notes()
    assert bench.task(mode="skipevent", errors=[1062])["status"] == "changed"
    pair.applied(4)


def test_a_row_that_is_not_there_and_an_error_that_is_never_skipped(bench: Bench) -> None:
    pair = bench.pair
    pair.insert(2)
    pair.applied(2)
    pair.replica.sql("SET sql_log_bin = 0; DELETE FROM shop.kv WHERE id = 2")
    pair.primary.sql("SET binlog_format = ROW; UPDATE shop.kv SET note = 'new' WHERE id = 2")
    pair.stopped(1032)
    assert bench.task(mode="skipevent", errors=[1062, 1032])["status"] == "changed"
    pair.replica.sql("SET sql_log_bin = 0; DROP TABLE shop.kv")
    pair.insert(5)
    pair.stopped(1146)
    refused = bench.task(mode="skipevent", errors=[1062, 1032])
    assert "error 1146 is not listed" in refused["reason"]
    assert pair.error() == 1146


def test_threads_stop_and_start_and_what_keeps_them_from_it_is_told(bench: Bench) -> None:
    pair = bench.pair
    assert bench.task(mode="startreplica")["status"] == "ok"
    stopped = bench.play(mode="stopreplica", threads=["sql"])
    assert stopped.report["changes"][0]["after"] == {"": {"io": True, "sql": False}}
    pair.insert(2)
    look = bench.task()["result"]["channels"][0]
    assert (look["held_up_by"], look["why"], look["lag"]) == ("stopped", "its SQL thread is stopped", None)
    assert bench.task(mode="stopreplica", threads=["sql"])["status"] == "ok"
    started = bench.play(mode="startreplica")
    assert started.report["tasks"][0]["status"] == "changed"
    pair.applied(2)
    assert bench.operator.here("rollback", started.report["run"]["id"], "--yes").code == 0
    assert pair.status()[("Slave" if pair.mariadb else "Replica") + "_SQL_Running"] == "No"
    pair.duplicate(3)
    pair.insert(3)
    failed = bench.task(mode="startreplica")
    assert failed["status"] == "failed"
    assert "the SQL thread stopped at error 1062" in failed["reason"]


def test_of_parallel_domains_only_the_one_that_failed_is_moved(hosts: None, lab: Lab, tmp_path: Path) -> None:
    """There the skip counter is refused: gtid_slave_pos goes past the transaction, and past no other."""
    pair = pair_of(lab, "mariadb-gtid")
    pair.begin(workers=4)
    pair.duplicate(2)
    other = "".join(f"INSERT INTO shop.kv VALUES ({id}, 'of the primary');" for id in (5, 2, 6))
    pair.primary.sql(f"SET gtid_domain_id = 7; {other}")
    pair.insert(3, 4)
    pair.stopped(1062)
    done = Bench(tmp_path, pair).task(mode="skipevent", errors=[1062])
    assert done["status"] == "changed", done["reason"]
    assert done["result"]["by"].startswith("gtid_slave_pos = '0-")
    pair.applied(6)
    pair.applied(4)
    assert pair.notes() == {1: "x", 2: "of the replica", **dict.fromkeys((3, 4, 5, 6), "of the primary")}


def test_without_gtids_the_transaction_named_is_not_the_one_at_the_last_checkpoint(
    hosts: None, lab: Lab, tmp_path: Path
) -> None:
    """MySQL's positions stay at its workers' last checkpoint: here none came since the beginning."""
    pair = pair_of(lab, "mysql-positions")
    pair.begin()
    pair.replica.sql("SET GLOBAL replica_checkpoint_period = 100000")
    try:
        pair.replica.sql("STOP REPLICA SQL_THREAD; START REPLICA SQL_THREAD")
        begun = pair.status()["Exec_Source_Log_Pos"]
        pair.duplicate(2)
        pair.insert(7, 2, 3)
        pair.stopped(1062)
        assert pair.notes().keys() == {1, 2, 7}
        assert pair.status()["Exec_Source_Log_Pos"] == begun, "before the row 7, which is applied"
        ends = [
            line.split("\t")[4]
            for line in pair.primary.sql(f"SHOW BINLOG EVENTS FROM {begun}").splitlines()
            if line.split("\t")[2] == "Xid"
        ]
        (change,) = Bench(tmp_path, pair).play(mode="skipevent", errors=[1062]).report["changes"]
        assert f":{ends[1]}: " in change["object"], (ends, change["object"])
        assert any("shop.kv" in line for line in change["before"]["stopped_at"]["events"])
        pair.applied(3)
        assert pair.notes()[2] == "of the replica"
    finally:
        pair.replica.sql("SET GLOBAL replica_checkpoint_period = DEFAULT")


def test_a_restart_gives_new_threads(bench: Bench) -> None:
    done = bench.play(mode="restartreplica")
    assert done.report["tasks"][0]["status"] == "changed", done.report["tasks"]
    bench.pair.insert(2)
    bench.pair.applied(2)


def test_workers_are_set_kept_and_taken_back(bench: Bench) -> None:
    pair = bench.pair
    name = "slave_parallel_threads" if pair.mariadb else "replica_parallel_workers"
    before = pair.replica.sql(f"SELECT @@global.{name}")
    done = bench.play(mode="workers", workers=3)
    assert done.report["tasks"][0]["status"] == "changed", done.report["tasks"]
    result = done.report["tasks"][0]["result"]
    assert (result["workers"], result["commit_order"]) == (3, "on")
    assert bool(result["options"]) == pair.mariadb
    assert pair.replica.sql(f"SELECT @@global.{name}") == "3"
    assert bench.task(mode="workers", workers=3)["status"] == "ok"
    pair.insert(2)
    pair.applied(2)
    if not pair.mariadb:
        kept = (
            "SELECT variable_name, variable_value FROM performance_schema.persisted_variables "
            "WHERE variable_name LIKE 'replica%' ORDER BY 1"  # the server keeps the old names beside them
        )
        assert pair.replica.sql(kept).split() == [name, "3", "replica_preserve_commit_order", "ON"]
    assert bench.operator.here("rollback", done.report["run"]["id"], "--yes").code == 0
    assert pair.replica.sql(f"SELECT @@global.{name}") == before
    if not pair.mariadb:
        assert pair.replica.sql(kept) == ""
    pair.insert(3)
    pair.applied(3)


def test_a_run_takes_one_session_and_a_second_to_stop_threads(hosts: None, lab: Lab, tmp_path: Path) -> None:
    pair = pair_of(lab, "mysql-gtid")
    pair.begin()
    bench = Bench(tmp_path, pair)
    count = (
        "SELECT total_connections FROM performance_schema.accounts WHERE user = 'root' AND host = 'localhost'"
    )

    def taken(done: Callable[[], object]) -> int:
        before = int(pair.replica.sql(count))
        done()
        return int(pair.replica.sql(count)) - before - 1

    assert taken(lambda: bench.book("-l", pair.replica.host, command="diagnose")) == 1
    assert taken(lambda: bench.book("-l", pair.replica.host)) == 1
    # The threads that a session starts count as its account's: here the coordinator and three workers.
    assert taken(lambda: bench.task(mode="workers", workers=3)) - 4 == 2
    assert taken(lambda: bench.task(mode="workers", workers=3)) == 1
    # One connection beside that for administrators: the run has that, and an application the other.
    # One that is turned away, as the count below has the connection just then, comes again.
    keep = "for k in $(seq 100); do mysql -u app -e 'SELECT SLEEP(60)' && exit; sleep .1; done"
    pair.replica.sql("CREATE USER IF NOT EXISTS app@localhost; SET GLOBAL max_connections = 1")
    try:
        begun = 'setsid sh -c "$1" > /dev/null 2>&1 < /dev/null &'
        pair.replica.lab.run(pair.replica.host, ["sh", "-c", begun, "sh", keep])
        pair.replica.until("SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'", "1")
        refused = bench.task(mode="workers", workers=4)
        assert refused["reason"].startswith("STOP REPLICA can hang, so it is not begun without a second session")
        assert "remedy play mysql-connections" in refused["reason"]
        assert pair.running() == {"IO": "Yes", "SQL": "Yes"}
        assert pair.replica.sql("SELECT @@global.replica_parallel_workers") == "3"
    finally:
        pair.replica.sql("SET GLOBAL max_connections = DEFAULT; DROP USER app@localhost")
        app = "SELECT id FROM information_schema.processlist WHERE user = 'app'"
        pair.replica.sql("".join(f"KILL {id};" for id in pair.replica.sql(app).split()) or "SELECT 1")


def test_a_stop_that_hangs_leaves_no_replica_stopped(bench: Bench) -> None:
    """The server takes the STOP and ends it with its transaction, when nobody is there who starts the threads again."""
    pair = bench.pair
    word, start = ("SLAVE", "slave") if pair.mariadb else ("REPLICA", "replica")
    name = f"{start}_parallel_{'threads' if pair.mariadb else 'workers'}"
    before = pair.replica.sql(f"SELECT @@global.{name}")
    pair.hang(4)
    done = bench.task(mode="workers", workers=3, timeout="1s")
    assert done["status"] == "failed"
    assert f"STOP {word} " in done["reason"]
    assert "did not end within 1 s: the server goes on with it until what is being applied" in done["reason"]
    assert "The workers stay as they were, and what ran runs again: IO runs, SQL runs" in done["reason"]
    pair.runs("Yes", "Yes")
    pair.insert(2)
    pair.applied(2)
    assert pair.notes()[1] == "hung0"
    assert pair.replica.sql(f"SELECT @@global.{name}") == before
    assert pair.running() == {"IO": "Yes", "SQL": "Yes"}
    assert bench.task(mode="workers", workers=3, timeout="5s")["status"] == "changed"


@pytest.mark.soak
def test_a_start_waits_behind_a_stop_that_outlasts_everybody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the server's then, and carried out also when the run is over."""
    pair = bench.pair
    monkeypatch.setattr(_threads, "_GRACE", 1.0)
    pair.hang(6)
    done = bench.task(mode="restartreplica", timeout="1s")
    assert done["status"] == "failed"
    assert "Nothing was restarted, and what ran is to run again: START waits at the server" in done["reason"]
    assert "Until then IO runs, SQL runs" in done["reason"]
    waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '{} %_THREAD%'"
    assert [pair.replica.sql(waiting.format(verb)) for verb in ("STOP", "START")] == ["1", "1"]
    for verb in ("STOP", "START"):
        pair.replica.until(waiting.format(verb), "0")
    pair.runs("Yes", "Yes")
    pair.insert(2)
    pair.applied(2)
    assert bench.task(mode="restartreplica")["status"] == "changed"


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["mariadb-positions", "mysql-gtid"])
def test_an_operator_who_stops_the_run_leaves_no_replica_stopped(
    hosts: None, lab: Lab, tmp_path: Path, kind: str
) -> None:
    pair = pair_of(lab, kind)
    pair.begin()
    bench = Bench(tmp_path, pair)
    task = {"mysql_replication": {"mode": "workers", "workers": 3}}
    book = [{"hosts": pair.replica.host, "gather_facts": False, "tasks": [task]}]
    path = bench.operator.write("playbooks/one.yml", json.dumps(book))
    pair.hang(15)
    with bench.operator.start("play", str(path), "--yes") as process:
        stopping = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'STOP %_THREAD%'"
        pair.replica.until(stopping, "1")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    (told,) = json.loads(out)["tasks"]
    assert "was still running when the operator stopped the run" in told["reason"], (told, err)
    assert "START waits at the server behind the STOP" in told["reason"]
    assert pair.replica.sql(stopping) == "1", "nobody waited for it"
    pair.replica.until(stopping, "0", 40)
    pair.runs("Yes", "Yes")
    pair.insert(2)
    pair.applied(2)


@pytest.mark.soak
def test_a_stop_that_was_wanted_is_said_to_be_under_way(bench: Bench) -> None:
    pair = bench.pair
    pair.hang(5)
    done = bench.task(mode="stopreplica", timeout="1s")
    assert done["status"] == "failed"
    assert "did not end within 1 s" in done["reason"]
    assert "It cannot be taken back: they stop then, and nothing starts them again" in done["reason"]
    assert "At present IO runs, SQL runs" in done["reason"]
    pair.runs("No", "No")
    assert pair.notes()[1] == ("x" if pair.mariadb else "hung0"), "MariaDB rolls it back, and applies it anew"
    assert bench.task(mode="stopreplica")["status"] == "ok"
    assert bench.task(mode="startreplica")["status"] == "changed"


@pytest.mark.soak
def test_where_mysql_itself_gives_the_stop_up_the_thread_is_waited_for(
    hosts: None, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread stops all the same, later, and a START before that does nothing."""
    pair = pair_of(lab, "mysql-gtid")
    pair.begin()
    bench = Bench(tmp_path, pair)
    pair.replica.sql("SET GLOBAL rpl_stop_replica_timeout = 2")
    try:
        pair.hang(6)
        done = bench.task(mode="restartreplica")
        assert "STOP REPLICA command execution is incomplete" in done["reason"]
        assert "Nothing was restarted, and what ran runs again: IO runs, SQL runs" in done["reason"]
        time.sleep(1)
        assert pair.running() == {"IO": "Yes", "SQL": "Yes"}
        pair.insert(2)
        pair.applied(2)
        monkeypatch.setattr(_threads, "_LONG", 1.0)
        pair.hang(8)
        told = bench.task(mode="restartreplica")["reason"]
        assert "WHAT RAN DOES NOT RUN AGAIN: the server stops its SQL thread still" in told
        assert "START REPLICA IO_THREAD, SQL_THREAD FOR CHANNEL '' starts it. At present IO runs" in told
        pair.runs("Yes", "No")
        assert bench.task(mode="startreplica")["status"] == "changed"
    finally:
        pair.replica.sql("SET GLOBAL rpl_stop_replica_timeout = DEFAULT")


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["mariadb-gtid", "mysql-gtid"])
def test_channels_that_were_stopped_before_the_one_that_hangs_run_again(
    hosts: None, lab: Lab, tmp_path: Path, kind: str
) -> None:
    pair = pair_of(lab, kind)
    pair.begin()
    away = "source_host='127.0.0.1', source_port=1, source_user='nobody', source_connect_retry=60"
    here = f"source_host='{pair.primary.address}', source_user='repl', source_password='replpw'"
    if pair.mariadb:
        there = "CHANGE MASTER '{}' TO {}; START SLAVE '{}'"
        away, here = (each.replace("source", "master") for each in (away, f"{here}, source_use_gtid=slave_pos"))
        pair.replica.sql("STOP SLAVE; RESET SLAVE ALL")
    else:
        there = "CHANGE REPLICATION SOURCE TO {1} FOR CHANNEL '{0}'; START REPLICA FOR CHANNEL '{0}'"
        here += ", source_auto_position=1, get_source_public_key=1"
        pair.replica.sql("STOP REPLICA; RESET REPLICA ALL")
    try:
        for channel, source in (("", away), ("b", here)):
            pair.replica.sql(there.format(channel, source, channel))
        pair.runs("Connecting", "Yes")
        pair.runs("Yes", "Yes", channel="b")
        pair.hang(5)
        done = Bench(tmp_path, pair).task(mode="workers", workers=3, timeout="1s")
        assert "STOP" in done["reason"]
        assert "'b'" in done["reason"].partition(" did not end")[0], "the first was through"
        assert (
            "what ran runs again: of channel '' IO runs, SQL runs; of channel 'b' IO runs, SQL runs"
            in done["reason"]
        )
        pair.runs("Connecting", "Yes")
        pair.runs("Yes", "Yes", channel="b")
        pair.insert(2)
        pair.applied(2)
    finally:
        if pair.mariadb:
            pair.replica.sql("STOP SLAVE 'b'; RESET SLAVE 'b' ALL")


@pytest.mark.soak  # the refusal itself is a unit's test, too
def test_mariadb_gets_no_workers_that_would_pass_by_transactions(
    hosts: None, lab: Lab, tmp_path: Path
) -> None:
    """Stopped by GTID with two domains, then told to apply by position: it remembers where the domains were."""
    pair = pair_of(lab, "mariadb-gtid")
    pair.begin(workers=4)
    pair.duplicate(2)
    pair.primary.sql("SET gtid_domain_id = 7; INSERT INTO shop.kv VALUES (5, 'of the primary')")
    pair.insert(2)
    pair.stopped(1062)
    pair.applied(5)
    done, at = (pair.primary.sql("SHOW MASTER STATUS").split(), pair.primary.sql("SELECT @@gtid_binlog_pos"))
    pair.replica.sql(
        f"STOP SLAVE; SET GLOBAL gtid_slave_pos = '{at}'; SET GLOBAL slave_parallel_threads = 0; CHANGE MASTER TO "
        f"master_use_gtid = no, master_log_file = '{done[0]}', master_log_pos = {done[1]}; START SLAVE"
    )
    number = pair.primary.sql("SELECT @@global.server_id")
    pair.primary.sql("SET GLOBAL server_id = 99")  # as after a switch to another primary
    try:
        bench = Bench(tmp_path, pair)
        refused = bench.task(mode="workers", workers=3)
        assert refused["status"] == "failed"
        assert "applies by position" in refused["reason"]
        assert "2 GTID domains" in refused["reason"]
        pair.insert(6)
        pair.applied(6)
        # Why: with workers, the next row never comes, and no error is told.
        workers = "STOP SLAVE; SET GLOBAL slave_parallel_threads = {}; START SLAVE"
        pair.replica.sql(workers.format(3))
        pair.insert(7)
        end = pair.primary.sql("SHOW MASTER STATUS").split()[1]
        until = time.monotonic() + 20
        while (seen := pair.status())["Read_Master_Log_Pos"] != end or "has read all" not in seen["Slave_SQL_State"]:
            assert time.monotonic() < until, seen
            time.sleep(0.2)
        time.sleep(1)
        assert 7 not in pair.notes()
        assert pair.error() == 0
        pair.replica.sql(workers.format(0))
        # By GTID, as the refusal advises, it is forgotten.
        pair.replica.sql("STOP SLAVE; CHANGE MASTER TO master_use_gtid = slave_pos; START SLAVE")
        pair.applied(7)
        assert bench.task(mode="workers", workers=3)["status"] == "changed"
        pair.insert(8)
        pair.applied(8)
    finally:
        pair.primary.sql(f"SET GLOBAL server_id = {number}")


def test_the_primary_tells_who_follows(bench: Bench) -> None:
    pair = bench.pair
    told = bench.task(mode="getprimary", on=pair.primary.host)["result"]
    assert told["is_primary"]
    assert told["file"].startswith("binlog.")
    assert bool(told["gtid"]) == (pair.gtid or pair.mariadb)
    assert [each["host"] for each in told["replicas"]] == [pair.replica.host]
    assert bench.task(on=pair.primary.host)["result"]["is_replica"] is False
    refused = bench.task(on=pair.primary.host, mode="startreplica")
    assert "the server is no replica" in refused["reason"]


def test_the_faults_break_a_replica_and_take_themselves_back(bench: Bench) -> None:
    pair = bench.pair
    first, second = pair.primary.host, pair.replica.host

    def fault(host: str, module: str, arguments: str) -> str:
        done = bench.operator.here("run", host, "-m", module, "-a", arguments, "--yes")
        return str(done.report["tasks"][0]["status"] + ": " + done.report["tasks"][0]["reason"])

    assert fault(first, "fault_mysql_replica", "what=stopped") == "failed: the server is no replica"
    assert fault(first, "fault_mysql_writes", "insert=1").startswith("changed")
    assert fault(second, "fault_mysql_replica", "id=7").startswith("changed")
    assert fault(second, "fault_mysql_replica", "id=7") == "ok: it is broken already"
    assert fault(first, "fault_mysql_writes", "insert=1,7").startswith("changed")
    pair.stopped(1062)
    assert fault(second, "fault_mysql_replica", "id=7 state=absent").startswith("changed")
    assert fault(second, "fault_mysql_replica", "what=stopped state=absent").startswith("changed")
    there = "SELECT note FROM remedy_drill_writes.kv WHERE id = 7"
    pair.replica.until(there, "remedy-drill: the primary")
    assert fault(second, "fault_mysql_replica", "what=stopped").startswith("changed")
    assert bench.task()["result"]["channels"][0]["held_up_by"] == "stopped"
    assert fault(second, "fault_mysql_replica", "what=stopped state=absent").startswith("changed")
    assert fault(first, "fault_mysql_writes", "state=absent").startswith("changed")
    pair.replica.until("SHOW DATABASES LIKE 'remedy%'", "")


def ids(done: Result, resolved: bool | None = None) -> list[str]:
    found = done.report["findings"]
    return [each["id"] for each in found if resolved is None or each["resolved"] is resolved]


def test_the_runbook_finds_nothing_on_a_healthy_pair(bench: Bench) -> None:
    done = bench.book()
    assert (done.code, done.report["findings"], done.report["changes"]) == (0, [], [])


def test_the_runbook_skips_only_what_is_listed_and_once(bench: Bench) -> None:
    pair = bench.pair
    pair.duplicate(2)
    pair.insert(2, 3)
    pair.stopped(1062)
    told = bench.book()
    assert (told.code, ids(told)) == (2, ["replication-broken"])
    assert "mysql_skip_errors: [1062]" in told.report["findings"][0]["advice"]
    assert told.report["changes"] == []
    assert bench.book(mysql_skip_errors=[1032]).code == 2
    assert pair.error() == 1062
    wrong = bench.book(mysql_skip_errors=[1146])
    assert wrong.code == 2
    assert "a list of 1062 and 1032" in json.dumps(wrong.report)
    night = bench.operator.scheduled("mysql-replication", pair.replica.host, mysql_skip_errors=[1062])
    assert (night.code, night.report["changes"], pair.error()) == (3, [], 1062)
    assert "what is marked ! never runs unattended" in night.stderr
    done = bench.book(mysql_skip_errors=[1062])
    assert (done.code, ids(done, resolved=True)) == (0, ["replication-broken"]), problems(done)
    assert len(done.report["changes"]) == 1
    assert "Duplicate entry" in json.dumps(done.report["changes"][0]["before"])
    assert pair.notes() == {1: "x", 2: "of the replica", 3: "of the primary"}
    again = bench.book(mysql_skip_errors=[1062])
    assert (again.code, again.report["changes"], again.report["findings"]) == (0, [], [])


def test_the_runbook_starts_what_is_stopped(bench: Bench) -> None:
    bench.pair.replica.sql("STOP SLAVE" if bench.pair.mariadb else "STOP REPLICA")
    left = bench.book(mysql_start_replica=False)
    assert (left.code, ids(left)) == (2, ["replication-stopped"])
    done = bench.book()
    assert (done.code, ids(done, resolved=True)) == (0, ["replication-stopped"]), problems(done)
    assert bench.book().report["changes"] == []


@pytest.mark.parametrize(
    "bench",
    [pytest.param(kind, marks=() if kind == "mariadb-positions" else pytest.mark.soak) for kind in KINDS],
    indirect=True,
)
def test_the_lag_from_load_falls_once_there_are_workers(bench: Bench) -> None:
    pair = bench.pair
    pair.load(transactions=800, milliseconds=50)
    pair.late(4)
    began = time.monotonic()
    done = bench.book(mysql_lag_limit=3, mysql_lag_deadline=60)
    took = time.monotonic() - began
    assert (done.code, ids(done, resolved=True)) == (0, ["replication-lag"]), problems(done)
    # One worker would have had 30 of its 40 s to go.
    assert took < 24
    name = "slave_parallel_threads" if pair.mariadb else "replica_parallel_workers"
    assert pair.replica.sql(f"SELECT @@global.{name}") == "4"
    kept = pair.replica.lab.run(
        pair.replica.host,
        ["sh", "-c", "cat /etc/mysql/mariadb.conf.d/zz-remedy.cnf /var/lib/mysql/mysqld-auto.cnf"],
        ok=None,
    ).stdout
    assert name in kept
    again = bench.book(mysql_lag_limit=3)
    assert (again.code, again.report["changes"]) == (0, [])


def test_a_receiving_thread_that_has_given_up_is_started(hosts: None, lab: Lab, tmp_path: Path) -> None:
    """MySQL stops it after as many tries as it is told."""
    pair = pair_of(lab, "mysql-positions")
    pair.begin()
    pair.replica.sql("STOP REPLICA; CHANGE REPLICATION SOURCE TO source_retry_count = 2; START REPLICA")
    bench = Bench(tmp_path, pair)
    pair.primary.lab.run(pair.primary.host, ["systemctl", "stop", "mysql"])
    try:
        status = "SELECT service_state FROM performance_schema.replication_connection_status"
        pair.replica.until(status, "OFF", 60)
    finally:
        pair.primary.lab.run(pair.primary.host, ["systemctl", "start", "mysql"])
    back = bench.book("-l", pair.replica.host)
    assert back.code == 0, problems(back)
    assert [each["task"] for each in back.report["changes"]] == ["Start the receiving thread that gave up"]
    pair.insert(2)
    pair.applied(2)


def test_a_source_that_is_gone_and_one_that_has_lost_what_is_needed_are_told_apart(bench: Bench) -> None:
    pair = bench.pair
    pair.primary.lab.run(pair.primary.host, ["systemctl", "stop", "mariadb" if pair.mariadb else "mysql"])
    try:
        pair.replica.until(IO_ERROR[pair.mariadb], "2003", 40)
        done = bench.book("-l", pair.replica.host, mysql_reconnect_replica=False)
        assert (done.code, ids(done)) == (2, ["replication-disconnected"])
        assert "the source does not answer" in done.report["findings"][0]["advice"]
    finally:
        pair.primary.lab.run(
            pair.primary.host, ["systemctl", "start", "mariadb" if pair.mariadb else "mysql"]
        )
    back = bench.book("-l", pair.replica.host)
    assert back.code == 0, problems(back)
    # The source loses what the replica has not fetched.
    slave = "SLAVE" if pair.mariadb else "REPLICA"
    pair.replica.sql(f"STOP {slave}")
    pair.insert(2)
    for reader in pair.primary.sql(
        READERS
    ).split():  # one that is not known to be gone yet keeps what it reads
        pair.primary.sql(f"KILL {reader}")
    pair.primary.until(READERS, "")
    pair.primary.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS")
    last = pair.primary.sql("SHOW BINARY LOGS").splitlines()[-1].split()[0]
    purge = f"PURGE BINARY LOGS TO '{last}'; SHOW BINARY LOGS"
    until = time.monotonic() + 10
    while len(pair.primary.sql(purge).splitlines()) > 1:  # MariaDB leaves what InnoDB has not written out yet
        assert time.monotonic() < until
        time.sleep(0.2)
    done = bench.book()
    assert done.code == 2, problems(done)
    assert "build the replica anew" in bench.book(command="diagnose").report["findings"][0]["advice"]


def test_what_would_be_skipped_later_is_said_not_to_be_known(hosts: None, lab: Lab, tmp_path: Path) -> None:
    """Each of several skips was shown as the first one: three times the same, and never those that follow it."""
    pair = pair_of(lab, "mariadb-gtid")
    pair.begin()
    pair.duplicate(2, 3)
    pair.insert(2, 3)
    pair.stopped(1062)
    several = json.dumps({"mysql_skip_errors": [1062], "mysql_skip_most": 3})
    asked = Bench(tmp_path, pair).operator.here(
        "play", "mysql-replication", "-l", pair.replica.host, "-e", several
    )
    assert asked.code == 3
    assert "would destroy 1 item and perhaps more: 2 steps that nobody can tell before" in asked.stderr
    assert asked.stderr.count("destroy replicated transaction") == 1
    assert "the next that fails with a listed error: which one that is shows only then" in asked.stderr
    assert pair.error() == 1062
