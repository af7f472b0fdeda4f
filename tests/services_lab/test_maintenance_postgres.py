"""maintenance-postgres on a real server and its standby: what it does once, and what it leaves to a person."""

from __future__ import annotations

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

BOOK = "maintenance-postgres"
LESS = ("-e", "postgres_dead_rows=1000")
ORDERS = """
DROP TABLE IF EXISTS orders; CREATE TABLE orders (n int, note text) WITH (autovacuum_enabled = off);
ALTER TABLE orders OWNER TO app; INSERT INTO orders SELECT n, 'book' FROM generate_series(1, 20000) n; ANALYZE orders
"""
SEEN = "SELECT bool_and(age(xmin) < 1) FROM pg_replication_slots WHERE xmin IS NOT NULL"
# A cluster of its own, whose next transaction is far from those of its tables; its log of commits has the page for it.
FAR = 1526 * (1 << 20)
WRAPPED = f"""
cd /; export PATH=$PATH:/usr/lib/postgresql/15/bin D=/var/lib/postgresql/wrapped
initdb -N -A peer -D $D > /dev/null && pg_resetwal -x {FAR} -D $D > /dev/null
dd if=/dev/zero of=$D/pg_xact/{FAR >> 20:04X} bs=256K count=1 2> /dev/null
pg_ctl -D $D -w -l $D/log -o '-p 5999 -k /run/postgresql -h "" -c autovacuum_freeze_max_age=2000000000' start > $D/out
"""


@pytest.fixture(scope="module")
def pair(lab: Lab, host_factory: HostFactory) -> tuple[Postgres, Postgres]:
    for name in ("pgm1", "pgm2"):
        host_factory(name, role="postgres")
    primary, standby = Postgres(lab, "pgm1"), Postgres(lab, "pgm2")
    primary.begin()
    standby.standby_of(primary)
    # It tells its primary what its readers may still see; more often, and the tests need not wait.
    standby.sql("ALTER SYSTEM SET wal_receiver_status_interval = '1s'; SELECT pg_reload_conf()")
    primary.account()
    return primary, standby


@pytest.fixture
def primary(pair: tuple[Postgres, Postgres]) -> Iterator[Postgres]:
    yield pair[0]
    pair[0].sql("DROP TABLE IF EXISTS orders", "app")


@pytest.fixture
def bench(pair: tuple[Postgres, Postgres], tmp_path: Path) -> Bench:
    return Bench(tmp_path, *pair, drill=True)


def play(bench: Bench, *flags: str, on: str = "pgm1", command: str = "play") -> Result:
    return bench.operator.here(command, BOOK, "-l", on, *LESS, *flags)


def findings(done: Result) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in done.report["findings"]}


def test_servers_that_need_nothing(bench: Bench, primary: Postgres) -> None:
    for on in ("pgm1", "pgm2"):
        done = play(bench, on=on)
        assert (done.code, done.report["findings"], done.report["changes"]) == (0, [], []), done.stderr
    sizes = play(bench).tasks()["Tables and indexes"]["result"]["databases"]
    assert {"app", "postgres"} <= {each["db"] for each in sizes}


def test_dead_rows_go_without_asking_and_once(bench: Bench, primary: Postgres) -> None:
    primary.sql(ORDERS + "; DELETE FROM orders WHERE n > 12000; SELECT pg_sleep(1)", "app")
    primary.until(SEEN, "t")
    done = play(bench)
    assert done.code == 0, why(done)
    assert findings(done)["postgres-dead-rows"]["resolved"]
    assert [each["module"] for each in done.report["changes"]] == ["postgresql_vacuum"]
    assert play(bench).report["changes"] == []
    assert primary.sql("SELECT count(*) FROM orders", "app") == "12000"


def test_a_schedule_needs_no_permission_for_it(bench: Bench, primary: Postgres) -> None:
    """VACUUM and ANALYZE neither destroy nor interrupt."""
    primary.sql(ORDERS + "; DELETE FROM orders WHERE n > 12000; SELECT pg_sleep(1)", "app")
    primary.until(SEEN, "t")
    done = bench.operator.scheduled(BOOK, "pgm1", [], postgres_dead_rows=1000)
    assert done.code == 0, why(done)
    assert findings(done)["postgres-dead-rows"]["resolved"]
    assert [each["module"] for each in done.report["changes"]] == ["postgresql_vacuum"]
    assert done.report["run"]["approvals"] == []
    assert primary.sql("SELECT count(*) FROM orders", "app") == "12000"


