"""An option file of the control machine logs in; a login leading elsewhere is not taken for the host's own server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pymysql
import pytest

from remedy.lab import Lab
from tests.conftest_lab import HostFactory
from tests.modules.mariadb import Database, spec
from tests.services_lab.mysql_bench import OPTION_FILE, Bench, row

pytestmark = pytest.mark.lab

ACCOUNT = "CREATE USER %s IDENTIFIED BY 'of my own'; GRANT ALL ON *.* TO %s WITH GRANT OPTION"
WHO = {"query": "SELECT CURRENT_USER() AS who, @@hostname AS host", "reads": True}


@pytest.fixture(scope="module")
def pair(lab: Lab, host_factory: HostFactory) -> tuple[Database, Database]:
    """Two servers with the same folders, each on its own host."""
    found = []
    for made in (spec("db1"), spec("db2")):
        host_factory(made.name, role=made.role, disks=made.disks)
        server = Database(lab, made.name)
        server.begin()
        for name in ("mine@'%'", "mine@localhost"):
            server.sql(ACCOUNT.replace("%s", name))
        found.append(server)
    return found[0], found[1]


@pytest.fixture
def bench(pair: tuple[Database, Database], lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    yield Bench(tmp_path, lab, "db1")
    pair[0].shell(f"rm -f {OPTION_FILE}; mariadb -e 'SET GLOBAL max_connections = 151'")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """An option file of this machine; where it leads to is true for this machine alone."""
    path = tmp_path / "mine.cnf"
    path.write_text("[client]\nuser = mine\npassword = 'of my own'\nhost = db.example\nsocket = /nowhere\n")
    path.chmod(0o600)
    return path


def test_an_option_file_of_this_machine_logs_in(bench: Bench, mine: Path) -> None:
    def who(**params: object) -> dict[str, str]:
        done = bench.task("mysql_query", **WHO, **params)
        assert done["status"] == "ok", done["reason"]
        (row,) = done["result"]["query_result"][0]
        return dict(row)

    assert who()["who"] == "root@localhost", "not read unasked"
    assert who(local_config_file=str(mine)) == {"who": "mine@localhost", "host": "db1"}
    assert who(local_config_file=str(mine), login_host="127.0.0.1")["who"].startswith("mine@")
    # As a variable of the inventory, and from the home folder.
    runbook = bench.diagnose("mysql-connections", "-e", f"mysql_local_config_file={mine}")
    assert runbook == {}
    written = b"".join(path.read_bytes() for path in bench.operator.state.rglob("*") if path.is_file())
    assert b"of my own" not in written
    mine.write_text(mine.read_text().replace("of my own", "of somebody else"))
    refused = bench.task("mysql_query", **WHO, local_config_file=str(mine))
    assert "MySQL lets mine at /run/mysqld/mysqld.sock of db1 not in" in refused["reason"]
    assert "of somebody else" not in json.dumps(refused)
    mine.chmod(0o644)
    assert (
        f"others may read {mine}" in bench.task("mysql_query", **WHO, local_config_file=str(mine))["reason"]
    )


def test_another_hosts_server_is_not_taken_for_this_hosts(
    bench: Bench, pair: tuple[Database, Database], mine: Path
) -> None:
    """Both have the same folders and names of binary logs: only where it was reached tells them apart."""
    login = {"local_config_file": str(mine), "login_host": pair[1].address}
    lasting = {"variable": "max_connections", "value": 180, "mode": "persist"}
    refused = bench.task("mysql_variables", **lasting, **login)
    assert "process is not seen on this host" in refused["reason"]
    assert pair[0].shell(f"ls {OPTION_FILE} 2> /dev/null || true") == ""
    assert pair[1].sql("SELECT @@GLOBAL.max_connections") == "151"
    for server in pair:
        server.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS")
    before = pair[1].binlogs()
    for module in ("mysql_binlogs", "mysql_binlog_purge"):
        params = {"keep": "1s", "keep_files": 1} if module == "mysql_binlog_purge" else {}
        done = bench.task(module, **params, **login)
        assert "is no process of this host's own" in done["reason"], done
    # By name: MariaDB still writes a checkpoint into the newest after a rotation has ended.
    assert pair[1].binlogs() == before
    assert len(before) >= 3, "there was something to purge"
    assert bench.task("mysql_info", **login)["result"]["capacity"]["memory_bytes"] == 0
    told = bench.task("mysql_errors", **login)["result"]["log"]
    assert (told["source"], "is no process of this host's own" in told["why"]) == (None, True), told
    # By each of its own addresses it is the host's.
    for at in ({}, {"login_host": "127.0.0.1"}, {"login_host": pair[0].address}):
        own = {"local_config_file": str(mine), **at}
        assert bench.task("mysql_info", **own)["result"]["capacity"]["memory_bytes"] > 0, at
        assert bench.task("mysql_binlogs", **own)["status"] == "ok"
        told = bench.task("mysql_errors", **own)["result"]["log"]
        assert (told["source"], told["why"]) == ("mariadb.service", ""), at
    assert bench.task("mysql_variables", **lasting, **login, login_port=3306)["status"] == "failed"
    done = bench.task("mysql_variables", **lasting, local_config_file=str(mine), login_host=pair[0].address)
    assert done["status"] == "changed", done["reason"]
    assert "max_connections" in pair[0].shell(f"cat {OPTION_FILE}")


def connected(server: Database, user: str, password: str) -> pymysql.Connection:
    """Connect; one that is turned away, as another session has not quite ended, comes again."""
    until = time.monotonic() + 10
    while True:
        try:
            return pymysql.connect(host=server.address, user=user, password=password, connect_timeout=10)
        except pymysql.err.OperationalError as error:
            if error.args[0] != 1040 or time.monotonic() > until:
                raise
        time.sleep(0.1)


def test_a_full_server_of_another_host_costs_no_client_of_this_hosts(
    bench: Bench, pair: tuple[Database, Database], mine: Path
) -> None:
    own, other = pair
    extra = "/etc/mysql/mariadb.conf.d/70-extra.cnf"
    # A door beside, which is that of this host's server alone.
    lines = "[mysqld]\\nextra_port = 3399\\nextra_max_connections = 2\\n"
    own.shell(f"printf '{lines}' > {extra}; systemctl restart mariadb")
    login = ("-e", f"mysql_local_config_file={mine}", "-e", f"mysql_login_host={other.address}")
    for server in pair:
        server.sql("GRANT ALL ON *.* TO quiet@'%' IDENTIFIED BY 'quiet'")
    other.sql("SET GLOBAL max_connections = 10")
    try:
        with ExitStack() as held:
            for server, count in ((own, 2), (other, 10)):
                for _ in range(count):
                    held.enter_context(connected(server, "quiet", "quiet"))
            # The one that is kept for administrators, too.
            held.enter_context(connected(other, "mine", "of my own"))
            done = bench.runbook("mysql-connections", *login, "-e", "mysql_end_client=true", "-e", "mysql_idle=0s")
            assert done.code == 2
            assert done.report["changes"] == []
            reason = row(done, "End the connection of the longest silent client")["reason"]
            assert f"the server at {other.address}:3306 is no process of this host's own" in reason
            assert "no client of another server is ended in its place; end one where it runs" in reason
            assert own.sql("SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'quiet'") == "2"
    finally:
        own.shell(f"rm {extra}; systemctl restart mariadb")
        # What has ended is gone a moment later.
        again = "mariadb -e 'SET GLOBAL max_connections = 151' 2> /dev/null && exit 0"
        other.shell(f"for k in $(seq 100); do {again}; sleep .1; done; exit 1")
