"""mysql-connections, -slow and -errors on a real MySQL 9: what it keeps itself, its admin port, its counters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from remedy.lab import Lab
from tests.acceptance.healing import why
from tests.conftest_lab import HostFactory
from tests.services_lab.mysql_bench import Bench, MySQL, changes, row

pytestmark = pytest.mark.lab

SOON = ("-e", "mysql_idle=0s")
PERSISTED = "SELECT variable_name, variable_value FROM performance_schema.persisted_variables ORDER BY 1"
NAMES = ("max_connections", "wait_timeout", "interactive_timeout")


class NewBench(Bench):
    """One MySQL 9."""

    unit = "mysql"

    def __init__(self, folder: Path, lab: Lab, name: str) -> None:
        super().__init__(folder, lab, name)
        self.db = MySQL(lab, name)


@pytest.fixture(scope="module")
def host(lab: Lab, host_factory: HostFactory) -> str:
    host_factory("my1", role="mysql")
    return "my1"


@pytest.fixture
def bench(host: str, lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    bench = NewBench(tmp_path, lab, host)
    lab.run(host, ["systemctl", "start", "mysql"])
    yield bench
    bench.fault("fault_mysql_connections", name="pool", state="absent")
    bench.fault("fault_mysql_slow", state="absent")
    bench.db.sql("RESET PERSIST; SET GLOBAL max_connections = 151; SET GLOBAL wait_timeout = 28800; "
                 "SET GLOBAL interactive_timeout = 28800; SET GLOBAL slow_query_log = 0; "
                 "SET GLOBAL long_query_time = 10")  # fmt: skip


def test_it_gets_in_frees_raises_and_the_server_keeps_it(bench: Bench) -> None:
    bench.fault("fault_mysql_connections", name="pool", transaction=False)
    done = bench.runbook("mysql-connections", *SOON)
    assert done.code == 0, why(done)
    assert "mysql-connections" in {each["id"] for each in done.report["findings"]}
    assert bench.db.sql(PERSISTED).split() == [
        *("interactive_timeout", "600", "max_connections", "230", "wait_timeout", "600")
    ]
    assert changes(bench.runbook("mysql-connections", *SOON)) == []
    bench.restart()
    assert [bench.variable(name) for name in NAMES] == ["230", "600", "600"]
    back = bench.operator.here("rollback", done.report["run"]["id"], "--yes")
    assert back.code == 0, (back.stdout, back.stderr)
    assert [bench.variable(name) for name in NAMES] == ["151", "28800", "28800"]
    assert bench.db.sql(PERSISTED) == "", "nothing was persisted before"


def test_a_run_takes_one_session_and_a_second_only_where_it_must(bench: Bench) -> None:
    """The guard of what can hang, and the login that proves that there is room."""

    def taken(*words: str) -> int:
        """Return how many connections a command took, beside those that count them."""
        count = "SHOW GLOBAL STATUS LIKE 'Connections'"
        before = int(bench.db.sql(count).split()[1])
        done = bench.operator.here(*words)
        assert done.code in (0, 10), why(done)
        return int(bench.db.sql(count).split()[1]) - before - 1

    for name in ("mysql-connections", "mysql-slow", "mysql-errors"):
        assert taken("diagnose", name) == 1, name
    assert taken("play", "mysql-connections", "--yes") == 2, "one of them is the proof"
    bench.db.sql("CREATE DATABASE counted; CREATE TABLE counted.many (id INT PRIMARY KEY, a INT)")
    create = {"mysql_index": {"table": "counted.many", "columns": ["a"]}}
    book = [{"hosts": bench.name, "gather_facts": False, "tasks": [{"mysql_info": {}}, create, create]}]
    path = bench.operator.write("playbooks/index.yml", json.dumps(book))
    assert taken("play", str(path), "--yes") == 2, "the second task has nothing to do"
    bench.db.sql("DROP DATABASE counted")


def test_what_was_persisted_before_comes_back(bench: Bench) -> None:
    bench.db.sql("SET PERSIST max_connections = 160")
    done = bench.report({"mysql_variables": {"variable": "max_connections", "value": 170, "mode": "persist"}})
    assert bench.db.sql(PERSISTED).split() == ["max_connections", "170"]
    assert bench.operator.here("rollback", done["run"]["id"], "--yes").code == 0
    assert bench.db.sql(PERSISTED).split() == ["max_connections", "160"]
    bench.db.sql("SET GLOBAL max_connections = 155")
    assert bench.diagnose("mysql-connections")["mysql-drift"]["title"] == (
        "the next start changes max_connections from 155 to 160"
    )
    refused = bench.task("mysql_variables", variable="max_connections", value=9500, mode="persist")
    assert "at most 9190" in refused["reason"] or "more than memory allows" in refused["reason"]
    beyond = bench.task("mysql_variables", variable="max_connections", value=100_001, mode="persist")
    assert beyond["reason"] == "max_connections cannot be 100001: expected 1 to 100000; nothing was changed"
    assert bench.db.sql(PERSISTED).split() == ["max_connections", "160"]


def test_it_comes_in_by_the_admin_port(bench: Bench) -> None:
    bench.db.sql(
        "CREATE USER IF NOT EXISTS opera@'%' IDENTIFIED BY 'opera secret'; GRANT ALL ON *.* TO opera@'%'"
    )
    bench.fault("fault_mysql_connections", name="pool", reserved=True)
    login = ("-e", "mysql_login_user=opera", "-e", json.dumps({"mysql_login_password": "opera secret"}))
    found = bench.diagnose("mysql-connections", *SOON, *login)
    assert found["mysql-connections"]["evidence"]["came_in_by"] == "127.0.0.1:33062"
    errors = bench.diagnose("mysql-errors", *login)
    assert set(errors) == {"mysql-error-1040"}
    done = bench.runbook("mysql-connections", *SOON, *login)
    assert done.code == 0, why(done)


def test_by_tls_a_password_is_told_whose_hash_nobody_remembers(bench: Bench, tmp_path: Path) -> None:
    """At another address than the host's own it is not told without: the certificate is the server's own making."""
    bench.db.sql("DROP USER IF EXISTS safe@'%'; CREATE USER safe@'%' IDENTIFIED BY 'safe secret' REQUIRE SSL")
    ca = tmp_path / "ca.pem"
    ca.write_text(bench.db.shell("cat /var/lib/mysql/ca.pem"))
    who = {"query": "SHOW STATUS LIKE 'Ssl_cipher'", "reads": True, "login_host": bench.db.address,
           "login_user": "safe", "login_password": "safe secret"}  # fmt: skip
    refused = bench.task("mysql_query", **who)
    assert "is not proven; it was not sent. Give the server's key" in refused["reason"]
    refused = bench.task("mysql_query", **who, ca_cert=str(ca))
    assert "its certificate is not good" in refused["reason"]
    for _ in range(2):  # with the password itself, then with a hash
        done = bench.task("mysql_query", **who, ca_cert=str(ca), check_hostname=False)
        assert done["status"] == "ok", done["reason"]
        assert done["result"]["query_result"][0][0]["Value"].startswith("TLS_")
    assert "where that is required, set ca_cert" in bench.task("mysql_query", **who)["reason"]


def test_at_its_socket_too_where_nobody_remembers_the_hash(bench: Bench) -> None:
    """There the server wants the password itself, and took the request for a key as a wrong one."""
    bench.db.sql("CREATE USER here@localhost IDENTIFIED WITH caching_sha2_password BY 'here secret'; FLUSH PRIVILEGES")
    try:
        words = {"query": "SELECT CURRENT_USER() AS me", "login_user": "here", "login_password": "here secret"}
        done = bench.task("mysql_query", **words)
        assert done["status"] == "ok", done["reason"]
        assert done["result"]["query_result"] == [[{"me": "here@localhost"}]]
    finally:
        bench.db.sql("DROP USER here@localhost")


def test_slow_statements_by_digest_and_plan(bench: Bench) -> None:
    bench.fault("fault_mysql_slow", statements=2)
    bench.db.sql("SELECT COUNT(*) FROM remedy_drill_slow.events WHERE note = 'x' OR SLEEP(0.001)")
    found = bench.diagnose("mysql-slow", "-e", "mysql_long=1s", "-e", "mysql_average=0.5")
    assert {"mysql-long-queries", "mysql-missing-index", "mysql-slow-log-off"} <= set(found)
    assert "`remedy_drill_slow`.`events` (`customer`)" in found["mysql-missing-index"]["advice"]
    assert "mysql-full-scans" in found
    kill = json.dumps({"mysql_kill": {"users": ["remedy_drill_slow"]}})
    index = (
        "-e",
        "mysql_index_table=remedy_drill_slow.events",
        "-e",
        json.dumps({"mysql_index_columns": ["customer"]}),
    )
    done = bench.runbook("mysql-slow", "-e", "mysql_long=1s", "-e", "mysql_average=0.5", "-e", kill, *index)
    assert done.code == 0, why(done)
    assert row(done, "Create the index that was named")["status"] == "changed"
    assert bench.db.sql("SELECT @@GLOBAL.slow_query_log, @@GLOBAL.long_query_time").split() == [
        "1",
        "1.000000",
    ]
    back = bench.operator.here("rollback", done.report["run"]["id"], "--yes")
    assert back.code == 0, (back.stdout, back.stderr)
    assert bench.db.sql("SHOW INDEX FROM remedy_drill_slow.events WHERE Key_name LIKE 'events%'") == ""


def test_errors_are_counted_by_the_server_itself(bench: Bench) -> None:
    assert bench.diagnose("mysql-errors", "-e", "mysql_errors_since=1s") == {}
    missing = bench.db.lab.inside(bench.name).run(["mysql", "-e", "SELECT 1 FROM mysql.nothing"], ok=None)
    assert "1146" in missing.stderr
    found = bench.diagnose("mysql-errors", "-e", "mysql_errors_since=60s")
    assert "raised" in str(found["mysql-error-1146"]["evidence"]["evidence"])


def test_the_checks_of_a_restore_are_asked_by_an_account_that_only_reads(bench: Bench) -> None:
    sql = "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY); INSERT INTO shop.orders VALUES (1), (2)"
    bench.db.sql(sql)
    path = bench.task("mysql_backup", name="shop")["result"]["path"]
    counts = {"query": "SELECT COUNT(*) FROM orders", "expect": 2}
    for query, said in (
        ("SELECT CURRENT_USER()", "answers remedy_check@localhost, expected 1"),
        ("DELETE FROM orders", "DELETE command denied"),
        ("SELECT COUNT(*) FROM mysql.user", "SELECT command denied"),
    ):
        done = bench.task("mysql_restore", name="shop", backup=path, checks=[counts, {"query": query, "expect": 1}])
        assert said in done["reason"]
    assert bench.task("mysql_restore", name="shop", backup=path, checks=[counts])["status"] == "changed"
    assert bench.db.sql("SELECT COUNT(*) FROM mysql.user WHERE user LIKE 'remedy%'") == "0"
    bench.db.sql("DROP DATABASE shop; DROP DATABASE shop_restored")


def test_the_disaster_drill_brings_everything_back_and_leaves_nothing(bench: Bench) -> None:
    """Backed up, broken, restored beside from the dump and the binary logs, compared, swapped in; and measured."""
    before = bench.db.sql("SHOW DATABASES")
    done = bench.runbook("dr-drill", "-e", "dr_rows=500", "-e", "dr_commits=10")
    assert done.code == 0, why(done)
    assert {each["id"]: each["resolved"] for each in done.report["findings"]} == {"dr-mysql": True}
    rows = [each for each in done.report["tasks"] if each["task"] == "What came back" and each["status"] == "ok"]
    [told] = [each["result"] for each in rows]
    assert (told["lost_rows"], told["lost_seconds"], told["within"]) == (0, 0, True)
    assert 0 < told["seconds"] < 60
    assert bench.db.sql("SHOW DATABASES") == before
    assert bench.db.shell("ls -d /var/backups/remedy-drill 2> /dev/null || true") == ""


def test_what_wants_looking_after(bench: Bench) -> None:
    # The account first: the counters of changes are in memory, and go with what DDL puts out of the server's cache.
    bench.db.sql("CREATE USER care@localhost IDENTIFIED BY 'x1' PASSWORD EXPIRE INTERVAL 5 DAY")
    bench.db.sql("CREATE DATABASE care; CREATE TABLE care.orders (id INT PRIMARY KEY) STATS_AUTO_RECALC=0; "
                 "SET SESSION cte_max_recursion_depth = 20001; INSERT INTO care.orders WITH RECURSIVE n AS "
                 "(SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n")  # fmt: skip
    try:
        done = bench.runbook("maintenance-mysql")
        assert done.code == 0, why(done)
        found = {each["id"]: each for each in done.report["findings"]}
        assert [(each["user"], each["days"]) for each in found["mysql-passwords"]["evidence"]] == [
            ("care", 5)
        ]
        assert [each["tbl"] for each in found["mysql-statistics"]["evidence"]] == ["orders"]
        assert found["mysql-statistics"]["resolved"]
        assert changes(bench.runbook("maintenance-mysql")) == []
    finally:
        bench.db.sql("DROP DATABASE care; DROP USER care@localhost")


def test_a_wrong_password_does_not_lock_an_account_that_three_would_lock(bench: Bench) -> None:
    bench.db.sql(
        "CREATE USER locks@localhost IDENTIFIED BY 'right secret' FAILED_LOGIN_ATTEMPTS 2 PASSWORD_LOCK_TIME UNBOUNDED"
    )
    bench.db.shell("mysql -ulocks -p'right secret' -e 'SELECT 1'")  # from here on the server remembers its hash
    wrong = ("-e", "mysql_login_user=locks", "-e", "mysql_login_password=wrong")
    done = bench.runbook("mysql-connections", *wrong)
    assert done.code == 2
    assert "one attempt was made, and this run makes no other" in row(done, "A new connection succeeds")["reason"]
    login = {"login_user": "locks", "login_password": "right secret"}
    right = bench.task("mysql_query", query="SELECT 1 AS one", **login)
    assert right["status"] == "ok", right["reason"]
    tries = [{"mysql_query": {"query": "SELECT 1", "login_user": "locks", "login_password": each},
              "ignore_errors": True} for each in ("wrong", "also wrong", "right secret", "right secret")]  # fmt: skip
    found = bench.tasks(*tries)
    assert ["(1045)" in found[0]["reason"], *("(3955)" in each["reason"] for each in found[1:])] == [True] * 4
    assert all("one attempt was made" in each["reason"] for each in found)


def test_a_session_that_is_killed_in_the_middle_leaves_the_outcome_open(bench: Bench) -> None:
    bench.db.sql("CREATE DATABASE IF NOT EXISTS shop; CREATE TABLE shop.trace (id SERIAL, n INT)")
    insert = "INSERT INTO shop.trace (n) SELECT 1 FROM (SELECT SLEEP(20)) AS slept"
    kill = (
        "for k in $(seq 400); do id=$(mysql -NBe \"SELECT id FROM performance_schema.processlist WHERE info LIKE "
        "'INSERT INTO shop.trace%' AND time > 0\"); [ -n \"$id\" ] && break; sleep .05; done; mysql -e \"KILL $id\""
    )
    with ThreadPoolExecutor() as pool:
        killing = pool.submit(bench.db.shell, kill)
        (task,) = bench.tasks({"mysql_query": {"query": insert, "timeout": 30}})
        killing.result(60)
    assert task["status"] == "failed"
    assert f"whether it took effect is not known: {insert}" in task["reason"]
    assert bench.db.sql("SELECT COUNT(*) FROM shop.trace") == "0"
