"""postgres-slow's modules on a real server: indexes made, failed and brought back; VACUUM's guards; who waits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from tests.acceptance.healing import why
from tests.acceptance.operator import Result
from tests.conftest_lab import HostFactory
from tests.services_lab.postgres import Bench, Postgres

pytestmark = pytest.mark.lab

INDEX = {"name": "orders_n", "table": "orders", "columns": ["n"], "login_db": "app"}
INDEXES = (
    "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "WHERE c.relname LIKE 'orders%'"
)


@pytest.fixture(scope="module")
def server(lab: Lab, host_factory: HostFactory) -> Postgres:
    found = Postgres.booted(lab, host_factory)
    found.account()
    found.sql("CREATE EXTENSION pg_stat_statements")
    return found


@pytest.fixture
def bench(server: Postgres, tmp_path: Path) -> Iterator[Bench]:
    server.sql(
        "DROP TABLE IF EXISTS orders; CREATE TABLE orders (n int, note text) WITH (autovacuum_enabled = off); "
        "ALTER TABLE orders OWNER TO app; INSERT INTO orders SELECT n % 5000, 'book' FROM generate_series(1, 20000) n",
        "app",
    )
    yield Bench(tmp_path, server, drill=True)
    server.sql("ALTER SYSTEM RESET ALL; SELECT pg_reload_conf()")


def test_an_index_is_made_once_and_a_rollback_drops_it(bench: Bench, server: Postgres) -> None:
    assert bench.one("postgresql_index", "--check", **INDEX)["status"] == "changed"
    assert server.sql(INDEXES, "app") == ""
    done = bench.one("postgresql_index", **INDEX)
    assert done["status"] == "changed", done["reason"]
    assert server.sql(INDEXES, "app") == "orders_n|t"
    made = bench.changed
    again = bench.one("postgresql_index", **INDEX)
    assert (again["status"], again["reason"]) == ("ok", "it is there, and valid")
    assert bench.operator.here("rollback", made, "--yes").code == 0
    assert server.sql(INDEXES, "app") == ""


def test_an_index_that_was_dropped_comes_back(bench: Bench, server: Postgres) -> None:
    server.sql("CREATE INDEX orders_note ON orders (note) WHERE n > 5", "app")
    done = bench.one("postgresql_index", name="orders_note", state="absent", login_db="app")
    assert done["status"] == "changed", done["reason"]
    assert server.sql(INDEXES, "app") == ""
    assert bench.operator.here("rollback", bench.changed, "--yes").code == 0
    assert "WHERE (n > 5)" in server.sql("SELECT pg_get_indexdef('orders_note'::regclass)", "app")


def test_a_build_that_fails_leaves_nothing_and_a_leftover_is_replaced(bench: Bench, server: Postgres) -> None:
    done = bench.one("postgresql_index", **INDEX, unique=True)
    assert done["status"] == "failed"
    assert 'could not create unique index "orders_n"' in done["reason"]
    assert server.sql(INDEXES, "app") == ""
    make = "CREATE UNIQUE INDEX CONCURRENTLY orders_n ON orders (n)"
    server.shell(f"runuser -u postgres -- psql -q app -c '{make}' 2>&1 || true")
    assert server.sql(INDEXES, "app") == "orders_n|f"
    assert bench.one("postgresql_index", **INDEX)["status"] == "changed"
    assert server.sql(INDEXES, "app") == "orders_n|t"
    kept = bench.one("postgresql_index", name="orders_n", state="absent", invalid_only=True, login_db="app")
    assert kept["status"] == "ok"


def test_a_build_that_waits_in_vain_says_what_it_leaves(bench: Bench, server: Postgres) -> None:
    with server.held(1, "BEGIN; INSERT INTO orders VALUES (1, 'open')"):
        done = bench.one("postgresql_index", **INDEX, lock_timeout="500ms")
        assert done["status"] == "failed"
        assert "lock timeout" in done["reason"]
        assert "DROP INDEX CONCURRENTLY IF EXISTS orders_n;" in done["reason"]
        assert server.sql(INDEXES, "app") == "orders_n|f"
    assert bench.one("postgresql_index", **INDEX)["status"] == "changed"
    assert server.sql(INDEXES, "app") == "orders_n|t"


def test_constraints_and_tables_that_are_not_there(bench: Bench, server: Postgres) -> None:
    server.sql("ALTER TABLE orders ADD COLUMN id serial PRIMARY KEY", "app")
    done = bench.one("postgresql_index", name="orders_pkey", state="absent", login_db="app")
    assert "belongs to a constraint" in done["reason"]
    assert "there is no table nowhere" in bench.one("postgresql_index", **{**INDEX, "table": "nowhere"})["reason"]
    assert "there is no table nowhere" in bench.one("postgresql_vacuum", table="nowhere", login_db="app")["reason"]


def slow(bench: Bench, *indexes: dict[str, Any], command: str = "play") -> Result:
    yes = ("--yes",) if command == "play" else ()
    given = json.dumps({"postgres_indexes": list(indexes), "postgres_databases": ["app"]})
    return bench.operator.here(command, "postgres-slow", *yes, "-e", given)


def test_an_index_of_that_name_elsewhere_hides_none(bench: Bench, server: Postgres) -> None:
    server.sql("ANALYZE orders; CREATE SCHEMA attic; CREATE TABLE attic.orders (n int); "
               "CREATE INDEX orders_n ON attic.orders (n)", "app")  # fmt: skip
    server.sql("DROP TABLE IF EXISTS orders; CREATE TABLE orders (n int); CREATE INDEX orders_n ON orders (n)")
    index = {"database": "app", "table": "public.orders", "name": "orders_n", "columns": ["n"]}
    try:
        done = slow(bench, index)
        assert done.code == 0, (done.report["findings"], why(done))
        assert [each["id"] for each in done.report["findings"]] == ["postgres-missing-indexes"]
        assert done.report["findings"][0]["resolved"]
        assert server.sql("SELECT count(*) FROM pg_indexes WHERE indexname = 'orders_n'", "app") == "2"
        again = slow(bench, index)
        assert (again.code, again.report["findings"], again.report["changes"]) == (0, [], []), why(again)
    finally:
        server.sql("DROP SCHEMA attic CASCADE", "app")
        server.sql("DROP TABLE orders")


@pytest.mark.parametrize(
    ("name", "table", "made"),
    [
        ("public.orders_x", "orders", "orders_x"),
        ("Orders_X", "public.orders", "orders_x"),
        ('"Orders of. X"', "public.orders", "Orders of. X"),
        ('attic."X 2"', 'attic."Old Orders"', "X 2"),
        ("orders_y", 'attic."Old Orders"', "orders_y"),
    ],
)
def test_an_index_is_there_by_whatever_name_it_is_called(
    bench: Bench, server: Postgres, name: str, table: str, made: str
) -> None:
    server.sql('ANALYZE orders; CREATE SCHEMA attic; CREATE TABLE attic."Old Orders" (n int)', "app")
    index = {"database": "app", "table": table, "name": name, "columns": ["n"]}
    try:
        done = slow(bench, index)
        assert done.code == 0, (done.report["findings"], why(done))
        assert len(done.report["changes"]) == 1
        assert server.sql(f"SELECT count(*) FROM pg_indexes WHERE indexname = '{made}'", "app") == "1"
        again = slow(bench, index)
        assert (again.code, again.report["findings"], again.report["changes"]) == (0, [], []), why(again)
        assert bench.operator.here("rollback", done.report["run"]["id"], "--yes").code == 0
        assert server.sql(f"SELECT count(*) FROM pg_indexes WHERE indexname = '{made}'", "app") == "0"
    finally:
        server.sql("DROP SCHEMA attic CASCADE", "app")


def test_an_index_that_somebody_builds_is_not_missing(bench: Bench, server: Postgres) -> None:
    with server.held(1, "BEGIN; INSERT INTO orders VALUES (1, 'open')"):
        build = "CREATE INDEX CONCURRENTLY orders_n ON orders (n)"
        server.shell(f"setsid runuser -u postgres -- psql -qc '{build}' app > /dev/null 2>&1 &")
        server.until("SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass('orders_n')", "f", db="app")
        assert bench.one("postgresql_index", **INDEX, reads=True)["result"]["missing"] is False
    server.until("SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass('orders_n')", "t", db="app")
    assert bench.one("postgresql_index", **INDEX, reads=True)["result"]["missing"] is False


def test_indexes_that_cannot_be_made_are_refused_in_words(bench: Bench, server: Postgres) -> None:
    server.sql("DROP TABLE IF EXISTS others; CREATE TABLE others (n int); CREATE INDEX others_n ON others (n); "
               "CREATE SCHEMA attic; DELETE FROM orders WHERE n > 10", "app")  # fmt: skip
    index = {"database": "app", "table": "orders", "name": "orders_n", "columns": ["n"]}
    more = {"database": "nowhere", "name": "others_n"}
    try:
        for wrong, text in (
            ({"database": "nowhere"}, "names a database that this server does not have: nowhere; it has app, postgres"),
            ({"table": "nothing"}, "there is no table nothing in this database"),
            ({"name": "others_n"}, 'there is an index "public"."others_n" already, of the table others'),
            ({"name": "attic.orders_n"}, "attic.orders_n cannot be an index of orders"),
            ({"name": "a.b.c"}, "a.b.c is no name of an index: expected NAME or SCHEMA.NAME"),
            ({"name": "orders n"}, "orders n is no name of an index: expected NAME or SCHEMA.NAME"),
        ):
            done = slow(bench, {**index, **wrong})
            assert (done.code, done.report["changes"]) == (2, []), (wrong, why(done))
            assert text in why(done), why(done)
        both = slow(bench, index, {**index, **more}, command="diagnose")
        assert both.code == 2
    finally:
        server.sql("DROP TABLE others; DROP SCHEMA attic", "app")


def test_a_vacuum_cleans_and_proves_it(bench: Bench, server: Postgres) -> None:
    server.sql("DELETE FROM orders WHERE n > 100", "app")
    done = bench.one("postgresql_vacuum", table="public.orders", login_db="app")
    assert done["status"] == "changed", done["reason"]
    assert done["result"]["dead"][1] == 0
    done = bench.one("postgresql_vacuum", table="orders", vacuum=False, login_db="app")
    assert done["status"] == "changed", done["reason"]
    done = bench.one("postgresql_vacuum", table="orders", full=True, login_db="app")
    assert done["status"] == "changed", done["reason"]
    assert done["result"]["bytes_freed"] > 0


def test_a_vacuum_that_an_old_transaction_holds_up_has_healed_nothing(bench: Bench, server: Postgres) -> None:
    limits = ("-e", '{"postgres_dead_rows": 1000, "postgres_databases": ["app"]}')
    server.sql("ANALYZE orders", "app")
    with server.held(1, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM orders") as (pid,):
        server.sql("DELETE FROM orders WHERE n > 100; ANALYZE orders; SELECT pg_sleep(1)", "app")
        done = bench.operator.here("play", "postgres-slow", "--yes", *limits)
        assert done.code == 2, done.report["findings"]
        proof = done.tasks()["No table is dirty or unmeasured, no index invalid"]
        assert "still to be done: public.orders" in proof["reason"]
        assert f"VACUUM cannot clean, for session {pid} (app, idle in transaction)" in proof["reason"]
        (dead,) = [each for each in done.report["findings"] if each["id"] == "postgres-dead-rows"]
        assert not dead["resolved"]
        assert [each["pid"] for each in dead["evidence"]["held_by"]] == [pid]
        done = bench.operator.here("diagnose", "postgres-slow", *limits)
        findings = {each["id"]: each for each in done.report["findings"]}
        assert "which VACUUM cannot take away" in findings["postgres-dead-rows"]["title"]
        held = findings["postgres-held-back"]
        assert f"VACUUM cannot clean, for session {pid} (app, idle in transaction)" in held["title"]
        assert [each["pid"] for each in held["evidence"]["held_by"]] == [pid]
        assert "postgres-connections ends a session that is idle in a transaction" in held["advice"]
    done = bench.operator.here("play", "postgres-slow", "--yes", *limits)
    assert done.code == 0, done.report["tasks"]
    assert all(each["resolved"] for each in done.report["findings"] if each["id"] == "postgres-dead-rows")


def test_a_superuser_and_a_prepared_transaction_hold_too(bench: Bench, server: Postgres) -> None:
    server.sql("ALTER SYSTEM SET max_prepared_transactions = 5")
    server.restart()
    limits = ("-e", '{"postgres_dead_rows": 1000, "postgres_databases": ["app"]}')
    with server.superuser("UPDATE orders SET note = note WHERE n = 1") as pid:
        try:
            server.sql("BEGIN; INSERT INTO orders VALUES (1); PREPARE TRANSACTION 'forgotten'", "app")
            server.sql("DELETE FROM orders WHERE n > 100; VACUUM orders; SELECT pg_sleep(1)", "app")
            done = bench.operator.here("diagnose", "postgres-slow", *limits)
            held = next(each for each in done.report["findings"] if each["id"] == "postgres-held-back")
            assert {(each["kind"], each["superuser"]) for each in held["evidence"]["held_by"]} == {
                ("session", True), ("prepared", None)
            }  # fmt: skip
            assert f"No runbook ends a superuser, as pid {pid} is (postgres)" in held["advice"]
            assert "ROLLBACK PREPARED 'forgotten'" in held["advice"]
            assert "postgres-connections" not in held["advice"]
        finally:
            server.sql("ROLLBACK PREPARED 'forgotten'", "app")


def test_a_table_that_somebody_locks_is_not_waited_for(bench: Bench, server: Postgres) -> None:
    with server.held(1, "BEGIN; LOCK TABLE orders IN SHARE UPDATE EXCLUSIVE MODE"):
        done = bench.one("postgresql_vacuum", table="orders", login_db="app", lock_timeout="1s")
        assert "lock timeout" in done["reason"]
        assert "postgresql_activity tells which" in done["reason"]
    free = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    assert server.sql(free) == "0"


def test_one_heavy_operation_at_a_time(bench: Bench, server: Postgres) -> None:
    lock = re.sub("_", "", "7_236_573")
    with server.held(1, f"SELECT pg_advisory_lock({lock})"):
        done = bench.one("postgresql_vacuum", table="orders", login_db="app")
        assert "one heavy operation at a time" in done["reason"]


def test_a_full_vacuum_without_room_is_refused(bench: Bench, server: Postgres) -> None:
    server.sql("CREATE TABLE big AS SELECT repeat(md5(n::text), 60) AS pad FROM generate_series(1, 30000) n; "
               "ALTER TABLE big ALTER pad SET STORAGE EXTERNAL", "app")  # fmt: skip
    bench.one("fault_disk_full", path="/var/lib/postgresql", leave="2M", name="ballast")
    try:
        done = bench.one("postgresql_vacuum", table="big", full=True, login_db="app")
        assert done["status"] == "failed"
        assert "free: make room first" in done["reason"]
    finally:
        bench.one("fault_disk_full", path="/var/lib/postgresql", name="ballast", state="absent")
        server.sql("DROP TABLE big", "app")


def test_who_waits_for_whom(bench: Bench, server: Postgres) -> None:
    server.sql("ANALYZE orders", "app")  # else this is left to be done, too
    with server.held(1, "BEGIN; LOCK TABLE orders") as (first,):
        wait = "psql -qAtX 'host=127.0.0.1 user=app' -c 'SELECT count(*) FROM orders' > /dev/null 2>&1 &"
        server.shell(f"PGPASSWORD='app secret' {wait}" * 2)
        server.until("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", "2")
        found = bench.one("postgresql_activity")["result"]
        assert [each["waits_for"] for each in found["blocked"]] == [[first], [first]]
        assert [(each["pid"], each["blocks"], each["state"]) for each in found["blockers"]] == [
            (first, 2, "idle in transaction")
        ]
        done = bench.operator.here("diagnose", "postgres-slow", "-e", "postgres_blocked=0s")
        findings = {each["id"]: each for each in done.report["findings"]}
        assert f"behind pid {first}" in findings["postgres-blocked"]["title"]
        assert "postgres-not-logged" in findings
        assert "postgres-connections ends such" in findings["postgres-blocked"]["advice"]
        zero = ("-e", "postgres_blocked=0s", "-e", "postgres_log_slow=0ms")
        done = bench.operator.here("play", "postgres-slow", "--yes", *zero)
        assert done.code == 2, "they wait still"
        findings = {each["id"]: each for each in done.report["findings"]}
        assert not findings["postgres-blocked"]["resolved"]
        assert f"behind pid {first}" in done.tasks()["Nobody waits for long any more"]["reason"]
        assert "postgres-not-logged" not in findings, "0ms is no limit either"


def test_a_superuser_at_the_root_is_no_dead_end(bench: Bench, server: Postgres) -> None:
    with server.superuser("LOCK TABLE orders") as pid:
        wait = "psql -qAtX 'host=127.0.0.1 user=app' -c 'SELECT count(*) FROM orders' > /dev/null 2>&1 &"
        server.shell(f"PGPASSWORD='app secret' {wait}")
        server.until("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", "1")
        done = bench.operator.here("diagnose", "postgres-slow", "-e", "postgres_blocked=0s")
        advice = next(each["advice"] for each in done.report["findings"] if each["id"] == "postgres-blocked")
        assert "postgres-connections" not in advice
        assert f"SELECT pg_terminate_backend({pid})" in advice


def test_statements_that_cost_most(bench: Bench, server: Postgres) -> None:
    server.sql("SELECT pg_sleep(0.3)")
    found = bench.one("postgresql_statements", mean="200ms")["result"]
    assert found["installed"]
    assert any("pg_sleep" in each["query"] for each in found["statements"])
    other = bench.one("postgresql_statements", login_db="app")["result"]
    assert (other["installed"], other["loaded"], other["statements"]) == (False, True, [])


def test_the_runbook_logs_what_is_slow_and_does_nothing_the_second_time(bench: Bench, server: Postgres) -> None:
    server.sql("SELECT pg_sleep(0.6)")
    done = bench.operator.here("play", "postgres-slow", "--yes")
    assert done.code == 0, why(done)
    assert server.sql("SHOW log_min_duration_statement") == "1s"
    again: dict[str, Any] = bench.operator.here("play", "postgres-slow", "--yes").report
    assert again["changes"] == []


def test_a_table_that_somebody_has_to_himself_holds_nobody_up(bench: Bench, server: Postgres) -> None:
    with server.held(1, "BEGIN; LOCK TABLE orders"):
        found = bench.one("postgresql_tables", databases=["app"])
        assert [each["table"] for each in found["result"]["tables"]] == ["public.orders"]
        for full in (False, True):
            done = bench.one("postgresql_vacuum", table="orders", login_db="app", lock_timeout="1s", full=full)
            assert "lock timeout" in done["reason"]
        assert "lock timeout" in bench.one("postgresql_index", **INDEX, lock_timeout="1s")["reason"]
    assert server.sql(INDEXES, "app") == ""
