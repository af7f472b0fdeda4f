"""Variables of PostgreSQL's runbooks that make no sense: said before anything is looked at, and nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from tests.acceptance.healing import why
from tests.conftest_lab import HostFactory
from tests.services_lab.postgres import Bench, Postgres
from tests.services_lab.wrong_variables import BOOKS, all_are_refused

pytestmark = pytest.mark.lab

NAMES = (*sorted(path.stem for path in BOOKS.glob("postgres-*.yml")), "maintenance-postgres", "capacity-report")
ELSEWHERE = {  # what they may be is a text, or is asked by an assert of their own
    "postgres_indexes",
    *("restore_database", "restore_folder", "restore_backup", "restore_confirm", "restore_checks"),
}


@pytest.fixture(scope="module")
def server(lab: Lab, host_factory: HostFactory) -> Postgres:
    found = Postgres.booted(lab, host_factory)
    found.account()
    found.sql("CREATE DATABASE other")
    return found


@pytest.fixture
def bench(server: Postgres, tmp_path: Path) -> Iterator[Bench]:
    yield Bench(tmp_path, server, drill=True)
    server.sql("ALTER SYSTEM RESET ALL; SELECT pg_reload_conf()")


@pytest.mark.parametrize("book", NAMES)
def test_variables_that_make_no_sense_change_nothing(bench: Bench, book: str) -> None:
    all_are_refused(bench.operator, book, "postgresql", ELSEWHERE)


def test_a_slip_ends_no_session_and_a_unit_is_understood(bench: Bench, server: Postgres) -> None:
    with server.held(2, "BEGIN") as pids:
        listed = f"SELECT count(*) FROM pg_stat_activity WHERE pid IN ({', '.join(map(str, pids))})"
        soon = ("-e", "postgres_idle_in_transaction=1ms")
        for slip in ("postgres_idle_timeout=soon", "postgres_idle=long", "postgres_max_connections=abc"):
            done = bench.operator.here("play", "postgres-connections", "--yes", *soon, "-e", slip)
            assert (done.code, done.report["changes"]) == (2, []), why(done)
            assert server.sql(listed) == "2", slip
        units = ("-e", "postgres_idle_timeout=1m30s")
        done = bench.operator.here("play", "postgres-connections", "--yes", *soon, *units)
        assert done.code == 0, why(done)
        assert server.sql(listed) == "0"
        assert server.sql("SHOW idle_in_transaction_session_timeout") == "90s"


def test_a_limit_with_a_unit_keeps_the_slot(bench: Bench, server: Postgres) -> None:
    named = ("-e", '{"postgres_drop_slots": ["remedy_drill_gone"]}')
    bench.one("fault_postgres_slot", size="20M", name="gone")
    try:
        for limit in ("1GB", "1G", "1024MiB", "1073741824"):
            done = bench.operator.here("play", "postgres-disk", "--yes", *named, "-e", f"postgres_wal_limit={limit}")
            assert (done.code, done.report["findings"], done.report["changes"]) == (0, [], []), why(done)
        done = bench.operator.here("play", "postgres-disk", "--yes", *named, "-e", "postgres_wal_limit=1M")
        assert done.code == 0, why(done)
        assert server.sql("SELECT count(*) FROM pg_replication_slots") == "0"
    finally:
        bench.one("fault_postgres_slot", name="gone", state="absent")


@pytest.mark.parametrize(
    "wrong",
    [
        "orders",
        {"database": "app"},
        ["orders"],
        [{"database": "app", "table": "orders", "name": "orders_n"}],
        [{"database": "app", "table": "orders", "name": "orders_n", "colums": ["n"]}],
        [{"database": "app", "table": "orders", "name": "orders_n", "columns": ["n"], "where": "n > 5"}],
    ],
)
def test_indexes_that_are_no_indexes(bench: Bench, wrong: Any) -> None:
    done = bench.operator.here("play", "postgres-slow", "--yes", "-e", json.dumps({"postgres_indexes": wrong}))
    assert (done.code, done.report["changes"]) == (2, []), why(done)
    assert "expected a list of mappings with database, table, name and columns" in why(done)
