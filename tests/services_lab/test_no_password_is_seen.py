"""Logins with a password to MariaDB, PostgreSQL and Redis: nobody on either side sees it, and no log keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import HostSpec, Lab
from tests.acceptance.operator import Operator
from tests.acceptance.watching import Watch
from tests.modules.mariadb import Database, spec
from tests.services_lab.postgres import Postgres
from tests.services_lab.redis_host import Cache

pytestmark = pytest.mark.lab

SECRETS = {"mysql": "of-MariaDB-81", "postgres": "of-PostgreSQL-82", "redis": "of-Redis-83"}
WRONG = {"mysql": "wrong-MariaDB-84", "postgres": "wrong-PostgreSQL-85", "redis": "wrong-Redis-86"}
HOSTS = {"db1": "mysql", "pg1": "postgres", "cache1": "redis"}
PLAY = """\
- hosts: db1
  gather_facts: false
  tasks:
    - mysql_variables: {variable: max_connections, value: %(number)d, mode: persist}
    - mysql_query: {query: "INSERT INTO shop.kv VALUES (%(number)d, 'x')"}
- hosts: pg1
  gather_facts: false
  tasks:
    - postgresql_set: {name: log_min_duration_statement, value: "%(number)d"}
- hosts: cache1
  gather_facts: false
  tasks:
    - redis_config: {name: timeout, value: "%(number)d"}
- hosts: all
  gather_facts: false
  tasks:
    - {name: takes a while, command: sleep 0.52, changed_when: false}
"""
LOGS = """
journalctl --no-pager -a -o export
find /var/log /var/lib/remedy /tmp /var/tmp /root /home /run -xdev -type f -exec cat -- {} + 2> /dev/null || true
"""


@pytest.fixture(scope="module")
def hosts(lab: Lab, host_factory: Any) -> Lab:
    """Servers with an account each that has a password, which no command line has said."""
    host_factory("db1", role="db", disks=spec("db1").disks)
    lab.up([HostSpec("pg1", role="postgres"), HostSpec("cache1", role="cache")])
    db, pg, cache = Database(lab, "db1"), Postgres(lab, "pg1"), Cache(lab, "cache1")
    db.begin()
    seed = f"CREATE USER ops@'%' IDENTIFIED BY '{SECRETS['mysql']}'; GRANT ALL ON *.* TO ops@'%';"
    lab.run("db1", ["mariadb"], stdin=seed.encode())
    pg.begin()
    pg.sql(f"CREATE ROLE ops SUPERUSER LOGIN PASSWORD '{SECRETS['postgres']}'")
    cache.clean()
    lab.run("cache1", ["redis-cli"], stdin=f"config set requirepass {SECRETS['redis']}".encode())
    return lab


def operator(folder: Path, lab: Lab, passwords: dict[str, str]) -> Operator:
    made = Operator(folder, lab, ansible_become=True)
    for host, service in HOSTS.items():
        login = {"login_password": passwords[service], "login_host": "127.0.0.1"}
        if service != "redis":
            login["login_user"] = "ops"
        made.add(host, lab.host(host), **{f"{service}_{name}": value for name, value in login.items()})
    return made


def test_no_password_of_a_database_is_seen_by_others_or_kept_in_a_log(hosts: Lab, tmp_path: Path) -> None:
    good, bad = operator(tmp_path / "good", hosts, SECRETS), operator(tmp_path / "bad", hosts, WRONG)
    flags = ("--yes", "--diff", "-vvvv")
    with Watch() as watch:
        console = good.play(PLAY % {"number": 171}, *flags, json=False)
        assert console.code == 0, console.stdout + console.stderr
        document = good.play(PLAY % {"number": 172}, *flags)
        assert document.code == 0, document.stdout + document.stderr
        refused = bad.play(PLAY % {"number": 173}, *flags)
    assert {each["host"] for each in document.report["changes"]} == set(HOSTS)
    assert refused.code == 2
    reasons = {each["host"]: each["reason"] for each in refused.report["tasks"] if each["status"] == "failed"}
    assert set(reasons) == set(HOSTS), reasons
    run = document.report["run"]["id"]
    history = good.remedy("history", "show", run, json=False)
    assert history.code == 0, history.stderr
    assert watch.looks > 10
    assert b"sleep\x000.52" in watch.words(), "the hosts were watched"
    assert b"--diff\x00-vvvv" in watch.words(), "and this side"
    places = {
        "seen by others": watch.words(),
        "the console": (console.stdout + console.stderr).encode(),
        "the document": (document.stdout + document.stderr).encode(),
        "what a refused login says": json.dumps(refused.report).encode() + refused.stderr.encode(),
        "the history": (history.stdout + history.stderr).encode(),
        "the state folders": good.journal() + bad.journal(),
    }
    for host in HOSTS:
        logs = hosts.run(host, ["sh", "-c", LOGS], timeout=60).stdout.encode(errors="surrogateescape")
        assert b"sshd" in logs
        places[f"what {host} keeps"] = logs
    for place in ("the console", "the document", "the history", "the state folders"):
        assert b"log_min_duration_statement" in places[place], f"{place} tells what was done"
    for place, words in places.items():
        for secret in (*SECRETS.values(), *WRONG.values()):
            assert secret.encode() not in words, f"{secret} is in {place}"
