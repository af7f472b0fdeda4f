"""postgres-connections and postgresql_sessions on a real server: who is ended, who stays, and that clients get in."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from remedy.modules.controller import _pg_sessions
from tests.acceptance.healing import why
from tests.acceptance.operator import Result
from tests.conftest_lab import HostFactory
from tests.services_lab.postgres import DATA, LOG, SETTINGS, UNIT, Bench, Postgres

pytestmark = pytest.mark.lab

SOON = ("-e", "postgres_idle=1s", "-e", "postgres_idle_in_transaction=1s")
FULL = "too many clients already|remaining connection slots are reserved"
ONCE = "one attempt was made, and this run makes no other"
OPEN = "BEGIN; INSERT INTO orders VALUES (7);"


@pytest.fixture(scope="module")
def server(lab: Lab, host_factory: HostFactory) -> Postgres:
    found = Postgres.booted(lab, host_factory)
    found.account()
    found.sql("CREATE TABLE orders (n int); ALTER TABLE orders OWNER TO app", "app")
    return found


@pytest.fixture
def bench(server: Postgres, tmp_path: Path) -> Iterator[Bench]:
    yield Bench(tmp_path, server, drill=True)
    server.sql("ALTER SYSTEM RESET ALL; SELECT pg_reload_conf()")


def play(bench: Bench, *flags: str, command: str = "play") -> Result:
    return bench.operator.here(command, "postgres-connections", *(("--yes",) if command == "play" else ()), *flags)


def refusals(server: Postgres) -> int:
    """Return how often the server's log says that a password was wrong."""
    return int(server.shell(f"grep -c 'password authentication failed for user' {LOG} || true"))


def findings(done: Result) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in done.report["findings"]}


def test_with_every_connection_taken_an_application_gets_in_again(bench: Bench, server: Postgres) -> None:
    app = ("-e", '{"postgres_app_user": "app", "postgres_app_password": "app secret"}')
    with server.held(5, OPEN), server.held(12):
        assert "remaining connection slots are reserved" in server.login()
        time.sleep(1)  # for them to be idle for a second
        found = findings(play(bench, *SOON, command="diagnose"))
        assert found["postgres-connections"]["title"] == "17 of 17 connections are used, and not one is free"
        assert found["postgres-connections"]["evidence"]["by_user"] == {"app": 17}
        assert "5 sessions idle in a transaction" in found["postgres-idle-in-transaction"]["title"]
        assert "5 of them with work to roll back" in found["postgres-idle-in-transaction"]["title"]
        assert "secret" not in str(found)
        began = time.monotonic()
        done = play(bench, *SOON, *app)
        seconds = time.monotonic() - began
        assert done.code == 0, why(done)
        assert seconds < 30
        assert server.login() == "1"
        again = play(bench, *SOON, *app)
        assert (again.code, again.report["changes"]) == (0, [])
    assert server.sql("SHOW idle_in_transaction_session_timeout") == "10min"
    assert server.sql("SELECT count(*) FROM orders", "app") == "0"  # what nobody had committed


def test_a_plan_names_whom_it_would_end_and_what_that_rolls_back(bench: Bench, server: Postgres) -> None:
    with server.held(1, OPEN):
        server.until("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'", "1")
        time.sleep(1)
        done = play(bench, *SOON, "--check")
        refused = bench.operator.here("play", "postgres-connections", *SOON)
        assert refused.code == 3
        (change,) = [each for each in done.report["changes"] if each["module"] == "postgresql_sessions"]
        assert "idle in transaction for" in str(change)
        assert "is rolled back, which has written in the database app (undone at once" in str(change)
        there = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
        assert server.sql(there) == "1"


def test_tables_are_named_and_their_indexes_are_none_of_them(bench: Bench, server: Postgres) -> None:
    server.sql("CREATE TABLE parts (id int PRIMARY KEY, n int UNIQUE); ALTER TABLE parts OWNER TO app", "app")
    with server.held(1, "BEGIN; INSERT INTO parts VALUES (1, 1);") as (pid,):
        server.until("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'", "1")
        params = {"login_db": "app", "pids": [pid]}
        planned = bench.tasks({"postgresql_sessions": params}, flags=("--check",))
        assert ", which has written to parts (undone at once; the work is lost)" in str(planned.report["changes"])
    server.sql("DROP TABLE parts", "app")


