"""What is marked ! on real servers: a schedule that may do all else does not do it, wherever it was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from remedy.lab import Lab
from tests.acceptance.operator import Operator, Result
from tests.conftest_lab import HostFactory
from tests.services_lab.postgres import Bench as Postgreses
from tests.services_lab.postgres import Postgres
from tests.services_lab.redis_host import Cache

pytestmark = pytest.mark.lab

SHIPPED = Path(__file__).parents[2] / "playbooks"
REFUSED = "may not do this: what is marked ! never runs unattended"


@pytest.fixture(scope="module")
def server(lab: Lab, host_factory: HostFactory) -> Cache:
    host_factory("att1", role="cache")
    return Cache(lab, "att1")


@pytest.fixture
def cache(server: Cache) -> Cache:
    """A Redis that is full, for nothing is evicted."""
    server.clean()
    server.fill("user:#", 40000)
    server.squeeze()
    return server


def _refused(done: Result, step: str) -> None:
    assert done.code == 3, done
    assert f"{REFUSED}\n" in done.stderr
    assert step in done.stderr
    assert "play it by hand, with its own variable and --yes" in done.stderr
    assert done.report["changes"] == []


@pytest.mark.parametrize("where", ["schedule", pytest.param("inventory", marks=pytest.mark.soak)])
def test_redis_keeps_its_keys(cache: Cache, lab: Lab, tmp_path: Path, where: str) -> None:
    operator = Operator(tmp_path, lab, lab.host("att1"), ansible_become=True)
    given = {"redis_flush_db": "0"} if where == "schedule" else {}
    if where == "inventory":
        # The runbook's own value goes before the inventory's: a copy of it leaves that to the inventory.
        text = (SHIPPED / "redis-memory.yml").read_text()
        copy = "".join(line for line in text.splitlines(True) if not line.startswith("    redis_flush_db:"))
        assert copy != text
        operator.write("playbooks/redis-memory.yml", copy)
        operator.write("inventory/group_vars/all.yml", "redis_flush_db: '0'\n")
    limit = cache.setting("maxmemory")[0]
    done = operator.scheduled("redis-memory", "att1", **given)
    flush = "att1: destroys every key of database 0 of redis:6379  [Empty a database] (D!)"
    _refused(done, flush)
    assert (cache.keys("user:*"), cache.setting("maxmemory")[0]) == (40000, limit)


@pytest.mark.soak
def test_the_same_schedule_heals_without_it(cache: Cache, lab: Lab, tmp_path: Path) -> None:
    operator = Operator(tmp_path, lab, lab.host("att1"), ansible_become=True)
    done = operator.scheduled("redis-memory", "att1", redis_delete_patterns=["user:[123]*"])
    assert done.code == 0, done
    assert "redis_keys" in [each["module"] for each in done.report["changes"]]
    assert 0 < cache.keys("user:*") < 40000
    # And where somebody is there, with the variable and --yes, it goes.
    cache.squeeze()
    gone = operator.here("play", "redis-memory", "-l", "att1", "--yes", "-e", "redis_flush_db=0")
    assert gone.code == 0, gone
    assert cache.keys("user:*") == 0


def test_a_slot_stays_though_it_is_named(lab: Lab, host_factory: HostFactory, tmp_path: Path) -> None:
    host_factory("att2", role="postgres")
    server = Postgres(lab, "att2")
    server.begin()
    bench = Postgreses(tmp_path, server, drill=True)
    bench.one("fault_postgres_slot", size="20M", name="gone")
    given = {"postgres_wal_limit": 1000000, "postgres_drop_slots": ["remedy_drill_gone"]}
    done = bench.operator.scheduled("postgres-disk", "att2", **given)
    _refused(done, "att2: destroys replication slots of PostgreSQL")
    assert server.sql("SELECT slot_name FROM pg_replication_slots") == "remedy_drill_gone"
