"""A login that leads to another host's PostgreSQL: this host's own, of the same port and folder, is left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from remedy.lab import Lab
from tests.acceptance.operator import Result
from tests.conftest_lab import HostFactory
from tests.services_lab.postgres import DATA, UNIT, Bench, Postgres

pytestmark = pytest.mark.lab

WRITTEN = f"grep max_connections {DATA}/postgresql.auto.conf || true"
STARTED = "SELECT pg_postmaster_start_time()"
NONE_OF_IT = "is no process of this host's own"


@pytest.fixture(scope="module")
def pair(lab: Lab, host_factory: HostFactory) -> tuple[Postgres, Postgres]:
    """Two servers that have the same port and folders, each on its own host."""
    found = []
    for name in ("pg1", "pg2"):
        host_factory(name, role="postgres")
        server = Postgres(lab, name)
        server.begin()
        server.account()
        server.account("keeper", "keeper secret", "SUPERUSER")
        found.append(server)
    return found[0], found[1]


@pytest.fixture
def bench(pair: tuple[Postgres, Postgres], tmp_path: Path) -> Bench:
    return Bench(tmp_path, pair[0])


def login(server: Postgres, **more: Any) -> dict[str, Any]:
    return {"login_host": server.address, "login_user": "keeper", "login_password": "keeper secret", **more}


def play(bench: Bench, server: Postgres, command: str = "play", **values: Any) -> Result:
    given = {**{f"postgres_{name}": value for name, value in login(server).items()}, **values}
    flags = ("--yes",) if command == "play" else ()
    return bench.operator.here(command, "postgres-connections", *flags, "-e", json.dumps(given))


@contextmanager
def full(server: Postgres) -> Iterator[None]:
    """Hold every connection, those kept for superusers too."""
    where = f"host={server.address} connect_timeout=10"
    app, keeper = ({"user": name, "password": f"{name} secret", "dbname": name} for name in ("app", "keeper"))
    with ExitStack() as held:
        for each in [app] * 17 + [keeper] * 3:
            held.enter_context(psycopg.connect(where, autocommit=True, **each)).execute("SELECT 1")
        yield


def reasons(done: Result) -> str:
    return "; ".join(each["reason"] for each in done.report["tasks"] if each["status"] == "failed")


def test_another_hosts_server_gets_nothing_written_and_this_hosts_no_restart(
    bench: Bench, pair: tuple[Postgres, Postgres]
) -> None:
    own, other = pair
    begun = [server.sql(STARTED) for server in pair]
    wanted = {"postgres_idle": 0, "postgres_restart": True, "postgres_max_connections": 30}
    with other.held(17):
        done = play(bench, other, **wanted)
        found = {each["id"]: each for each in play(bench, other, "diagnose").report["findings"]}
    assert done.code == 2
    assert f"the server at {other.address}:5432 {NONE_OF_IT}" in reasons(done)
    assert "how much memory it has is not known, so nothing is raised" in reasons(done)
    assert "How many there is room for is not known here" in found["postgres-connections"]["advice"]
    assert [server.shell(WRITTEN) for server in pair] == ["", ""]
    assert [server.sql(STARTED) for server in pair] == begun
    told = bench.one("postgresql_info", filter=["room"], **login(other))["result"]["room"]
    assert (told["memory_bytes"], told["most"], told["target"]) == (0, None, 20)
    assert bench.one("postgresql_disk", **login(other))["result"]["disk"] is None
    # By each of its own addresses, and by its socket, it is the host's, and its unit is known.
    for at in ({}, login(own), login(own, login_host="127.0.0.1")):
        told = bench.one("postgresql_info", filter=["room"], **at)["result"]["room"]
        assert (told["memory_bytes"] > 0, told["elsewhere"]) == (True, None), at
        for named in ({}, {"service": "postgresql@15-another"}):
            planned = bench.one("postgresql_set", "--check", name="max_connections", value=25, **named, **at)
            assert planned["result"]["service"] == UNIT, at


def test_a_full_server_of_another_host_costs_no_session_of_this_hosts(
    bench: Bench, pair: tuple[Postgres, Postgres]
) -> None:
    own, other = pair
    with own.held(2) as pids, full(other):
        done = play(bench, other, postgres_end_client=True)
        assert done.code == 2
        assert f"the server at {other.address}:5432 {NONE_OF_IT}" in reasons(done)
        assert "no session of another server is ended in its place; end one where it runs" in reasons(done)
        there = f"SELECT count(*) FROM pg_stat_activity WHERE pid IN ({pids[0]}, {pids[1]})"
        assert own.sql(there) == "2"
    with full(own):
        done = play(bench, own, postgres_end_client=True, postgres_idle="0.1s")
        assert done.code == 0, reasons(done)
        assert done.report["changes"][0]["module"] == "postgresql_idle_backend"


def test_the_memory_limit_of_its_unit_counts(bench: Bench, pair: tuple[Postgres, Postgres]) -> None:
    with pair[0].memory(400 << 20):
        room = bench.one("postgresql_info", filter=["room"])["result"]["room"]
        assert (room["memory_bytes"], room["target"]) == (400 << 20, 20)
        refused = bench.one("postgresql_set", name="max_connections", value=30)
        assert "max_connections 30 is more than memory allows" in refused["reason"]
        assert "of 400 MiB the server may have 80% (320 MiB)" in refused["reason"]
