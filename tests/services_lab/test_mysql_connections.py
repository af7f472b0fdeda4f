"""mysql-connections on a real MariaDB whose every connection is taken: in, free, raise, and it outlives a restart."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.lab import Lab
from tests.acceptance.healing import why
from tests.conftest_lab import HostFactory
from tests.modules.mariadb import spec
from tests.services_lab.mysql_bench import OPTION_FILE, Bench, changes, row

pytestmark = pytest.mark.lab

SOON = ("-e", "mysql_idle=0s")
RAISED = "230"
ONCE = "one attempt was made, and this run makes no other"
LOGS_IN = "mariadb -u shop -p'shop secret' -NBe 'SELECT 1'"
# InnoDB shows what it showed before where somebody has looked in the last 0.1 s.
TRANSACTIONS = "DO SLEEP(0.2); SELECT COUNT(*) FROM information_schema.innodb_trx"
EXTRA = "/etc/mysql/mariadb.conf.d/70-extra.cnf"


@pytest.fixture(scope="module")
def host(lab: Lab, host_factory: HostFactory) -> str:
    made = spec("db1")
    host_factory(made.name, role=made.role, disks=made.disks)
    return made.name


@pytest.fixture
def bench(host: str, lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    """A server as it comes from the package, with an application's account."""
    bench = Bench(tmp_path, lab, host)
    bench.db.begin()
    bench.db.sql("CREATE USER shop@localhost IDENTIFIED BY 'shop secret'")
    yield bench
    lab.reset(host)


def denied(bench: Bench) -> int:
    return int(bench.db.sql("SHOW GLOBAL STATUS LIKE 'Access_denied_errors'").split()[1])


def full(bench: Bench, **params: object) -> None:
    bench.fault("fault_mysql_connections", name="pool", **params)


def refused(bench: Bench) -> bool:
    done = bench.db.lab.inside(bench.name).run(["sh", "-c", LOGS_IN], ok=(0, 1))
    return "Too many connections" in done.stderr


def test_with_every_connection_taken_it_gets_in_frees_and_raises(bench: Bench) -> None:
    bench.fault("fault_mysql_connections", name="forgotten", sessions=5, transaction=True, rows=40)
    full(bench)
    assert refused(bench)
    began = time.monotonic()
    with bench.operator.start("play", "mysql-connections", "--yes", *SOON) as process:
        while refused(bench):
            assert time.monotonic() - began < 30
        seconds = time.monotonic() - began
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    report = json.loads(out)
    assert seconds < 30, f"a new ordinary connection succeeded after {seconds:.1f} s, the goal is 10 s"
    found = {each["id"]: each for each in report["findings"]}
    assert found["mysql-connections"]["title"] == "151 of 151 connections are used, and not one is free"
    assert found["mysql-connections"]["evidence"]["by_user"] == {
        "remedy_drill_pool": 146,
        "remedy_drill_forgotten": 5,
    }
    assert found["mysql-connections"]["resolved"]
    title = found["mysql-idle-transactions"]["title"]
    assert title == "5 idle sessions are in a transaction, with 200 changed rows to roll back"
    # Who is in a transaction stays, and is told with what it would cost.
    kept = [each for task in report["tasks"] for each in task["kept"]]
    assert len(kept) == 5
    costs = "with 40 changed rows to roll back: it stays unless in_transaction allows it"
    assert all(costs in each["reason"] for each in kept)
    assert bench.db.sql(TRANSACTIONS) == "5"

    again = bench.runbook("mysql-connections", *SOON)
    assert again.code == 0
    assert changes(again) == []
    bench.restart()
    assert bench.variable("max_connections") == RAISED
    assert bench.variable("wait_timeout") == "600"
    assert changes(bench.runbook("mysql-connections", *SOON)) == []


