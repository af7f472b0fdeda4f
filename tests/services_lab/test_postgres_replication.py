"""postgres-replication on a real pair: a replay that is paused, a standby that is cut off, a slot that nobody uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from tests.acceptance.healing import why
from tests.acceptance.operator import Result
from tests.conftest_lab import HostFactory
from tests.services_lab.postgres import Bench, Postgres

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


def play(bench: Bench, *flags: str, command: str = "play") -> Result:
    return bench.operator.here(command, "postgres-replication", *(("--yes",) if command == "play" else ()), *flags)


def findings(done: Result) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in done.report["findings"]}


def test_a_healthy_pair_has_no_finding(bench: Bench) -> None:
    done = play(bench, "-e", '{"postgres_standbys": []}')
    assert (done.code, done.report["findings"], done.report["changes"]) == (0, [], [])
    primary = bench.one("postgresql_replication")["result"]
    assert [(each["application"], each["state"]) for each in primary["standbys"]] == [("pg2", "streaming")]
    assert [(each["name"], each["active"]) for each in primary["slots"]] == [("pg2", True)]
    standby = bench.one("postgresql_replication", on="pg2")["result"]
    assert (standby["role"], standby["receiver"]["status"], standby["lag_seconds"]) == ("standby", "streaming", 0.0)


def test_a_primary_that_was_raised_first(bench: Bench, pair: tuple[Postgres, Postgres]) -> None:
    """The standby pauses; it is raised, restarted, and catches up. A resume alone would stop it."""
    primary, standby = pair
    primary.sql("ALTER SYSTEM SET max_connections = 30")
    primary.restart()
    standby.until("SELECT pg_is_wal_replay_paused()", "t")
    primary.sql("CREATE TABLE later (n int)")
    assert "the server would stop" in bench.one("postgresql_replication", on="pg2", replay="resumed")["reason"]
    found = findings(play(bench, command="diagnose"))
    assert found["postgres-standby-settings"]["host"] == "pg2"
    assert "max_connections is 20, the primary has 30" in found["postgres-standby-settings"]["title"]
    done = play(bench)
    assert done.code == 0, why(done)
    standby.follow(primary)
    assert standby.sql("SHOW max_connections") == "30"
    assert standby.sql("SELECT count(*) FROM later") == "0"
    assert play(bench).report["changes"] == []


def test_a_replay_paused_by_hand_goes_on_only_with_leave(bench: Bench, pair: tuple[Postgres, Postgres]) -> None:
    primary, standby = pair
    standby.sql("SELECT pg_wal_replay_pause()")
    standby.until("SELECT pg_is_wal_replay_paused()", "t")
    primary.sql("CREATE TABLE paused (n int)")
    impatient = ("-e", "postgres_catch_up=2", "-e", "postgres_lag_limit=0")
    done = play(bench, *impatient)
    assert done.code == 2
    assert "postgres_resume goes on with it" in str(done.report["tasks"])
    assert list(findings(done)) == ["postgres-replay-paused"]
    done = play(bench, "-e", "postgres_resume=true")
    assert done.code == 0, done.report["tasks"]
    standby.follow(primary)
    back = bench.operator.here("rollback", done.report["run"]["id"], "--yes")
    assert back.code == 0, back.stderr
    assert standby.sql("SELECT pg_is_wal_replay_paused()") == "t"
    assert bench.one("postgresql_replication", on="pg2", replay="resumed")["status"] == "changed"
    assert bench.one("postgresql_replication", on="pg2", replay="resumed")["reason"] == "the replay is not paused"
    assert "only a standby replays" in bench.one("postgresql_replication", replay="resumed")["reason"]


def test_a_standby_that_is_meant_to_be_behind_is_behind_beyond_that(
    bench: Bench, pair: tuple[Postgres, Postgres]
) -> None:
    primary, standby = pair
    limit = ("-e", "postgres_lag_limit=1s", "-e", "postgres_catch_up=1")
    standby.sql("ALTER SYSTEM SET recovery_min_apply_delay = '1h'; SELECT pg_reload_conf()")
    try:
        standby.until("SHOW recovery_min_apply_delay", "1h")
        primary.sql("CREATE TABLE delayed (n int)")
        behind = "pg_last_wal_receive_lsn() <> pg_last_wal_replay_lsn() AND clock_timestamp() - "
        standby.until(f"SELECT {behind} pg_last_xact_replay_timestamp() > '2s'", "t")
        told = bench.one("postgresql_replication", on="pg2")["result"]
        assert (told["delay_seconds"], told["lag_seconds"] > 2) == (3600.0, True)
        done = play(bench, *limit)
        assert (done.code, done.report["findings"]) == (0, []), done.report["tasks"]
        standby.sql("ALTER SYSTEM SET recovery_min_apply_delay = '1s'; SELECT pg_reload_conf()")
        standby.until("SHOW recovery_min_apply_delay", "1s")
        standby.follow(primary)
        assert play(bench, *limit).code == 0
    finally:
        standby.sql("ALTER SYSTEM RESET recovery_min_apply_delay; SELECT pg_reload_conf()")
        standby.follow(primary)


def test_a_standby_that_is_cut_off_is_told_on_both_sides(bench: Bench, pair: tuple[Postgres, Postgres]) -> None:
    primary, standby = pair
    named = ("-e", '{"postgres_standbys": ["pg2"]}', "-e", "postgres_slot_limit=1000", "-e", "postgres_catch_up=1")
    primary.sql("ALTER ROLE repl NOLOGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
    try:
        primary.until("SELECT count(*) FROM pg_stat_replication", "0")
        primary.sql("CREATE TABLE gap AS SELECT generate_series(1, 1000)")
        done = play(bench, *named)
        assert done.code == 2
        found = findings(done)
        assert found["postgres-standby-missing"]["title"] == "0 of 1 standbys follow"
        assert found["postgres-receiver"]["host"] == "pg2"
        assert "slot pg2 is not used and holds" in found["postgres-slots"]["title"]
        assert done.report["changes"] == []
    finally:
        primary.sql("ALTER ROLE repl LOGIN")
        standby.follow(primary, 60)
