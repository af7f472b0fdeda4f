"""A wrong password, or an account without rights: every runbook says so, changes nothing, and is no success."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from tests.acceptance.healing import why
from tests.acceptance.operator import Operator
from tests.modules.mariadb import Database, spec
from tests.services_lab.postgres import Postgres
from tests.services_lab.redis_host import Cache

pytestmark = pytest.mark.lab

HOSTS = {"mysql": "db1", "postgres": "pg1", "redis": "cache1"}
OPTIONS = "/root/wrong.cnf"
LOGINS: dict[str, dict[str, Any]] = {
    "mysql": {"mysql_login_user": "ops", "mysql_login_password": "wrong", "mysql_config_file": OPTIONS},
    "postgres": {"postgres_login_user": "ops", "postgres_login_password": "wrong", "postgresql_login_user": "ops"},
    "redis": {"redis_login_password": "wrong"},
}
SAYS = {"mysql": "Access denied", "postgres": "authentication failed", "redis": "WRONGPASS"}
BOOKS = Path(__file__).parents[2] / "playbooks"
RUNBOOKS = sorted(
    path.stem for path in BOOKS.glob("*.yml") if set(path.stem.split("-")) & set(HOSTS) and "dr" not in path.stem
)


@pytest.fixture(scope="module")
def hosts(lab: Lab, host_factory: Any) -> Lab:
    """Servers that ask for a password."""
    host_factory("db1", role="db", disks=spec("db1").disks)
    host_factory("pg1", role="postgres")
    host_factory("cache1", role="cache")
    db, pg, cache = Database(lab, "db1"), Postgres(lab, "pg1"), Cache(lab, "cache1")
    db.begin()
    db.sql("CREATE USER ops@'%' IDENTIFIED BY 'right'; GRANT ALL ON *.* TO ops@'%'")
    db.shell(f"printf '[client]\\nuser = ops\\npassword = wrong\\n' > {OPTIONS}")
    pg.begin()
    pg.sql("CREATE ROLE ops SUPERUSER LOGIN PASSWORD 'right'")
    cache.clean()
    cache.cli("config", "set", "requirepass", "right")
    return lab


def test_the_runbooks_are_all_here() -> None:
    assert {"mysql-replication", "postgres-disk", "redis-down", "maintenance-mysql"} <= set(RUNBOOKS)
    assert len(RUNBOOKS) >= 13


@pytest.mark.parametrize("runbook", RUNBOOKS)
def test_who_is_not_let_in_fails_and_changes_nothing(hosts: Lab, tmp_path: Path, runbook: str) -> None:
    service = next(name for name in HOSTS if name in runbook)
    operator = Operator(tmp_path, hosts, ansible_become=True)
    operator.add(HOSTS[service], hosts.host(HOSTS[service]), **LOGINS[service])
    done = operator.here("play", runbook, "--yes", "-e", "restore_database=shop")
    assert done.code == 2, (done.report["findings"], why(done))
    assert done.report["changes"] == []
    reasons = [each["reason"] or "" for each in done.report["tasks"] if each["status"] == "failed"]
    assert any(SAYS[service] in each for each in reasons), reasons


WEAK: dict[str, dict[str, Any]] = {
    "mysql": {"mysql_login_user": "weak", "mysql_login_password": "weak"},
    "postgres": {"postgres_login_user": "weak", "postgres_login_password": "weak"},
    "redis": {"redis_login_user": "weak", "redis_login_password": "weak"},
}
LACKS = {"mysql": "GRANT PROCESS|you need", "postgres": "pg_read_all|may not list", "redis": "NOPERM"}
# What these look at every role may see; a restore logs in as nobody else than who may do all.
SEEN = ("maintenance-postgres", "postgres-replication", "mysql-restore", "postgres-restore")


@pytest.fixture(scope="module")
def weak(hosts: Lab) -> Lab:
    """Accounts that are let in, and may ask nothing."""
    Database(hosts, "db1").sql("CREATE USER weak@'%' IDENTIFIED BY 'weak'")
    Postgres(hosts, "pg1").sql("CREATE ROLE weak LOGIN PASSWORD 'weak'")
    Cache(hosts, "cache1").cli("-a", "right", "ACL", "SETUSER", "weak", "on", ">weak", "+ping", "+hello")
    return hosts


@pytest.mark.parametrize("runbook", [name for name in RUNBOOKS if name not in SEEN])
def test_who_may_not_ask_fails_and_changes_nothing(weak: Lab, tmp_path: Path, runbook: str) -> None:
    service = next(name for name in HOSTS if name in runbook)
    operator = Operator(tmp_path, weak, ansible_become=True)
    operator.add(HOSTS[service], weak.host(HOSTS[service]), **WEAK[service])
    done = operator.here("play", runbook, "--yes")
    assert done.code == 2, (done.report["findings"], why(done))
    assert done.report["changes"] == []
    reasons = [each["reason"] or "" for each in done.report["tasks"] if each["status"] == "failed"]
    assert any(re.search(LACKS[service], each) for each in reasons), reasons
    assert not [each["id"] for each in done.report["findings"] if each["id"].endswith("-down")]