def test_among_clients_that_come_again_and_again_it_gets_in(bench: Bench) -> None:
    """Each of them has the administrators' session for the moment until it is told that it may not come in."""
    full(bench)
    again = 'for k in 1 2 3 4 5; do while :; do "$@"; done & done; wait'
    # With the TLS that MariaDB 11's client begins by itself, five of them on a busy machine leave hardly a gap.
    client = ("mariadb", "--skip-ssl", "-u", "shop", "-pshop secret", "-NBe", "SELECT 1")
    storm = ("systemd-run", "-q", "--unit=storm", "sh", "-c", again, "sh", *client)
    bench.db.lab.run(bench.name, storm)
    for _ in range(3):
        assert "mysql-locked-out" not in bench.diagnose("mysql-connections")
    done = bench.runbook("mysql-connections", *SOON)
    assert (done.code, {each["id"] for each in done.report["findings"]}) == (0, {"mysql-connections", "mysql-sleepers"})


def test_transactions_end_only_where_the_operator_says_so(bench: Bench) -> None:
    bench.fault("fault_mysql_connections", name="forgotten", sessions=3, transaction=True, rows=40)
    full(bench)
    done = bench.runbook("mysql-connections", *SOON, "-e", "mysql_end_transactions=true")
    assert done.code == 0, why(done)
    ended = row(done, "End idle sessions, the oldest first")["result"]["sessions"]
    assert len(ended) == 151
    assert sum(each["transaction"]["rows_modified"] for each in ended if each["transaction"]) == 120
    assert bench.db.sql(TRANSACTIONS) == "0"
    assert bench.db.sql("SELECT COUNT(*) FROM remedy_drill_forgotten.held") == "0"


def test_what_it_changed_can_be_taken_back(bench: Bench) -> None:
    full(bench)
    assert all(refused(bench) for _ in range(4))
    asked = bench.operator.here("play", "mysql-connections", *SOON)
    assert asked.code == 3
    assert "would destroy 151 sessions on 1 host" in asked.stderr
    assert f"change mysql:max_connections: live 151 -> {RAISED}" in asked.stderr
    assert "change mysql:wait_timeout: " in asked.stderr
    told = next(each for each in asked.report["findings"] if each["id"] == "mysql-connections")["evidence"]
    assert told["refused_since_start"].endswith(" (MariaDB counts some of them with the logins that broke off)")
    least, most = map(int, told["refused_since_start"].split(" (")[0].split(" to "))
    assert least <= 4 <= most
    done = bench.runbook("mysql-connections", *SOON)
    assert done.code == 0, why(done)
    told = row(done, "Raise max_connections")["result"]
    assert (told["live"], told["persistent"], told["drift"]) == (RAISED, RAISED, False)
    assert told["where"].startswith(OPTION_FILE)
    back = bench.operator.here("rollback", done.report["run"]["id"], "--yes")
    assert back.code == 0, (back.stdout, back.stderr)
    assert [bench.variable(name) for name in ("max_connections", "wait_timeout", "interactive_timeout")] == [
        *("151", "28800", "28800")
    ]
    assert bench.db.shell(f"ls {OPTION_FILE} 2>&1 || true").endswith("No such file or directory\n")


def test_the_applications_own_login_is_the_proof_where_it_is_known(bench: Bench) -> None:
    full(bench)
    app = ("-e", "mysql_app_user=shop", "-e", json.dumps({"mysql_app_password": "shop secret"}))
    done = bench.runbook("mysql-connections", *SOON, *app)
    assert row(done, "A new connection succeeds")["result"]["proved"] == (
        "the application's account shop logged in, and was answered"
    )
    assert b"shop secret" not in bench.operator.journal()
    proof = bench.runbook("mysql-connections", *SOON)
    assert "another session of root took an ordinary slot" in json.dumps(
        row(proof, "A new connection succeeds")
    )
    wrong = bench.runbook("mysql-connections", "-e", "mysql_app_user=shop", "-e", "mysql_app_password=wrong")
    assert wrong.code == 2
    assert "Access denied" in row(wrong, "A new connection succeeds")["reason"]
    assert denied(bench) == 1


