"""mysql-slow, mysql_query, mysql_index and mysql_digest on a real MariaDB."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from tests.acceptance.healing import why
from tests.conftest_lab import HostFactory
from tests.modules.mariadb import spec
from tests.services_lab.mysql_bench import OPTION_FILE, Bench, changes, row

pytestmark = pytest.mark.lab

NOW = ("-e", "mysql_long=1s")
EVENTS = "remedy_drill_slow.events"
SCHEMA = "performance_schema"


@pytest.fixture(scope="module")
def host(lab: Lab, host_factory: HostFactory) -> str:
    made = spec("db1")
    host_factory(made.name, role=made.role, disks=made.disks)
    return made.name


@pytest.fixture(scope="module")
def shared(host: str, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A server for what leaves it as it was."""
    bench = Bench(tmp_path_factory.mktemp("bench"), lab, host)
    bench.db.begin()
    return bench


@pytest.fixture
def bench(shared: Bench, lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    """The same one, with nothing of the faults left afterwards."""
    bench = Bench(tmp_path, lab, shared.name)
    yield bench
    bench.fault("fault_mysql_slow", state="absent")
    bench.db.shell(f"rm -f {OPTION_FILE} /etc/mysql/mariadb.conf.d/70-*.cnf")
    bench.db.sql("SET GLOBAL slow_query_log = 0; SET GLOBAL long_query_time = 10")


def finding(done: Any, id: str) -> dict[str, Any]:
    return next(each for each in done.report["findings"] if each["id"] == id)


def query(bench: Bench, query: Any, **params: Any) -> dict[str, Any]:
    return bench.task("mysql_query", query=query, **params)


def test_the_slow_log_goes_on_and_only_chosen_statements_end(bench: Bench) -> None:
    bench.fault("fault_mysql_slow", statements=3)
    seen = "mariadb -NBe 'SHOW PROCESSLIST' | awk '$5 == \"Query\" && $6 > 1 && /SLEEP.40/' | grep -q ."
    bench.db.shell("setsid mariadb shop -e 'SELECT SLEEP(40)' > /dev/null 2>&1 < /dev/null & "
                   f"until {seen}; do sleep .05; done")  # fmt: skip
    found = bench.diagnose("mysql-slow", *NOW)
    assert set(found) == {"mysql-long-queries", "mysql-missing-index", "mysql-slow-log-off"}
    assert found["mysql-long-queries"]["title"].startswith("4 statements run for 1s and longer")
    scan = found["mysql-missing-index"]["evidence"][0]
    assert (scan["db"], scan["table"], scan["columns"]) == ("remedy_drill_slow", "events", ["customer"])
    assert (
        "CREATE INDEX `events_customer` ON `remedy_drill_slow`.`events` (`customer`)"
        in found["mysql-missing-index"]["advice"]
    )
    assert "performance_schema is off" in found["mysql-slow-log-off"]["evidence"]["digests"]

    done = bench.runbook(
        "mysql-slow", *NOW, "-e", json.dumps({"mysql_kill": {"users": ["remedy_drill_slow"]}})
    )
    ended = row(done, "End the statements that were chosen")["result"]["sessions"]
    assert [each["user"] for each in ended] == ["remedy_drill_slow"] * 3
    assert "SLEEP(40)" in bench.db.sql("SHOW PROCESSLIST"), "nobody chose it"
    # That nobody runs them any more does not make an index.
    assert not finding(done, "mysql-missing-index")["resolved"]
    assert done.code == 2
    assert "mysql_kill chooses those to end" in row(done, "None does")["reason"]
    assert bench.db.sql("SELECT @@GLOBAL.slow_query_log, @@GLOBAL.long_query_time").split() == [
        "1",
        "1.000000",
    ]

    # Criteria that nothing matches end nothing.
    other = json.dumps({"mysql_kill": {"query": "no such statement", "users": ["root"]}})
    assert bench.runbook("mysql-slow", *NOW, "-e", other).code == 2
    slip = bench.runbook("mysql-slow", *NOW, "-e", json.dumps({"mysql_kill": {"user": ["root"]}}))
    assert slip.code == 2
    assert "criteria: 'user' is none" in row(slip, "End the statements that were chosen")["reason"]
    assert "SLEEP(40)" in bench.db.sql("SHOW PROCESSLIST")
    last = bench.runbook("mysql-slow", *NOW, "-e", json.dumps({"mysql_kill": {"query": "SLEEP.40"}}))
    assert last.code == 0, why(last)
    bench.restart()
    assert bench.db.sql("SELECT @@GLOBAL.slow_query_log, @@GLOBAL.long_query_time").split() == [
        "1",
        "1.000000",
    ]
    assert changes(bench.runbook("mysql-slow", *NOW)) == []


def slow(bench: Bench) -> None:
    """Let two statements run, and be as old as what is looked for."""
    bench.fault("fault_mysql_slow", statements=2)
    time.sleep(1.2)


def test_a_missing_index_is_resolved_when_the_plan_uses_one(bench: Bench) -> None:
    slow(bench)
    chosen = {"mysql_kill": {"users": ["remedy_drill_slow"]}, "mysql_index_table": EVENTS}
    # An index that is there, and does not serve the statements, is no cure.
    done = bench.runbook("mysql-slow", *NOW, "-e", json.dumps({**chosen, "mysql_index_columns": ["note(5)"]}))
    assert done.code == 0, why(done)
    assert not finding(done, "mysql-missing-index")["resolved"]
    assert finding(done, "mysql-long-queries")["resolved"]
    bench.fault("fault_mysql_slow", state="absent")
    slow(bench)
    done = bench.runbook("mysql-slow", *NOW, "-e", json.dumps({**chosen, "mysql_index_columns": ["customer"]}))
    assert done.code == 0, why(done)
    assert finding(done, "mysql-missing-index")["resolved"]
    shown = bench.db.sql(f"SHOW INDEX FROM {EVENTS} WHERE Key_name = 'events_customer'")
    assert shown.split("\t")[4] == "customer"


def test_an_index_that_is_named_is_made_on_a_quiet_server_and_once(bench: Bench) -> None:
    bench.db.sql("CREATE OR REPLACE TABLE shop.sold (id INT PRIMARY KEY, customer INT, made DATE)")
    named = {"mysql_index_table": "shop.sold", "mysql_index_columns": ["customer", "made"]}
    flags = ("-e", json.dumps(named))
    found = bench.diagnose("mysql-slow", *flags)
    assert set(found) == {"mysql-named-index"}
    assert found["mysql-named-index"]["title"] == "shop.sold has no index on customer, made"
    done = bench.runbook("mysql-slow", *flags)
    assert done.code == 0, why(done)
    assert changes(done) == [("Create the index that was named", "mysql:index:shop.sold.sold_customer_made")]
    assert finding(done, "mysql-named-index")["resolved"]
    shown = bench.db.sql("SHOW INDEX FROM shop.sold WHERE Key_name = 'sold_customer_made'")
    assert [line.split("\t")[4] for line in shown.splitlines()] == ["customer", "made"]
    again = bench.runbook("mysql-slow", *flags)
    assert (again.code, again.report["findings"], changes(again)) == (0, [], [])
    # Another index that begins with those columns serves as well.
    fewer = bench.runbook("mysql-slow", "-e", json.dumps({**named, "mysql_index_columns": ["customer"]}))
    assert (fewer.code, fewer.report["findings"], changes(fewer)) == (0, [], [])


@pytest.mark.parametrize(
    ("named", "text"),
    [
        ({"mysql_index_table": "shop.nowhere", "mysql_index_columns": ["id"]}, "there is no table shop.nowhere"),
        ({"mysql_index_table": "shop.kv"}, "table needs columns"),
        ({"mysql_index_table": "shop.kv; DROP", "mysql_index_columns": ["id"]}, "expected TABLE or DB.TABLE"),
    ],
)
def test_an_index_that_cannot_be_made_is_told_before_anything_is_done(
    bench: Bench, named: dict[str, Any], text: str
) -> None:
    done = bench.runbook("mysql-slow", "-e", json.dumps(named))
    assert (done.code, changes(done)) == (2, [])
    assert text in why(done)


def test_what_is_stuck_by_the_operators_own_question(bench: Bench) -> None:
    bench.db.sql("CREATE OR REPLACE TABLE shop.report_tasks (id INT PRIMARY KEY, state TEXT); "
                 "INSERT INTO shop.report_tasks VALUES (1, 'running'), (2, 'done')")  # fmt: skip
    asked = [{"name": "report_tasks", "db": "shop", "query": "SELECT id FROM report_tasks WHERE state = 'running'"},
             {"name": "nothing", "query": "SELECT 1 FROM shop.report_tasks WHERE id > 9"},
             {"name": "wrong", "query": "SELECT 1 FROM shop.nowhere"}]  # fmt: skip
    found = bench.diagnose("mysql-slow", "-e", json.dumps({"mysql_stuck": asked}))
    assert set(found) == {"mysql-stuck", "mysql-stuck-unknown"}
    assert found["mysql-stuck"]["title"] == "report_tasks: stuck"
    assert found["mysql-stuck"]["evidence"] == [[[{"id": 1}]]]
    assert "shop.nowhere' doesn't exist" in str(found["mysql-stuck-unknown"]["evidence"])
    asked = [{"name": "worse", "query": "DELETE FROM shop.report_tasks"}]
    worse = bench.operator.here("diagnose", "mysql-slow", "-e", json.dumps({"mysql_stuck": asked}))
    assert worse.code == 2
    assert "with reads: true it takes one SELECT" in worse.tasks()["What is stuck"]["reason"]
    assert bench.db.sql("SELECT COUNT(*) FROM shop.report_tasks") == "2"


def test_an_index_is_created_online_once_and_can_be_taken_back(bench: Bench) -> None:
    bench.fault("fault_mysql_slow", statements=1)
    lock = bench.task("mysql_index", table=EVENTS, columns=["customer"], lock_wait=1)
    assert lock["status"] == "failed"
    assert "the table's lock was not to be had within 1 s" in lock["reason"]
    late = bench.task("mysql_index", table=EVENTS, columns=["customer"], lock_wait=30, deadline=1)
    assert late["reason"].endswith("was ended by KILL QUERY: it did not end within 1 s")
    assert "CREATE INDEX" not in bench.db.sql("SHOW PROCESSLIST")
    running = "SELECT id FROM information_schema.processlist WHERE user = 'remedy_drill_slow'"
    bench.db.sql("KILL " + bench.db.sql(running))
    index = {"mysql_index": {"table": EVENTS, "columns": ["customer", "note(5)"]}}
    done = bench.report(index)
    assert done["tasks"][0]["status"] == "changed", done["tasks"][0]["reason"]
    assert done["changes"][0]["object"] == "mysql:index:remedy_drill_slow.events.events_customer_note"
    shown = bench.db.sql(f"SHOW INDEX FROM {EVENTS} WHERE Key_name = 'events_customer_note'")
    assert [line.split("\t")[4] for line in shown.splitlines()] == ["customer", "note"]
    again = bench.tasks(index)[0]
    assert (again["status"], "begins with customer, note(5) already" in again["reason"]) == ("ok", True)
    shorter = bench.task("mysql_index", table=EVENTS, columns=["customer"])
    assert shorter["reason"] == "the index events_customer_note begins with customer already"
    taken = bench.task("mysql_index", table=EVENTS, columns=["id"], name="events_customer_note")
    assert "has an index events_customer_note on customer, note(5)" in taken["reason"]
    assert bench.operator.here("rollback", done["run"]["id"], "--yes").code == 0
    assert bench.db.sql(f"SHOW INDEX FROM {EVENTS} WHERE Key_name = 'events_customer_note'") == ""
    nowhere = bench.task("mysql_index", table="shop.nothing", columns=["id"])
    assert "there is no table shop.nothing" in nowhere["reason"]


def test_statements_are_asked_with_arguments_alone_or_together(bench: Bench) -> None:
    bench.db.sql("CREATE OR REPLACE TABLE shop.notes (id INT PRIMARY KEY, note TEXT) ENGINE=InnoDB")
    insert = "INSERT INTO notes VALUES (%s, %s)"
    tricky = 'it\'s "100%"; DROP TABLE notes -- '
    done = query(bench, insert, positional_args=[1, tricky], login_db="shop")
    assert (done["status"], done["result"]["rowcount"]) == ("changed", [1])
    read = query(bench, "SELECT note, 2.50 AS price FROM shop.notes WHERE id = %(id)s", named_args={"id": 1})
    assert read["status"] == "ok"
    assert read["result"]["query_result"] == [[{"note": tricky, "price": 2.5}]]
    both = ["INSERT INTO shop.notes VALUES (2, 'b')", "INSERT INTO shop.notes VALUES (2, 'c')"]
    failed = query(bench, both, single_transaction=True)
    assert "Duplicate entry '2'" in failed["reason"]
    assert bench.db.sql("SELECT COUNT(*) FROM shop.notes") == "1"
    assert bench.task("mysql_query", "--check", query=both)["status"] == "skipped"
    # Whatever it is, what only reads cannot write.
    sly_body = "DELIMITER //\nCREATE OR REPLACE FUNCTION shop.sly() RETURNS INT DETERMINISTIC "
    sly_body += "BEGIN INSERT INTO shop.notes VALUES (9, 'sly'); RETURN 1; END//\n"
    bench.db.lab.run(bench.name, ["mariadb"], stdin=sly_body.encode())
    sly = query(bench, "SELECT shop.sly()", reads=True)
    assert "READ ONLY transaction" in sly["reason"]
    assert bench.db.sql("SELECT COUNT(*) FROM shop.notes WHERE id = 9") == "0"
    slow = query(bench, "SELECT COUNT(*) FROM information_schema.tables WHERE NOT SLEEP(30)", timeout=1)
    assert "no answer within 1 s" in slow["reason"]
    assert "it was ended (KILL " in slow["reason"]


def test_digests_tell_what_costs_most(bench: Bench) -> None:
    off = bench.task("mysql_digest")["result"]
    assert (off["enabled"], off["statements"]) == (False, [])
    bench.db.shell(f"printf '[mysqld]\\n{SCHEMA} = ON\\n' > /etc/mysql/mariadb.conf.d/70-schema.cnf")
    bench.restart()
    bench.db.sql(f"UPDATE {SCHEMA}.setup_consumers SET enabled = 'YES'")
    bench.db.sql("SELECT COUNT(*) FROM shop.kv WHERE note = 'x' AND 0 = SLEEP(0.2)")
    found = bench.task("mysql_digest", average=0.1)["result"]
    assert found["enabled"]
    (scan,) = [each for each in found["full_scans"] if "`kv`" in each["statement"]]
    assert (scan["calls"], scan["without_index"]) == (1, 1)
    assert 0.2 <= scan["average"] < 5
    assert bench.task("mysql_digest", db="nowhere")["result"]["statements"] == []


def test_faults_leave_nothing_behind(bench: Bench) -> None:
    faults = ("fault_mysql_connections", "fault_mysql_slow", "fault_mysql_errors")
    for module in faults:
        bench.fault(module, **({"sessions": 3, "transaction": True} if module == faults[0] else {}))
        assert bench.task(module, **({"sessions": 3} if module == faults[0] else {}))["status"] == "ok"
    for module in faults:
        bench.fault(module, state="absent")
        assert bench.task(module, state="absent")["status"] == "ok"
    there = "SELECT COUNT(*) FROM {} WHERE {} LIKE 'remedy_drill%'"
    assert bench.db.sql(there.format("mysql.user", "user")) == "0"
    assert bench.db.sql(there.format("information_schema.schemata", "schema_name")) == "0"
    assert bench.db.sql(there.format("information_schema.processlist", "user")) == "0"
    assert bench.db.shell("ls -d /run/remedy-drill* 2> /dev/null; systemctl list-units -q --all 'remedy-drill*'") == ""


def test_what_a_session_keeps_ends_with_its_task(bench: Bench) -> None:
    """Tasks share a session, and must not see of each other what they would not see in sessions of their own."""
    bench.db.sql("CREATE OR REPLACE TABLE shop.left_open (id INT PRIMARY KEY) ENGINE=InnoDB")
    bench.db.sql("CREATE OR REPLACE TABLE shop.kept (id INT PRIMARY KEY) ENGINE=InnoDB")
    done = bench.tasks(
        {"mysql_query": {"query": "INSERT INTO kept VALUES (1)", "login_db": "shop"}},
        {"mysql_query": {"query": "DELETE FROM kept"}, "ignore_errors": True},
        {"mysql_query": {"query": ["BEGIN", "INSERT INTO shop.left_open VALUES (1)"]}},
        {"mysql_query": {"query": "INSERT INTO shop.kept VALUES (2)"}},
        {"mysql_query": {"query": "SET sql_mode = 'ANSI_QUOTES', @mine = 7"}},
        {"mysql_query": {"query": "SELECT @@SESSION.sql_mode AS mode, @mine AS mine"}},
    )
    assert "No database selected" in done[1]["reason"]
    assert [each["status"] for each in done] == ["changed", "failed", "changed", "changed", "changed", "ok"]
    [[told]] = done[5]["result"]["query_result"]
    assert "ANSI_QUOTES" not in told["mode"]
    assert told["mine"] is None
    assert bench.db.sql("SELECT COUNT(*) FROM shop.left_open") == "0"
    assert bench.db.sql("SELECT COUNT(*) FROM shop.kept") == "2"