def test_the_inventory_names_roles_whose_sessions_stay(bench: Bench, server: Postgres, tmp_path: Path) -> None:
    keeping = Bench(tmp_path / "keeping", server, postgres_keep_users=["app"])
    with server.held(1, OPEN) as (pid,):
        time.sleep(1)
        done = play(keeping, *SOON)
        assert done.code == 0
        (task,) = [each for each in done.report["tasks"] if each["task"].startswith("End forgotten")]
        assert task["kept"] == [{"item": task["kept"][0]["item"], "reason": "sessions of app are kept (keep_users)"}]
        assert server.sql(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") == "1"


def sessions(bench: Bench, **params: Any) -> dict[str, Any]:
    done = bench.one("postgresql_sessions", **params)
    assert done["status"] != "failed", done["reason"]
    return done


def test_superusers_and_what_is_kept_stay(bench: Bench, server: Postgres) -> None:
    server.shell("( (echo 'BEGIN; SELECT 1;'; exec sleep 3600) | exec runuser -u postgres -- psql -qAtX ) "
                 "< /dev/null > /dev/null 2>&1 &")  # fmt: skip
    try:
        server.until("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'", "1")
        with server.held(1, "SET application_name = 'pg_dump'"), server.held(1):
            done = sessions(bench, states=["idle", "idle in transaction"])
            reasons = sorted(each["reason"] for each in done["kept"])
            assert reasons == ["it is a superuser's", "pg_dump is kept (keep_applications)"]
            assert [each["user"] for each in done["result"]["sessions"]] == ["app"]
        with server.held(1):
            done = sessions(bench, users=["app"], keep_users=["app"])
            assert done["status"] == "ok"
            assert done["kept"][0]["reason"] == "sessions of app are kept (keep_users)"
    finally:
        server.shell("pkill -x sleep; true")


def test_a_statement_is_cancelled_and_its_session_goes_on(bench: Bench, server: Postgres) -> None:
    with server.held(1, "SELECT pg_sleep(600);") as (pid,):
        done = sessions(bench, states=["active"], age="0s", users=["app"])
        assert done["result"]["cancelled"] == [pid]
        assert server.sql(f"SELECT state FROM pg_stat_activity WHERE pid = {pid}") == "idle"


def test_who_does_not_heed_the_cancellation_is_ended(bench: Bench, server: Postgres) -> None:
    stubborn = ("DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; "
                "END $$;")  # fmt: skip
    with server.held(1, stubborn) as (pid,):
        done = sessions(bench, states=["active"], pids=[pid], cancel_only=True, grace="1s")
        assert done["status"] == "ok"
        assert "goes on after 1 s" in done["kept"][0]["reason"]
        done = sessions(bench, states=["active"], pids=[pid], grace="1s")
        assert (done["status"], done["result"]["cancelled"]) == ("changed", [])
        assert server.sql(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") == "0"


def test_one_that_has_done_something_since_it_was_found_stays(
    bench: Bench, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = _pg_sessions.clients

    def later(*args: Any, **options: Any) -> list[_pg_sessions.Client]:
        found = look(*args, **options)
        if options.get("pid") is not None:
            for each in found:
                each.row["state_change"] = each.row["now"]
        return found

    with server.held(1) as (pid,):
        monkeypatch.setattr(_pg_sessions, "clients", later)
        done = sessions(bench, pids=[pid])
        assert done["status"] == "ok"
        assert "it has done something since: it is idle for 0 s" in done["kept"][0]["reason"]
        assert server.sql(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") == "1"


def test_an_ending_without_a_criterion_is_bad_input(bench: Bench) -> None:
    for params in ({}, {"query": "("}, {"states": ["sleeping"]}, {"users": ["app"], "limit": 0}):
        done = bench.tasks({"postgresql_sessions": params})
        assert done.code == 5
        assert not done.report.get("changes")


def test_the_limit_is_raised_and_holds_after_the_restart(bench: Bench, server: Postgres) -> None:
    """Nobody is idle for long: only more connections help, and they take a restart, which has to be allowed."""
    with server.held(17):
        # What the check foresees of later steps is only so if the earlier ones do not suffice, and it says so.
        ahead = play(bench, "-e", "postgres_restart=true", "--check")
        assert [each["task"] for each in ahead.report["changes"]] == [
            "Raise max_connections, where ending sessions does not suffice",
            "Restart PostgreSQL, where max_connections was raised",
        ]
        done = play(bench)
        assert done.code == 2
        told = str(done.report["tasks"])
        assert "max_connections waits for a restart: set postgres_restart" in told
        assert "the limit is 85%: app 17; max_connections" in told
        assert "postgres-pending-restart" in findings(play(bench, command="diagnose"))
        assert server.sql("SHOW max_connections") == "20"
    with server.held(17):
        done = play(bench, "-e", "postgres_restart=true")
        assert done.code == 0, why(done)
    assert server.sql("SHOW max_connections") == "30"
    server.restart()
    assert server.sql("SHOW max_connections") == "30"
    assert play(bench, "-e", "postgres_restart=true").report["changes"] == []
    server.sql("ALTER SYSTEM RESET max_connections")
    server.restart()


def test_more_than_memory_allows_is_refused(bench: Bench, server: Postgres) -> None:
    with server.held(17):
        done = play(bench, "-e", "postgres_max_connections=100000")
    assert done.code == 2
    name = "Raise max_connections, where ending sessions does not suffice"
    (task,) = [each for each in done.report["tasks"] if each["task"] == name]
    assert "max_connections 100000 is more than memory allows" in task["reason"]
    assert "100000 x 9" in task["reason"]
    assert "max_connections" not in server.shell(f"cat {DATA}/postgresql.auto.conf")


def test_however_many_databases_there_are_two_connections_suffice(bench: Bench, server: Postgres) -> None:
    """Three are kept for superusers, and other tools want one, too."""
    names = [f"many{number}" for number in range(6)]
    for name in names:
        server.sql(f"CREATE DATABASE {name}")
    try:
        with server.held(17):
            looks: dict[str, Any] = {"postgresql_tables": {}}
            [task, again] = bench.tasks(looks, looks).report["tasks"]
            assert (task["status"], again["status"]) == ("ok", "ok"), task["reason"]
            assert set(names) < {each["db"] for each in task["result"]["databases"]}
    finally:
        for name in names:
            server.sql(f"DROP DATABASE {name}")


def test_where_not_even_a_superuser_gets_in(bench: Bench, server: Postgres) -> None:
    made = bench.one("fault_postgres_connections", reserved=True)
    assert (made["status"], made["result"].get("sessions")) == ("changed", 20), made["reason"]
    try:
        done = play(bench, *SOON, command="diagnose")
        assert list(findings(done)) == ["postgres-locked-out"]
        assert "postgres_end_client" in findings(done)["postgres-locked-out"]["advice"]
        done = play(bench, *SOON, "-e", "postgres_end_client=true")
        assert done.code == 0, why(done)
        (first, *_) = done.report["changes"]
        assert first["module"] == "postgresql_idle_backend"
        assert "remedy_drill_drill" in str(first)
    finally:
        assert bench.one("fault_postgres_connections", state="absent")["status"] == "changed"
    assert server.sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'remedy%'") == "0"


def test_who_is_no_superuser_is_told_so_and_nobody_is_ended_for_it(bench: Bench, server: Postgres) -> None:
    app = ("-e", '{"postgres_login_user": "app", "postgres_login_password": "app secret", "postgres_login_db": "app"}')
    with server.held(17):
        done = play(bench, *app, *SOON, "-e", "postgres_end_client=true")
        assert (done.code, done.report["changes"]) == (2, [])
        assert list(findings(done)) == ["postgres-no-slot"]
        found = findings(done)["postgres-no-slot"]
        assert found["title"] == "every connection that an ordinary role may have is taken, and remedy logs in as one"
        assert "log in as a superuser, for whom connections are kept" in found["advice"]
    for what in ("ROLE", "DATABASE"):
        server.sql(f"ALTER {what} app CONNECTION LIMIT 1")
        try:
            with server.held(1):
                done = play(bench, *app, *SOON, "-e", "postgres_end_client=true")
                assert (done.code, done.report["changes"]) == (2, []), f"{what}: {why(done)}"
                assert list(findings(done)) == ["postgres-no-slot"]
                found = findings(done)["postgres-no-slot"]
                whose = f"the CONNECTION LIMIT of the {what.lower()} by which remedy logs in is reached"
                assert found["title"] == whose
                assert f"(ALTER {what} ... CONNECTION LIMIT), or log in as a superuser, whom it does" in found["advice"]
        finally:
            server.sql(f"ALTER {what} app CONNECTION LIMIT -1")


def test_a_server_that_does_not_run_is_a_finding(bench: Bench, server: Postgres) -> None:
    server.shell(f"systemctl stop {UNIT}")
    try:
        assert list(findings(play(bench, command="diagnose"))) == ["postgres-down"]
        done = bench.operator.here("diagnose", "postgres-connections", "-e", "postgres_login_host=127.0.0.1")
        assert list(findings(done)) == ["postgres-down"]
    finally:
        server.shell(f"systemctl start {UNIT}")
        server.begin()
    assert threading.active_count() < 50


def test_a_play_with_a_wrong_password_makes_one_attempt_and_another_login_is_another(
    bench: Bench, server: Postgres
) -> None:
    before = refusals(server)
    done = play(bench, "-e", "postgres_login_user=app", "-e", "postgres_login_password=wrong")
    assert done.code == 2
    failed = [each for each in done.report["tasks"] if each["status"] == "failed"]
    assert failed
    assert all(ONCE in each["reason"] for each in failed), failed
    assert any(each["section"] == "verify" for each in failed), "diagnose tries it, verify must not again"
    assert refusals(server) == before + 1
    logins: list[dict[str, Any]] = [
        *[{"login_user": "app", "login_password": "wrong", "login_db": name} for name in ("app", "app", "postgres")],
        {"login_user": "app", "login_password": "also wrong", "login_db": "app"},
        {"login_user": "app", "login_password": "app secret", "login_db": "app"},
        {},
    ]
    asks = [{"postgresql_query": {"query": "SELECT 1 AS one", **login}, "ignore_errors": True} for login in logins]
    connect = {"postgresql_connect": {"app_user": "app", "app_password": "wrong"}, "ignore_errors": True}
    found = bench.tasks(*asks, connect, connect).report["tasks"]
    assert [each["status"] for each in found] == [*["failed"] * 4, "ok", "ok", "failed", "failed"]
    assert all(ONCE in each["reason"] for each in found if each["status"] == "failed")
    assert refusals(server) == before + 3


def test_who_may_not_come_to_one_database_may_come_to_another(bench: Bench, server: Postgres) -> None:
    hba = f"{SETTINGS}/pg_hba.conf"
    server.shell(f"cp -p {hba} /root/hba; sed -i '1i host postgres app 127.0.0.1/32 reject' {hba}")
    server.sql("SELECT pg_reload_conf()")
    rejected = f"grep -c 'pg_hba.conf rejects connection' {LOG} || true"
    before = int(server.shell(rejected))
    login = {"query": "SELECT 1 AS one", "login_user": "app", "login_password": "app secret"}
    names = ("postgres", "app", "postgres")
    asks = [{"postgresql_query": {**login, "login_db": name}, "ignore_errors": True} for name in names]
    try:
        found = bench.tasks(*asks).report["tasks"]
    finally:
        server.shell(f"cp -p /root/hba {hba}")
        server.sql("SELECT pg_reload_conf()")
    assert [each["status"] for each in found] == ["failed", "ok", "failed"]
    assert all("pg_hba.conf rejects" in found[n]["reason"] and ONCE in found[n]["reason"] for n in (0, 2))
    assert int(server.shell(rejected)) == before + 1


def test_a_role_that_the_run_mends_is_tried_once_more(bench: Bench, server: Postgres) -> None:
    before = refusals(server)
    server.sql("CREATE ROLE mended LOGIN PASSWORD 'old secret'; GRANT CONNECT ON DATABASE app TO mended")
    login = {"app_user": "mended", "app_password": "new secret", "app_db": "app"}
    connect = {"postgresql_connect": login, "ignore_errors": True}
    mend = {"postgresql_query": {"query": "ALTER ROLE mended PASSWORD 'new secret'"}}
    found = bench.tasks(connect, connect, mend, connect).report["tasks"]
    assert [each["status"] for each in found] == ["failed", "failed", "changed", "ok"]
    assert refusals(server) == before + 1