def test_what_can_hang_is_not_begun_where_no_second_session_gets_in(bench: Bench) -> None:
    """An index and a purge of binary logs are watched from a second session: a slot must be freed for it first."""
    index = {"mysql_index": {"table": "shop.kv", "columns": ["note(5)"]}}
    purge = {"mysql_binlog_purge": {"keep": "1d", "keep_files": 2}}
    bench.db.rotate(4, days_ago=5)
    logs, shown = bench.db.binlogs(), "SHOW INDEX FROM shop.kv WHERE Key_name <> 'PRIMARY'"
    full(bench)
    for task, statement in ((index, "CREATE INDEX"), (purge, "PURGE BINARY LOGS")):
        done = bench.tasks(task)[0]
        assert done["status"] == "failed"
        assert done["reason"].startswith(statement)
        assert "can hang, so it is not begun without a second session, and no connection is free" in done["reason"]
        assert "remedy play mysql-connections on this host first" in done["reason"]
        assert "nothing was changed" in done["reason"]
    assert bench.db.binlogs() == logs
    assert bench.db.sql(shown) == ""
    planned = bench.report(purge, flags=["--check"])
    assert planned["changes"][0]["bytes_freed"] > 0, "a task before it may free a connection"
    freed = bench.runbook("mysql-connections", *SOON)
    assert freed.code == 0, why(freed)
    assert [each["status"] for each in bench.tasks(index, purge)] == ["changed", "changed"]
    assert bench.db.binlogs() == logs[-2:]
    assert bench.db.sql(shown) != ""


def test_where_not_even_an_administrator_gets_in(bench: Bench) -> None:
    """The connection of the longest silent client is ended on the host, only where the operator allows it."""
    full(bench, address="127.0.0.1", reserved=True)
    found = bench.diagnose("mysql-connections", *SOON)
    assert set(found) == {"mysql-locked-out"}
    assert "the session kept for administrators is taken, too" in found["mysql-locked-out"]["evidence"]
    assert "mysql_end_client" in found["mysql-locked-out"]["advice"]
    assert bench.runbook("mysql-connections", *SOON).code == 2
    planned = bench.operator.here(
        "play", "mysql-connections", "--check", *SOON, "-e", "mysql_end_client=true"
    )
    assert {each["id"] for each in planned.report["findings"]} == {"mysql-locked-out"}
    assert [each["object"] for each in planned.report["changes"]] == [
        "idle clients of MySQL (a transaction that is open is rolled back)"
    ]
    assert row(planned, "Get in")["status"] == "unknown"
    assert refused(bench)
    done = bench.runbook("mysql-connections", *SOON, "-e", "mysql_end_client=true")
    assert done.code == 0, why(done)
    (ended,) = row(done, "End the connection of the longest silent client")["result"]["clients"]
    assert ended["client"].startswith("127.0.0.1:")
    assert not refused(bench)
    assert bench.variable("max_connections") == RAISED


def test_who_is_no_administrator_is_told_so_and_nobody_is_ended_for_it(bench: Bench) -> None:
    bench.db.sql("GRANT PROCESS ON *.* TO plain@'%' IDENTIFIED BY 'plain secret'")
    full(bench)
    login = ("-e", json.dumps({"mysql_login_user": "plain", "mysql_login_password": "plain secret"}))
    done = bench.runbook("mysql-connections", *login, *SOON, "-e", "mysql_end_client=true")
    assert (done.code, done.report["changes"]) == (2, [])
    (found,) = done.report["findings"]
    assert (found["id"], found["title"]) == ("mysql-no-slot", "every connection that the account may have is taken")
    assert "plain has neither SUPER nor CONNECTION ADMIN, for which a session is kept" in found["evidence"]
    assert "log in as one with CONNECTION ADMIN or SUPER" in found["advice"]


def test_only_a_client_that_the_server_waits_for_is_ended(bench: Bench) -> None:
    bench.db.sql("GRANT ALL ON *.* TO busy@'%' IDENTIFIED BY 'busy'")
    work = "mariadb -h 127.0.0.1 -u busy -pbusy -e 'SELECT SLEEP(15)'"
    bench.db.shell(f"setsid sh -c \"{work}\" > /dev/null 2>&1 < /dev/null & "
                   "until mariadb -NBe 'SHOW PROCESSLIST' | grep -q SLEEP; do sleep .05; done; sleep 1")  # fmt: skip
    done = bench.task("mysql_idle_client", idle=0, in_transaction=True)
    assert done["status"] == "ok", done["reason"]
    (kept,) = done["kept"]
    assert kept["reason"].startswith("the server is not seen to wait for it")


