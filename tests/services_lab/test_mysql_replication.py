"""mysql_replication on real pairs: one listed error is skipped once, threads run, workers stay; with GTID and without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest_lab import HostFactory
from tests.services_lab.pairs import KINDS, Bench, pair_of

from remedy.lab import Lab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def hosts(host_factory: HostFactory) -> None:
    """Two hosts of each server."""
    for name, role in (("db1", "db"), ("db2", "db"), ("my1", "mysql"), ("my2", "mysql")):
        host_factory(name, role=role)


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, hosts: None, lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    """A pair as new, and its operator."""
    pair = pair_of(lab, request.param)
    pair.begin()
    yield Bench(tmp_path, pair)


def test_a_listed_error_is_skipped_once_with_its_event_in_the_report(bench: Bench) -> None:
    pair = bench.pair
    pair.duplicate(2)
    pair.insert(2, 3)
    pair.stopped(1062)
    refused = bench.task(mode="skipevent", errors=[1032])
    assert refused["status"] == "failed"
    assert "not skipped: error 1062 is not listed (errors: 1032)" in refused["reason"]
    planned = bench.play("--check", mode="skipevent", errors=[1062]).report
    assert "shop.kv" in json.dumps(planned["changes"][0]["object"])
    assert pair.error() == 1062
    assert pair.notes() == {1: "x", 2: "of the replica"}

    done = bench.play(mode="skipevent", errors=[1062]).report
    (change,) = done["changes"]
    stopped = change["before"]["stopped_at"]
    assert stopped["error"] == 1062
    assert "Duplicate entry" in stopped["text"]
    assert any("shop.kv" in line for line in stopped["events"])
    assert bool(stopped["gtid"]) == (pair.gtid or pair.mariadb)
    assert "compare them" in done["tasks"][0]["result"]["advice"]
    pair.applied(3)
    assert pair.notes() == {1: "x", 2: "of the replica", 3: "of the primary"}
    again = bench.task(mode="skipevent", errors=[1062])
    assert (again["status"], again["reason"]) == (
        "ok",
        "replication did not stop at an error, so there is nothing to skip",
    )


def test_what_fails_after_the_skipped_one_is_told_and_stays(bench: Bench) -> None:
    pair = bench.pair
    pair.duplicate(2, 3)
    pair.insert(2, 3, 4)
    pair.stopped(1062)
    done = bench.task(mode="skipevent", errors=[1062])
    assert done["status"] == "failed"
    assert "the transaction was skipped, but replication does not run: the SQL thread stopped at error 1062" in done[
        "reason"
    ]
    assert 4 not in pair.notes()
    assert bench.task(mode="skipevent", errors=[1062])["status"] == "changed"
    pair.applied(4)


def test_a_row_that_is_not_there_and_an_error_that_is_never_skipped(bench: Bench) -> None:
    pair = bench.pair
    pair.insert(2)
    pair.applied(2)
    pair.replica.sql("SET sql_log_bin = 0; DELETE FROM shop.kv WHERE id = 2")
    pair.primary.sql("SET binlog_format = ROW; UPDATE shop.kv SET note = 'new' WHERE id = 2")
    pair.stopped(1032)
    assert bench.task(mode="skipevent", errors=[1062, 1032])["status"] == "changed"
    pair.replica.sql("SET sql_log_bin = 0; DROP TABLE shop.kv")
    pair.insert(5)
    pair.stopped(1146)
    refused = bench.task(mode="skipevent", errors=[1062, 1032])
    assert "error 1146 is not listed" in refused["reason"]
    assert pair.error() == 1146


def test_threads_stop_and_start_and_what_keeps_them_from_it_is_told(bench: Bench) -> None:
    pair = bench.pair
    assert bench.task(mode="startreplica")["status"] == "ok"
    stopped = bench.play(mode="stopreplica", threads=["sql"])
    assert stopped.report["changes"][0]["after"] == {"": {"io": True, "sql": False}}
    pair.insert(2)
    look = bench.task()["result"]["channels"][0]
    assert (look["held_up_by"], look["why"], look["lag"]) == ("stopped", "its SQL thread is stopped", None)
    assert bench.task(mode="stopreplica", threads=["sql"])["status"] == "ok"
    started = bench.play(mode="startreplica")
    assert started.report["tasks"][0]["status"] == "changed"
    pair.applied(2)
    assert bench.operator.here("rollback", started.report["run"]["id"], "--yes").code == 0
    assert pair.status()[("Slave" if pair.mariadb else "Replica") + "_SQL_Running"] == "No"
    pair.duplicate(3)
    pair.insert(3)
    failed = bench.task(mode="startreplica")
    assert failed["status"] == "failed"
    assert "the SQL thread stopped at error 1062" in failed["reason"]


def test_a_restart_gives_new_threads(bench: Bench) -> None:
    done = bench.play(mode="restartreplica")
    assert done.report["tasks"][0]["status"] == "changed", done.report["tasks"]
    bench.pair.insert(2)
    bench.pair.applied(2)


def test_workers_are_set_kept_and_taken_back(bench: Bench) -> None:
    pair = bench.pair
    name = "slave_parallel_threads" if pair.mariadb else "replica_parallel_workers"
    before = pair.replica.sql(f"SELECT @@global.{name}")
    done = bench.play(mode="workers", workers=3)
    assert done.report["tasks"][0]["status"] == "changed", done.report["tasks"]
    result = done.report["tasks"][0]["result"]
    assert (result["workers"], result["commit_order"]) == (3, "on")
    assert bool(result["options"]) == pair.mariadb
    assert pair.replica.sql(f"SELECT @@global.{name}") == "3"
    assert bench.task(mode="workers", workers=3)["status"] == "ok"
    pair.insert(2)
    pair.applied(2)
    if not pair.mariadb:
        kept = "SELECT variable_name, variable_value FROM performance_schema.persisted_variables ORDER BY 1"
        assert pair.replica.sql(kept).split() == [name, "3", "replica_preserve_commit_order", "ON"]
    assert bench.operator.here("rollback", done.report["run"]["id"], "--yes").code == 0
    assert pair.replica.sql(f"SELECT @@global.{name}") == before
    if not pair.mariadb:
        assert pair.replica.sql(kept) == ""
    pair.insert(3)
    pair.applied(3)


def test_the_primary_tells_who_follows(bench: Bench) -> None:
    pair = bench.pair
    told = bench.task(mode="getprimary", on=pair.primary.host)["result"]
    assert told["is_primary"]
    assert told["file"].startswith("binlog.")
    assert bool(told["gtid"]) == (pair.gtid or pair.mariadb)
    assert [each["host"] for each in told["replicas"]] == [pair.replica.host]
    assert bench.task(on=pair.primary.host)["result"]["is_replica"] is False
    refused = bench.task(on=pair.primary.host, mode="startreplica")
    assert "the server is no replica" in refused["reason"]
