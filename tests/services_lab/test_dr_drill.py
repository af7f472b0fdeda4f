"""The disaster drill on real servers: what came back is measured, nothing of it stays, and no other host is drilled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remedy.lab import Lab
from tests.acceptance.operator import Operator
from tests.conftest_lab import HostFactory
from tests.modules.mariadb import Database
from tests.services_lab.postgres import Postgres

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def servers(lab: Lab, host_factory: HostFactory) -> tuple[Database, Postgres]:
    host_factory("dr1", role="db")
    host_factory("dr2", role="postgres")
    lab.run("dr1", ["systemctl", "start", "mariadb"])
    mariadb, postgres = Database(lab, "dr1"), Postgres(lab, "dr2")
    mariadb.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY); INSERT INTO shop.orders VALUES (1)"
    )
    postgres.begin()
    return mariadb, postgres


def test_both_servers_are_drilled_and_measured_and_nothing_stays(
    servers: tuple[Database, Postgres], lab: Lab, tmp_path: Path
):
    mariadb, postgres = servers
    operator = Operator(tmp_path, lab, lab.host("dr1"), lab.host("dr2"), ansible_become=True, drill=True)
    before = (
        mariadb.sql("SHOW DATABASES; CHECKSUM TABLE shop.orders"),
        postgres.sql("SELECT datname FROM pg_database"),
    )
    done = operator.here("play", "dr-drill", "--yes", "-e", "dr_rows=500", "-e", "dr_commits=10")
    assert done.code == 0, done.report
    assert {finding["id"]: finding["resolved"] for finding in done.report["findings"]} == {
        "dr-mysql": True,
        "dr-postgres": True,
    }
    measured = {
        task["host"]: task["result"]
        for task in done.report["tasks"]
        if task["task"] == "What came back" and task["status"] == "ok"
    }
    assert measured["dr1"]["lost_rows"] == 0
    assert measured["dr1"]["lost_seconds"] == 0
    assert measured["dr2"]["lost_rows"] == 20, "ten orders, and their lines in the ledger"
    assert 0 < measured["dr2"]["lost_seconds"] < 60
    assert all(0 < each["seconds"] < 60 and each["within"] for each in measured.values())
    after = (
        mariadb.sql("SHOW DATABASES; CHECKSUM TABLE shop.orders"),
        postgres.sql("SELECT datname FROM pg_database"),
    )
    assert after == before
    for server in servers:
        assert server.shell("ls -d /var/backups/remedy-drill 2>/dev/null || true") == ""


def test_a_schedule_may_drill_for_the_database_is_the_drills_own(
    servers: tuple[Database, Postgres], lab: Lab, tmp_path: Path
):
    operator = Operator(tmp_path, lab, lab.host("dr1"), lab.host("dr2"), ansible_become=True, drill=True)
    done = operator.scheduled("dr-drill", "all", dr_rows=500, dr_commits=10)
    assert done.code == 0, done.stderr
    assert {finding["resolved"] for finding in done.report["findings"]} == {True}


def test_without_leave_it_is_refused_before_the_first_change(
    servers: tuple[Database, Postgres], lab: Lab, tmp_path: Path
):
    """The backup that is restored is made by the drill itself: the check pass cannot tell what would happen."""
    operator = Operator(tmp_path, lab, lab.host("dr1"), lab.host("dr2"), ansible_become=True, drill=True)
    done = operator.here("play", "dr-drill")
    assert done.code == 3, done.stderr
    assert done.report["changes"] == []
    said = done.stdout + done.stderr
    assert "nobody has approved what this play would do" in said
    assert "Let the two change names" in said
    assert "remedy_drill" not in servers[0].sql("SHOW DATABASES") + servers[1].sql(
        "SELECT datname FROM pg_database"
    )
    for server in servers:
        assert server.shell("ls -d /var/backups/remedy-drill 2>/dev/null || true") == ""


def test_a_recovery_that_takes_or_loses_too_much_fails_the_drill(
    servers: tuple[Database, Postgres], lab: Lab, tmp_path: Path
):
    operator = Operator(tmp_path, lab, lab.host("dr2"), ansible_become=True, drill=True)
    limits = ("-e", "dr_rows=10", "-e", "dr_commits=3", "-e", "dr_lost_postgres=0s")
    done = operator.here("play", "dr-drill", "--yes", *limits)
    assert done.code == 2
    assert "lost" in done.report["tasks"][-1]["reason"] + json.dumps(done.report["tasks"])
    assert "remedy_drill" not in servers[1].sql("SELECT datname FROM pg_database")


def test_a_host_that_is_not_there_to_be_broken_is_refused_before_it_is_asked(
    servers: tuple[Database, Postgres], lab: Lab, tmp_path: Path
):
    operator = Operator(tmp_path, lab, lab.host("dr1"), ansible_become=True)
    done = operator.here("play", "dr-drill", "--yes", "-e", "drill=true")
    assert done.code == 3
    assert "the inventory does not mark dr1 for that" in done.stdout + done.stderr
    assert done.report.get("hosts", {}) == {}, "no host was contacted"
    assert "remedy_drill" not in servers[0].sql("SHOW DATABASES")


def test_without_the_name_of_a_database_nothing_is_looked_at(
    servers: tuple[Database, Postgres], lab: Lab, tmp_path: Path
):
    operator = Operator(tmp_path, lab, lab.host("dr1"), ansible_become=True)
    done = operator.here("diagnose", "mysql-restore")
    assert done.code == 2
    assert "set -e restore_database=NAME" in json.dumps(done.report)
    done = operator.here(
        "play", "mysql-restore", "--yes", "-e", "restore_database=shop", "-e", "restore_confirm=shoo"
    )
    assert done.code == 2
    # Without restore_confirm it only tells.
    done = operator.here(
        "play", "mysql-restore", "--yes", "-e", "restore_database=shop", "-e", "restore_backup=newest"
    )
    assert [finding["id"] for finding in done.report["findings"]] == ["backup-missing"]
    assert done.report["changes"] == []
