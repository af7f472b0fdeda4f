"""A PostgreSQL server that is stopped, or fails, is a finding of every runbook; verify fails while it is down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.lab import Lab
from tests.conftest_lab import HostFactory
from tests.services_lab.postgres import SETTINGS, UNIT, Bench, Postgres

pytestmark = pytest.mark.lab

BOOKS = ("connections", "slow", "disk", "replication")


@pytest.fixture(scope="module")
def server(lab: Lab, host_factory: HostFactory) -> Postgres:
    return Postgres.booted(lab, host_factory)


@pytest.fixture
def bench(server: Postgres, tmp_path: Path) -> Iterator[Bench]:
    yield Bench(tmp_path, server)
    server.shell(
        f"sed -i '/^nonsense/d' {SETTINGS}/postgresql.conf; echo auto > {SETTINGS}/start.conf"
    )
    server.shell(f"systemctl reset-failed; systemctl start {UNIT}")
    server.begin()


def test_a_stopped_server_is_a_finding_and_no_play_resolves_it(bench: Bench, server: Postgres) -> None:
    assert bench.one("postgresql_servers")["result"]["down"] == []
    server.shell(f"systemctl stop {UNIT}")
    for book in BOOKS:
        done = bench.operator.here("diagnose", f"postgres-{book}")
        assert done.code == 10, (book, done.stdout, done.stderr)
        (found,) = done.report["findings"]
        assert (found["id"], found["severity"]) == ("postgres-down", "P0")
        assert f"{UNIT} is stopped" in found["title"]
        assert f"systemctl start {UNIT}" in found["advice"]
    done = bench.operator.here("play", "postgres-slow", "--yes")
    assert done.code == 2
    assert f"{UNIT}: no server of it runs" in done.stdout + str(done.report["tasks"])


def test_one_that_fails_is_told_with_its_log_and_one_started_by_hand_is_not_missed(
    bench: Bench, server: Postgres
) -> None:
    server.shell(f"systemctl stop {UNIT}; echo manual > {SETTINGS}/start.conf")
    assert bench.one("postgresql_servers")["result"]["down"] == []
    server.shell(
        f"echo nonsense = 1 >> {SETTINGS}/postgresql.conf; systemctl start {UNIT} || true"
    )
    (found,) = bench.one("postgresql_servers")["result"]["down"]
    assert (found["unit"], found["state"]) == (UNIT, "failed")
    assert any("nonsense" in line for line in found["log"])