def test_it_comes_in_by_the_extra_port(bench: Bench) -> None:
    bench.db.shell(f"printf '[mysqld]\\nextra_port = 3399\\nextra_max_connections = 2\\n' > {EXTRA}")
    bench.restart()
    bench.db.sql("GRANT ALL ON *.* TO opera@'%' IDENTIFIED BY 'opera secret'")
    full(bench, reserved=True)
    login = ("-e", "mysql_login_user=opera", "-e", json.dumps({"mysql_login_password": "opera secret"}))
    found = bench.diagnose("mysql-connections", *SOON, *login)
    assert found["mysql-connections"]["evidence"]["came_in_by"] == "127.0.0.1:3399"
    done = bench.runbook("mysql-connections", *SOON, *login)
    assert done.code == 0, why(done)
    assert not refused(bench)


def test_beyond_memory_and_files_it_refuses_with_the_arithmetic(bench: Bench) -> None:
    full(bench)
    far = bench.runbook("mysql-connections", *SOON, "-e", "mysql_max_connections=99000")
    assert far.code == 2
    reason = row(far, "Raise max_connections")["reason"]
    assert "max_connections 99000 is more than memory allows: 99000 connections of " in reason
    assert "at most " in reason
    many = bench.task(
        "mysql_variables", variable="max_connections", value=19_999, mode="persist", memory_share="100%"
    )
    assert "more than" in many["reason"]
    bench.db.shell("mkdir -p /run/systemd/system/mariadb.service.d; systemctl daemon-reload; "
                   "printf '[Service]\\nLimitNOFILE=1000\\n' > /run/systemd/system/mariadb.service.d/few.conf; "
                   "systemctl daemon-reload; systemctl restart mariadb")  # fmt: skip
    files = bench.task("mysql_variables", variable="max_connections", value=600, mode="persist")
    assert files["reason"] == (
        "max_connections 600 is more than the open files allow: 600 and 431 for tables and the server itself are 1031, "
        "and open_files_limit is 1000; at most 569 (LimitNOFILE of its unit, then a restart, raises it); "
        "nothing was changed"
    )
    assert bench.variable("max_connections") == "151"
    assert "max_connections" not in bench.db.shell(f"cat {OPTION_FILE}")


def test_bad_values_change_nothing(bench: Bench) -> None:
    cases = {
        ("max_connections", 5): "max_connections cannot be 5: expected 10 to 100000; nothing was changed",
        ("max_connections", "many"): "cannot be 'many': expected a number from 10 to 100000",
        ("no_such_thing", 5): "has no global variable 'no_such_thing'",
        ("datadir", "/tmp"): "cannot be set while the server runs",
        ("binlog_format", "SOME"): "expected one of MIXED,STATEMENT,ROW",
    }
    for (variable, value), text in cases.items():
        done = bench.task("mysql_variables", variable=variable, value=value, mode="persist")
        assert done["status"] == "failed"
        assert text in done["reason"]
    assert bench.db.shell(f"ls {OPTION_FILE} 2>&1 || true").endswith("No such file or directory\n")


def test_drift_between_live_and_file_is_told_and_put_right(bench: Bench) -> None:
    bench.db.sql("SET GLOBAL wait_timeout = 900")
    bench.db.shell("printf '[mysqld]\\nwait_timeout = 700\\n' > /etc/mysql/mariadb.conf.d/70-other.cnf")
    seen = bench.task("mysql_variables", variable="wait_timeout")["result"]
    assert (seen["live"], seen["persistent"], seen["drift"]) == ("900", "700", True)
    assert seen["where"] == "/etc/mysql/mariadb.conf.d/70-other.cnf:2"
    drift = bench.diagnose("mysql-connections")["mysql-drift"]
    assert drift["title"] == "the next start changes wait_timeout from 900 to 700"
    done = bench.task("mysql_variables", variable="wait_timeout", value=900, mode="persist")
    assert done["status"] == "changed"
    assert bench.task("mysql_variables", variable="wait_timeout", value=900, mode="persist")["status"] == "ok"
    bench.restart()
    assert bench.variable("wait_timeout") == "900"
    # What is read after the drop-in wins: refused, with the place.
    bench.db.shell("printf '[mysqld]\\nwait_timeout = 650\\n' > /etc/mysql/mariadb.conf.d/zzz.cnf")
    late = bench.task("mysql_variables", variable="wait_timeout", value=800, mode="persist")
    assert "/etc/mysql/mariadb.conf.d/zzz.cnf:2 sets wait_timeout=650" in late["reason"]
    assert bench.variable("wait_timeout") == "900"


