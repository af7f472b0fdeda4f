"""maintenance-mysql on a real MariaDB: what it tells, what it does once, and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.lab import Lab
from tests.acceptance.healing import why
from tests.conftest_lab import HostFactory
from tests.modules.mariadb import Database, spec
from tests.services_lab.drilled import drilled, told
from tests.services_lab.mysql_bench import Bench, changes
from tests.services_lab.wrong_variables import all_are_refused

pytestmark = pytest.mark.lab

BOOK = "maintenance-mysql"
STALE = """
USE shop; CREATE OR REPLACE TABLE shop.orders (id INT PRIMARY KEY, note TEXT, KEY (note(9))) STATS_AUTO_RECALC=0;
CREATE OR REPLACE TABLE shop.`odd-name` (id INT PRIMARY KEY) STATS_AUTO_RECALC=0;
INSERT INTO shop.orders SELECT seq, 'book' FROM seq_1_to_20000;
INSERT INTO shop.`odd-name` SELECT seq FROM seq_1_to_20000
"""
MEASURED = (
    "SELECT n_rows FROM mysql.innodb_table_stats WHERE database_name = 'shop' AND table_name = 'orders'"
)


@pytest.fixture(scope="module")
def host(lab: Lab, host_factory: HostFactory) -> str:
    made = spec("dbm")
    host_factory(made.name, role=made.role, disks=made.disks)
    Database(lab, made.name).begin()
    return made.name


@pytest.fixture
def bench(host: str, lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, lab, host)
    yield bench
    bench.fault("fault_mysql_slow", state="absent")
    bench.db.sql("DROP TABLE IF EXISTS shop.orders, shop.`odd-name`; SET GLOBAL default_password_lifetime = 0; "
                 "SET GLOBAL slow_query_log = 0; SET GLOBAL slow_query_log_file = DEFAULT; "
                 "DROP USER IF EXISTS app@localhost, old@localhost, off@localhost, lone@localhost")  # fmt: skip


def test_a_server_that_needs_nothing(bench: Bench) -> None:
    done = bench.runbook(BOOK)
    assert (done.code, done.report["findings"], changes(done)) == (0, [], []), why(done)
    report = bench.operator.here("diagnose", "capacity-report")
    for task in (done.tasks()["How large the databases are"], report.tasks()["Databases of MySQL or MariaDB"]):
        told = task["result"]
        assert {"shop", "mysql"} <= set(told["databases"])
        assert (told["databases"]["mysql"]["size"] > 0, "connections" in told) == (True, False)
        assert told["databases"]["mysql"]["tables"] > 20


def test_variables_that_make_no_sense_change_nothing(bench: Bench) -> None:
    all_are_refused(bench.operator, BOOK, "mysql", ())
    chosen = ("mysql_kill", "mysql_index_table", "mysql_index_columns", "mysql_stuck")  # no numbers: tasks ask them
    all_are_refused(bench.operator, "mysql-slow", "mysql", chosen)


def test_statistics_are_renewed_once_and_an_odd_name_is_told(bench: Bench) -> None:
    bench.db.sql(STALE)
    assert bench.db.sql(MEASURED) == "0"
    done = bench.runbook(BOOK)
    assert done.code == 0, why(done)
    assert bench.db.sql(MEASURED) != "0"
    (told,) = done.report["findings"]
    assert told["id"] == "mysql-statistics"
    assert "odd@002dname" in told["advice"]
    assert "orders" not in told["advice"]
    assert len(changes(done)) == 1
    assert changes(bench.runbook(BOOK)) == []
    assert bench.runbook(BOOK, "-e", "mysql_analyze=false").report["findings"] == []


def test_nothing_is_measured_while_a_statement_runs_for_long(bench: Bench) -> None:
    bench.db.sql(STALE)
    bench.fault("fault_mysql_slow", statements=1)
    bench.db.shell(
        "until mariadb -NBe 'SHOW PROCESSLIST' | awk '$5 == \"Query\" && $6 > 1' | grep -q .; do sleep .1; done"
    )
    done = bench.runbook(BOOK, "-e", "mysql_long=1s")
    assert done.code == 0, why(done)
    assert bench.db.sql(MEASURED) == "0"
    assert [(each["id"], each["resolved"]) for each in done.report["findings"]] == [
        ("mysql-statistics", False)
    ]
    assert changes(done) == []


def test_which_passwords_end(bench: Bench) -> None:
    bench.db.sql(
        "CREATE USER app@localhost IDENTIFIED BY 'x1' PASSWORD EXPIRE NEVER; "
        "CREATE USER off@localhost IDENTIFIED BY 'x3' ACCOUNT LOCK; "
        "CREATE USER old@localhost IDENTIFIED BY 'x2', lone@localhost IDENTIFIED VIA unix_socket; "
        "ALTER USER old@localhost PASSWORD EXPIRE; SET GLOBAL default_password_lifetime = 9"
    )
    found = bench.diagnose(BOOK)["mysql-passwords"]
    told = {
        f"{each['user']}@{each['host']}": (each["must_change"], each["days"]) for each in found["evidence"]
    }
    assert told["old@localhost"][0] == 1
    assert not {"app@localhost", "off@localhost", "lone@localhost"} & set(told)
    assert "old@localhost: the password must be changed" in found["title"]
    assert bench.runbook(BOOK, "-e", "mysql_password_days=3").code == 0
    bench.db.sql("ALTER USER old@localhost PASSWORD EXPIRE INTERVAL 5 DAY; SET GLOBAL default_password_lifetime = 0; "
                 "SET PASSWORD FOR old@localhost = PASSWORD('x4')")  # fmt: skip
    assert "mysql-passwords" not in bench.diagnose(BOOK, "-e", "mysql_password_days=3")
    found = bench.diagnose(BOOK)["mysql-passwords"]
    assert [(each["user"], each["days"]) for each in found["evidence"]] == [("old", 5)]
    assert "x4" not in json.dumps(found)


def test_a_slow_log_in_the_data_folder_is_for_a_person(bench: Bench) -> None:
    bench.db.sql("SET GLOBAL slow_query_log_file = 'big-slow.log'; SET GLOBAL slow_query_log = 1")
    bench.db.shell("yes '# a line' | head -c 3000000 >> /var/lib/mysql/big-slow.log")
    done = bench.runbook(BOOK, "-e", "mysql_slow_log_size=1M")
    assert done.code == 0, why(done)
    (found,) = done.report["findings"]
    assert found["id"] == "mysql-slow-log-large"
    assert "It lies in the data folder" in found["advice"]
    assert changes(done) == []
    assert int(bench.db.shell("stat -c %s /var/lib/mysql/big-slow.log")) >= 3000000
    bench.db.sql("SET GLOBAL slow_query_log = 0; SET GLOBAL slow_query_log_file = DEFAULT")
    bench.db.shell("rm /var/lib/mysql/big-slow.log")


def test_binary_logs_that_a_replica_may_need_stay(bench: Bench) -> None:
    def logs() -> list[str]:
        return [line.split()[0] for line in bench.db.sql("SHOW BINARY LOGS").splitlines()]

    bench.fault("fault_binlogs", size="8M", age="10d")
    try:
        names = logs()
        held = bench.runbook(BOOK, "-e", '{"mysql_replicas": ["127.0.0.1:1"]}')
        assert held.code == 0, why(held)
        (found,) = held.report["findings"]
        assert "127.0.0.1:1 may need them" in found["title"]
        assert logs() == names
        refused = bench.operator.here("play", BOOK)
        assert refused.code == 3, "a purge asks"
        done = bench.runbook(BOOK)
        assert done.code == 0, why(done)
        assert len(logs()) < len(names)
        assert changes(bench.runbook(BOOK)) == []
    finally:
        bench.fault("fault_binlogs", state="absent")


def test_who_is_not_let_in_is_told_and_nothing_fails(bench: Bench) -> None:
    done = bench.operator.here(
        "diagnose", BOOK, "-e", "mysql_login_user=nobody", "-e", "mysql_login_password=wrong"
    )
    assert done.code == 10, why(done)
    assert "Access denied" in str(
        {each["id"]: each for each in done.report["findings"]}["mysql-unknown"]["evidence"]
    )


def test_a_schedule_does_it_by_night_where_it_may(bench: Bench) -> None:
    """The state of the drill; a purge that may end sessions interrupts, too, and D alone is no leave for it."""

    def logs() -> list[str]:
        return [line.split()[0] for line in bench.db.sql("SHOW BINARY LOGS").splitlines()]

    with drilled(bench.operator, BOOK) as drill:
        before = logs()
        for kinds, given, says in (
            (["R"], {}, "destroys binary logs of MySQL  "),
            (["D"], {"binlog_end_writers": True}, "destroys and interrupts binary logs of MySQL "),
        ):
            refused = bench.operator.scheduled(BOOK, bench.name, kinds, **{**drill["vars"], **given})
            assert refused.code == 3, why(refused)
            assert f"its permission is for {kinds[0]} only" in refused.stderr
            assert says in refused.stderr
            assert (" (D R)" in refused.stderr) == bool(given)
            assert changes(refused) == []
            assert logs()[: len(before)] == before
        done = bench.operator.scheduled(BOOK, bench.name, ["D"], **drill["vars"])
        assert done.code == 0, why(done)
        assert told(done) == {name: name not in drill["remain"] for name in drill["expect"]["db1"]}
        assert 0 < len(logs()) < len(before)
        assert [each["kinds"] for each in done.report["run"]["approvals"][0]["steps"]][:1] == [["D"]]
