"""postgresql_set on a real primary with a real standby: what survives a restart, what is refused, what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from tests.acceptance.healing import why
from tests.conftest_lab import HostFactory
from tests.services_lab.postgres import DATA, Bench, Postgres

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def pair(lab: Lab, host_factory: HostFactory) -> tuple[Postgres, Postgres]:
    """A primary and its standby."""
    for name in ("pg1", "pg2"):
        host_factory(name, role="postgres")
    primary, standby = Postgres(lab, "pg1"), Postgres(lab, "pg2")
    primary.begin()
    standby.standby_of(primary)
    return primary, standby


@pytest.fixture
def bench(pair: tuple[Postgres, Postgres], tmp_path: Path) -> Bench:
    return Bench(tmp_path, *pair)


def conf(server: Postgres) -> str:
    return server.shell(f"grep -v '^#' {DATA}/postgresql.auto.conf || true")


def test_a_live_setting_is_there_at_once_survives_and_comes_back(bench: Bench, pair: tuple[Postgres, Postgres]) -> None:
    primary, before = pair[0], conf(pair[0])
    set_ = {"name": "idle_in_transaction_session_timeout", "value": "10min"}
    planned = bench.one("postgresql_set", "--check", **set_)
    assert planned["status"] == "changed"
    assert conf(primary) == before
    done = bench.one("postgresql_set", **set_)
    assert (done["status"], done["result"]["value"], done["result"]["restart_required"]) == ("changed", "600000", False)
    assert primary.sql("SHOW idle_in_transaction_session_timeout") == "10min"
    again = bench.one("postgresql_set", **{**set_, "value": 600000})
    assert (again["status"], again["reason"]) == ("ok", "already 600000")
    run = bench.changed
    primary.restart()
    assert primary.sql("SHOW idle_in_transaction_session_timeout") == "10min"
    back = bench.operator.here("rollback", run, "--yes")
    assert back.code == 0, back.stderr
    assert conf(primary) == before
    assert primary.sql("SHOW idle_in_transaction_session_timeout") == "0"


def test_what_a_file_says_already_is_not_written_again(bench: Bench, pair: tuple[Postgres, Postgres]) -> None:
    before = conf(pair[0])
    for name, value in (("max_connections", 20), ("shared_buffers", "16MB"), ("fsync", True), ("wal_level", "replica")):
        done = bench.one("postgresql_set", name=name, value=value)
        assert done["status"] == "ok", (name, done["reason"])
    assert conf(pair[0]) == before


def test_lists_times_and_a_reset(bench: Bench, pair: tuple[Postgres, Postgres]) -> None:
    primary = pair[0]
    for name, value, shown in (
        ("shared_preload_libraries", "pg_stat_statements, auto_explain", None),
        ("work_mem", "8MB", "8MB"),
        ("checkpoint_timeout", "0.1h", "6min"),
        ("log_line_prefix", r"it's \ %m ", r"it's \ %m"),
    ):
        done = bench.one("postgresql_set", name=name, value=value)
        assert done["status"] == "changed", (name, done["reason"])
        assert bench.one("postgresql_set", name=name, value=value)["status"] == "ok", name
        assert shown is None or primary.sql(f"SHOW {name}") == shown
    assert "shared_preload_libraries = 'pg_stat_statements, auto_explain'" in conf(primary)
    for name in ("shared_preload_libraries", "work_mem", "checkpoint_timeout", "log_line_prefix"):
        assert bench.one("postgresql_set", name=name, reset=True)["status"] == "changed"
        done = bench.one("postgresql_set", name=name, reset=True)
        assert (done["status"], done["reason"]) == ("ok", "postgresql.auto.conf does not name it")
    assert primary.sql("SHOW work_mem") == "4MB"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("max_conections", 5, "has no setting 'max_conections'"),
        ("max_connections", 10**7, "cannot be 10000000: expected 1 to 262143"),
        ("max_connections", "a few", "cannot be 'a few': expected a number"),
        ("max_connections", 3, "3 are reserved, and the server would not start"),
        ("max_connections", 200000, "is more than memory allows: 200000 x 9"),
        ("work_mem", "5min", "cannot be '5min': expected a number of kB"),
        ("block_size", 4096, "cannot be set"),
        ("wal_level", "replicas", "expected one of minimal, replica, logical"),
        ("fsync", "perhaps", "expected on or off"),
    ],
)
def test_what_the_server_would_not_start_with_is_refused(
    bench: Bench, pair: tuple[Postgres, Postgres], name: str, value: Any, why: str
) -> None:
    before = conf(pair[0])
    done = bench.one("postgresql_set", name=name, value=value)
    assert done["status"] == "failed"
    assert why in done["reason"]
    assert conf(pair[0]) == before


@pytest.mark.soak
def test_standby_first_then_the_primary_and_back_the_other_way(bench: Bench, pair: tuple[Postgres, Postgres]) -> None:
    primary, standby = pair
    more = {"name": "max_connections", "value": 30}
    reason = bench.one("postgresql_set", **more)["reason"]
    assert "standbys follow this server (pg2)" in reason
    assert "postgres_standbys" in reason
    named = {**more, "standbys": ["pg2"]}
    reason = bench.one("postgresql_set", **named)["reason"]
    assert "the standby pg2 runs with max_connections 20: raise it there first" in reason
    done = bench.one("postgresql_set", on="pg2", **more)
    assert done["result"]["restart_required"], done["reason"]
    assert "raise it there first" in bench.one("postgresql_set", **named)["reason"]  # it runs with 20 still
    standby.restart()
    assert bench.one("postgresql_set", **named)["result"]["restart_required"]
    primary.restart()
    assert (primary.sql("SHOW max_connections"), standby.sql("SHOW max_connections")) == ("30", "30")
    standby.follow(primary)
    # Back: the standby cannot have less than the primary.
    reason = bench.one("postgresql_set", on="pg2", name="max_connections", value=20)["reason"]
    assert "its primary runs with max_connections 30" in reason
    assert bench.one("postgresql_set", name="max_connections", value=20)["status"] == "changed"
    primary.restart()
    standby.follow(primary)
    assert bench.one("postgresql_set", on="pg2", name="max_connections", value=20)["status"] == "changed"


def test_the_runbook_raises_the_standby_first(bench: Bench, pair: tuple[Postgres, Postgres]) -> None:
    primary, standby = pair
    primary.account()
    for server in (primary, standby):
        server.sql("ALTER SYSTEM RESET max_connections")
    started = "SELECT pg_postmaster_start_time()"
    try:
        with primary.held(17):
            named = ("--yes", "-e", '{"postgres_standbys": ["pg2"]}')
            done = bench.operator.here("play", "postgres-connections", *named, "-l", "pg1")
            assert done.code == 2  # no restart is allowed: nothing is written, on neither
            assert "max_connections" not in conf(primary) + conf(standby)
            restart = ("-e", "postgres_restart=true")
            done = bench.operator.here("play", "postgres-connections", *named, *restart)
        assert done.code == 0, why(done)
        assert (primary.sql("SHOW max_connections"), standby.sql("SHOW max_connections")) == ("30", "30")
        assert standby.sql(started) < primary.sql(started)
        standby.follow(primary)
        assert standby.sql("SELECT pg_is_wal_replay_paused()") == "f"
        again = bench.operator.here("play", "postgres-connections", *named, *restart)
        assert (again.code, again.report["changes"]) == (0, [])
    finally:
        primary.sql("ALTER SYSTEM RESET max_connections")
        standby.sql("ALTER SYSTEM RESET max_connections")
        primary.restart()
        standby.follow(primary)  # it does not start with less than what it knows of its primary
        standby.restart()


def test_no_standby_is_interrupted_where_the_primary_has_no_room(bench: Bench, pair: tuple[Postgres, Postgres]) -> None:
    primary, standby = pair
    if primary.sql("SELECT 1 FROM pg_roles WHERE rolname = 'app'") == "":
        primary.account()
    with primary.memory(400 << 20):
        standby.follow(primary)
        begun = standby.sql("SELECT pg_postmaster_start_time()")
        with primary.held(17):
            given = ("-e", '{"postgres_standbys": ["pg2"], "postgres_restart": true, "postgres_max_connections": 30}')
            done = bench.operator.here("play", "postgres-connections", "--yes", *given, "-l", "pg1")
        assert done.code == 2
        told = "; ".join(each["reason"] for each in done.report["tasks"] if each["status"] == "failed")
        assert "max_connections 30 is more than memory allows" in told
        assert "of 400 MiB the server may have" in told
        assert "max_connections" not in conf(primary) + conf(standby)
        assert standby.sql("SELECT pg_postmaster_start_time()") == begun