def test_a_login_that_is_refused_is_tried_once_and_told(bench: Bench) -> None:
    found = bench.diagnose(
        "mysql-connections", "-e", "mysql_login_user=shop", "-e", "mysql_login_password=wrong"
    )
    assert set(found) == {"mysql-unknown"}
    assert "Access denied" in found["mysql-unknown"]["evidence"]
    assert denied(bench) == 1


def test_a_play_with_a_wrong_login_makes_one_attempt_and_another_login_is_another(bench: Bench) -> None:
    before = denied(bench)
    wrong = ("-e", "mysql_login_user=shop", "-e", "mysql_login_password=wrong")
    done = bench.runbook("mysql-connections", *wrong)
    assert done.code == 2, why(done)
    assert row(done, "A new connection succeeds")["status"] == "failed"
    assert ONCE in row(done, "A new connection succeeds")["reason"]
    assert denied(bench) == before + 1
    bench.db.sql("CREATE USER shop@'127.0.0.1' IDENTIFIED BY 'shop secret'")
    book = [
        {"mysql_query": {"query": "SELECT 1", **login}, "ignore_errors": True}
        for login in (
            *[{"login_user": "shop", "login_password": "wrong"}] * 3,
            {"login_user": "shop", "login_password": "wrong", "login_host": "127.0.0.1"},
            {"login_user": "shop", "login_password": "also wrong"},
            {"login_user": "shop", "login_password": "shop secret"},
            {},
        )
    ]
    connect = {"mysql_connect": {"app_user": "shop", "app_password": "wrong"}, "ignore_errors": True}
    found = bench.tasks(*book, connect, connect)
    assert [each["status"] for each in found] == [*["failed"] * 5, "ok", "ok", *["failed"] * 2]
    assert [each["reason"] for each in found if each["status"] == "failed" and ONCE not in each["reason"]] == []
    # wrong by the socket, by the address, and another one.
    assert denied(bench) == before + 4


def test_an_account_that_the_run_mends_is_tried_once_more(bench: Bench) -> None:
    before = denied(bench)
    connect = {"mysql_connect": {"app_user": "shop", "app_password": "new secret"}, "ignore_errors": True}
    other = {"mysql_query": {"query": "UPDATE shop.kv SET note = 'y' WHERE id = 1"}}
    mend = {"mysql_query": {"query": "ALTER USER shop@localhost IDENTIFIED BY 'new secret'"}}
    found = bench.tasks(connect, other, connect, mend, connect)
    assert [each["status"] for each in found] == ["failed", "changed", "failed", "changed", "ok"]
    assert denied(bench) == before + 1


def test_an_account_that_is_locked_is_not_asked_for_again(bench: Bench) -> None:
    bench.db.sql("CREATE USER locked@localhost IDENTIFIED BY 'x' ACCOUNT LOCK")
    before = int(bench.db.sql("SHOW GLOBAL STATUS LIKE 'Connections'").split()[1])
    login = {"query": "SELECT 1", "login_user": "locked", "login_password": "x"}
    found = bench.tasks(*[{"mysql_query": login, "ignore_errors": True}] * 3)
    assert all("this account is locked (4151)" in each["reason"] and ONCE in each["reason"] for each in found)
    after = int(bench.db.sql("SHOW GLOBAL STATUS LIKE 'Connections'").split()[1])
    assert after == before + 2, "the run's, and the client's that counted"


def test_variables_that_make_no_sense_change_nothing(bench: Bench) -> None:
    full(bench)
    for name, value, text in [
        ("mysql_wait_timeout", "soon", "must be whole numbers"),
        ("mysql_max_connections", "-5", "must be whole numbers"),
        ("mysql_connections_limit", "150%", "it must be a percentage"),
        ("mysql_idle", "long", "it must be a duration"),
    ]:
        done = bench.runbook("mysql-connections", *SOON, "-e", f"{name}={value}")
        assert done.code in (2, 5), (name, why(done))
        assert changes(done) == []
        assert text in why(done), why(done)