def test_rows_that_somebody_may_still_see_are_told_and_fail_nothing(bench: Bench, primary: Postgres) -> None:
    primary.sql(ORDERS, "app")
    with primary.held(1, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM orders") as (pid,):
        primary.sql("DELETE FROM orders WHERE n > 12000; ANALYZE orders; SELECT pg_sleep(1)", "app")
        done = play(bench)
        assert done.code == 0, done.report["tasks"]
        assert not findings(done)["postgres-dead-rows"]["resolved"]
        assert [each["dead"] for each in done.tasks()["VACUUM"]["result"]["results"]] == [[8000, 8000]]
        done = play(bench)
        assert done.code == 0
        assert f"session {pid} (app, idle in transaction)" in findings(done)["postgres-held-back"]["title"]


def test_bloat_is_told(bench: Bench, primary: Postgres) -> None:
    primary.sql(ORDERS + "; DELETE FROM orders WHERE n < 19000", "app")
    primary.until(SEEN, "t")
    primary.sql("VACUUM ANALYZE orders; SELECT pg_sleep(1)", "app")
    assert play(bench).report["findings"] == []
    done = play(bench, "-e", "postgres_bloat_bytes=100000")
    assert done.code == 0
    (found,) = done.report["findings"]
    assert found["title"].startswith("app public.orders: ")
    assert done.report["changes"] == []


def test_slots_without_a_user_are_told_and_stay(bench: Bench, primary: Postgres) -> None:
    primary.sql("SELECT pg_create_physical_replication_slot('gone', true)")
    try:
        done = play(bench)
        assert done.code == 0
        assert "slot gone is not used" in findings(done)["postgres-idle-slots"]["title"]
        assert play(bench, "-e", '{"postgres_known_slots": ["gone"]}').report["findings"] == []
        # A text is one name, not every name that stands in it.
        assert play(bench, "-e", "postgres_known_slots=gone").report["findings"] == []
        assert list(findings(play(bench, "-e", "postgres_known_slots=long_gone"))) == ["postgres-idle-slots"]
        assert primary.sql("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'gone'") == "1"
    finally:
        primary.sql("SELECT pg_drop_replication_slot('gone')")


def test_passwords_are_told_in_days_or_weeks(bench: Bench, primary: Postgres) -> None:
    primary.sql("ALTER ROLE app VALID UNTIL 'infinity'")
    primary.shell("psql -qc \"ALTER ROLE app VALID UNTIL '$(date -d '10 days' +%F)'\"", user="postgres")
    try:
        for days, told in (("2w", True), ("14", True), ("1w", False), ("72h", False), ("3", False)):
            found = findings(play(bench, "-e", f"postgres_password_days={days}"))
            assert ("postgres-passwords" in found) is told, days
    finally:
        primary.sql("ALTER ROLE app VALID UNTIL 'infinity'")


def test_a_standby_is_left_to_its_primary(
    bench: Bench, pair: tuple[Postgres, Postgres], primary: Postgres
) -> None:
    _, standby = pair
    primary.sql(ORDERS + "; DELETE FROM orders WHERE n > 12000", "app")
    standby.follow(primary)
    standby.sql("SELECT count(*) FROM orders", "app")
    done = play(bench, on="pgm2")
    assert (done.code, done.report["changes"]) == (0, []), done.report["tasks"]


def test_transactions_that_are_about_to_wrap_around(bench: Bench, primary: Postgres) -> None:
    there = ("-e", "postgres_login_port=5999", "-e", "postgres_login_unix_socket=/run/postgresql")
    primary.shell(WRAPPED, user="postgres")
    try:
        done = play(bench, *there)
        assert done.code == 0, done.report["tasks"]
        found = findings(done)["postgres-wraparound"]
        assert found["severity"] == "P1"
        assert {each["db"] for each in found["evidence"]} == {"postgres", "template0", "template1"}
        assert all(FAR - 10000 < each["age"] < FAR + 10000 for each in found["evidence"])
        assert not found["resolved"]
        assert done.report["changes"] == []
        primary.shell("cd / && vacuumdb -q -p 5999 --freeze postgres", user="postgres")
        told = findings(play(bench, *there))["postgres-wraparound"]["evidence"]
        assert {each["db"] for each in told} == {"template0", "template1"}
    finally:
        primary.shell(
            "cd /; D=/var/lib/postgresql/wrapped; /usr/lib/postgresql/15/bin/pg_ctl -D $D -m immediate stop; rm -rf $D",
            user="postgres",
        )
