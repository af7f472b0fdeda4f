"""postgres-disk on a real server: which slot goes, which stays, and nothing below pg_wal is touched by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from tests.acceptance.operator import Result
from tests.conftest_lab import HostFactory
from tests.services_lab.postgres import DATA, Bench, Postgres

pytestmark = pytest.mark.lab

SLOTS = "SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots"
LIMIT = ("-e", "postgres_wal_limit=1000000")


@pytest.fixture(scope="module")
def pair(lab: Lab, host_factory: HostFactory) -> tuple[Postgres, Postgres]:
    """A primary and its standby, which uses its slot."""
    for name in ("pg1", "pg2"):
        host_factory(name, role="postgres")
    primary, standby = Postgres(lab, "pg1"), Postgres(lab, "pg2")
    primary.begin()
    standby.standby_of(primary)
    return primary, standby


@pytest.fixture
def bench(pair: tuple[Postgres, Postgres], tmp_path: Path) -> Bench:
    return Bench(tmp_path, *pair, drill=True)


def play(bench: Bench, *flags: str, command: str = "play", yes: bool = True) -> Result:
    more = ("--yes",) if command == "play" and yes else ()
    return bench.operator.here(command, "postgres-disk", *more, "-l", "pg1", *LIMIT, *flags)


def named(*names: str) -> tuple[str, str]:
    return "-e", json.dumps({"postgres_drop_slots": list(names)})


def test_only_a_slot_that_is_named_and_unused_is_dropped(bench: Bench, pair: tuple[Postgres, Postgres]) -> None:
    primary, _ = pair
    assert play(bench, command="diagnose").report["findings"] == []
    bench.one("fault_postgres_slot", size="20M", name="gone")
    try:
        (found,) = play(bench, command="diagnose").report["findings"]
        assert found["id"] == "postgres-slots"
        assert "slot remedy_drill_gone is not used and holds" in found["title"]
        assert "name it in postgres_drop_slots" in found["advice"]
        assert play(bench).report["changes"] == []
        # Named, but nobody has said --yes: a check shows why it stays.
        planned = play(bench, "--check", *named("remedy_drill_gone", "pg2"), yes=False)
        (task,) = [each for each in planned.report["tasks"] if each["module"] == "postgresql_slots"]
        why = "with --yes it is dropped, and nobody can bring it back"
        assert task["kept"] == [{"item": "remedy_drill_gone", "reason": why}]
        # A text is one name, not every name that stands in it.
        assert play(bench, "-e", "postgres_drop_slots=not_remedy_drill_gone").report["changes"] == []
        done = play(bench, *named("remedy_drill_gone", "pg2"))
        assert done.code == 0, why(done)
        assert primary.sql(SLOTS) == "pg2"
        assert play(bench, *named("remedy_drill_gone", "pg2")).report["changes"] == []
    finally:
        bench.one("fault_postgres_slot", name="gone", state="absent")


def test_a_slot_in_use_is_refused_by_the_module_too(bench: Bench, pair: tuple[Postgres, Postgres]) -> None:
    done: dict[str, Any] = bench.one("postgresql_slots", name=["pg2", "nowhere"])
    assert done["status"] == "ok"
    assert done["kept"][0]["reason"].startswith("it is in use (pid ")
    assert pair[0].sql(SLOTS) == "pg2"


def test_what_fills_the_disk_is_told(bench: Bench, pair: tuple[Postgres, Postgres]) -> None:
    found = bench.one("postgresql_disk")["result"]
    assert found["disk"]["folder"] == DATA
    assert 0 < found["disk"]["percent"] < 100
    assert found["wal"]["files"] * (16 << 20) == found["wal"]["bytes"]
    assert found["archiver"]["failing"] is False
    assert {each["db"] for each in found["databases"]} >= {"postgres", "template1"}
    login = {"login_user": "seer", "login_password": "seer secret", "login_db": "postgres"}
    pair[0].sql("CREATE ROLE seer LOGIN PASSWORD 'seer secret'")
    done = bench.one("postgresql_disk", **login)
    assert done["status"] == "ok", done["reason"]
    assert done["result"]["wal"] is None


def test_an_archiver_that_fails_is_a_finding(bench: Bench, pair: tuple[Postgres, Postgres]) -> None:
    primary = pair[0]
    primary.sql("ALTER SYSTEM SET archive_mode = on; ALTER SYSTEM SET archive_command = 'false'")
    primary.restart()
    try:
        primary.sql("SELECT pg_switch_wal(); CHECKPOINT")
        primary.until("SELECT failed_count > 0 FROM pg_stat_archiver", "t")
        found = {each["id"]: each for each in play(bench, command="diagnose").report["findings"]}
        assert "archiving fails (0000" in found["postgres-archiver"]["title"]
    finally:
        primary.sql("ALTER SYSTEM RESET archive_mode; ALTER SYSTEM RESET archive_command")
        primary.restart()
