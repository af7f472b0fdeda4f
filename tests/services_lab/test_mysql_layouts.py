"""The runbooks of MySQL on hosts with a second MariaDB, and with one that listens elsewhere than usual."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.lab import Lab
from tests.conftest_lab import HostFactory
from tests.modules.mariadb import Database, spec
from tests.services_lab.mysql_bench import OPTION_FILE, Bench, changes

pytestmark = pytest.mark.lab

FOLDER = "/etc/mysql/mariadb.conf.d"
SOCKET = "/run/mysqld/second.sock"
SECOND = f"mariadb --socket={SOCKET}"
NAMED = ("-e", "mysql_login_port=3307")
_SECOND = f"""
printf '%s\\n' '[mariadbd.second]' datadir=/var/lib/second port=3307 socket={SOCKET} log-error=/var/lib/second.log \\
  pid-file=/run/mysqld/second.pid log-bin=/var/lib/second/bin server-id=77 max_connections=12 > {FOLDER}/70-second.cnf
mkdir -p /var/lib/second; touch /var/lib/second.log; chown mysql:mysql /var/lib/second /var/lib/second.log
mariadb-install-db --no-defaults --user=mysql --datadir=/var/lib/second --auth-root-authentication-method=socket \\
  --skip-test-db > /dev/null
systemctl enable -q --now mariadb@second 2> /dev/null
for server in mariadb '{SECOND}'; do $server -e "CREATE USER app@localhost IDENTIFIED BY 'app'"; done
"""
_SLEEPERS = """
for k in $(seq $1); do
  # Who asks below may have the last slot just then: one that is turned away comes again.
  client="until mariadb --socket=$2 -uapp -papp; do sleep .2; done"
  systemd-run -q --collect --unit=sleeper-$k sh -c "sleep 300 | sh -c '$client'"
done
asked="SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'app' AND COMMAND = 'Sleep' AND TIME >= 2"
for k in $(seq 100); do [ "$(mariadb --socket=$2 -NBe "$asked")" = $1 ] && exit 0; sleep .2; done; exit 1
"""


@pytest.fixture(scope="module")
def name(lab: Lab, host_factory: HostFactory) -> str:
    host_factory("m1", role="db", disks=spec("m1").disks)
    Database(lab, "m1").begin()
    return "m1"


@pytest.fixture
def bench(lab: Lab, name: str, tmp_path: Path) -> Iterator[Bench]:
    found = Bench(tmp_path, lab, name)
    yield found
    found.db.shell(
        f"systemctl stop 'sleeper-*' mariadb@second; rm -rf {FOLDER}/7*.cnf {FOLDER}/zz-remedy* /var/lib/second*; "
        "systemctl reset-failed; mariadb -e 'DROP USER IF EXISTS app@localhost'; systemctl restart mariadb"
    )


def test_a_port_alone_names_one_of_several_instances(bench: Bench) -> None:
    """It has groups of its own in the option files that both read, and a drop-in of its own for them."""
    shell = bench.db.shell
    shell(_SECOND)
    for book in ("mysql-connections", "mysql-slow", "mysql-errors", "maintenance-mysql"):
        assert bench.diagnose(book, *NAMED) == {}
        assert bench.diagnose(book) == {}
    for host in ({}, {"login_host": "localhost"}):
        asked = bench.task("mysql_query", query="SELECT @@port AS port", login_port=3307, **host)
        assert asked["result"]["query_result"] == [[{"port": 3307}]], asked
    shell(_SLEEPERS, "12", SOCKET)
    assert bench.diagnose("mysql-connections", "-e", "mysql_idle=2s") == {}
    done = bench.runbook("mysql-connections", *NAMED, "-e", "mysql_idle=2s", "-e", "mysql_max_connections=20")
    assert done.code == 0, done.stdout
    own = f"{FOLDER}/zz-remedy_second.cnf"
    assert ("Raise max_connections", f"mysql_option:{own}:max_connections") in changes(done)
    assert "[mysqld.second]" in shell(f"cat {own}")
    assert shell(f"test -e {OPTION_FILE} || echo none").strip() == "none"
    users = "(SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'app')"
    asked = f"SELECT @@max_connections, @@wait_timeout, {users}"
    assert shell(f'{SECOND} -NBe "{asked}"').split() == ["20", "600", "0"]
    assert bench.db.sql(asked).split() == ["151", "28800", "0"]
    shell("systemctl restart mariadb@second")
    assert shell(f"{SECOND} -NBe 'SELECT @@max_connections'").strip() == "20"

    # What its own option file says cannot be seen while it is down: nothing is taken back in the other one's.
    shell("systemctl stop mariadb@second")
    undone = bench.operator.here("rollback", done.report["run"]["id"], "--yes")
    assert "max_connections" in shell(f"cat {own}"), undone.stdout
    done = bench.runbook("mysql-connections", *NAMED)
    assert (done.code, [each["id"] for each in done.report["findings"]]) == (2, ["mysql-down"])
    assert "127.0.0.1:3307" in done.report["findings"][0]["evidence"]


@pytest.mark.parametrize("how", ["stop mariadb", "kill --signal=KILL mariadb"])
def test_an_instance_is_not_taken_for_the_server_that_is_down(how: str, bench: Bench) -> None:
    shell = bench.db.shell
    shell(_SECOND)
    shell(_SLEEPERS, "12", SOCKET)
    own = "/run/systemd/system/mariadb.service.d"
    shell(f"mkdir -p {own}; printf '[Service]\\nRestart=no\\n' > {own}/no.conf; systemctl daemon-reload; "
          f"systemctl {how}; "
          "for k in $(seq 100); do systemctl is-active -q mariadb || break; sleep .1; done; "
          f"rm -r {own}; systemctl daemon-reload; ! systemctl is-active -q mariadb")  # fmt: skip
    for book, *more in (("mysql-connections", "-e", "mysql_idle=2s"), ("mysql-slow",), ("maintenance-mysql",)):
        done = bench.runbook(book, *more)
        assert done.code != 0, (book, done.stdout)
        assert "mariadb@second.service is another server: name it by its port if it is meant" in done.stdout, book
        assert changes(done) == []
    asked = "SELECT @@max_connections, COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'app'"
    assert shell(f'{SECOND} -NBe "{asked}"').split() == ["12", "12"]
    assert list(bench.diagnose("mysql-connections", *NAMED)) == ["mysql-connections"]


def test_a_drop_in_that_another_instance_reads_too_is_told(bench: Bench) -> None:
    bench.db.shell(_SECOND)
    task = {"mysql_variables": {"variable": "wait_timeout", "value": 700, "mode": "persist"}}
    book = bench.operator.named([{"hosts": bench.name, "gather_facts": False, "tasks": [task]}])
    done = bench.operator.play(book, "--yes", json=False)
    told = f"the server in /var/lib/second reads wait_timeout from {OPTION_FILE}, too, at its next start"
    assert told in " ".join(done.stdout.split()), done.stdout


def test_binary_logs_and_the_log_are_those_of_the_instance(bench: Bench) -> None:
    shell = bench.db.shell
    shell(_SECOND)
    shell(f"for k in 1 2 3; do for s in mariadb '{SECOND}'; do $s -e 'FLUSH BINARY LOGS'; done; done")
    shell("touch -d '40 days ago' $(ls /var/lib/second/bin.0*[0-9] /var/lib/mysql/binlog.0*[0-9] | grep -v '4$')")
    before = shell("ls /var/lib/mysql/binlog.0*")
    done = bench.runbook("maintenance-mysql", *NAMED, "-e", "binlog_keep=7d")
    assert done.code == 0, done.stdout
    assert shell("ls /var/lib/mysql/binlog.0*") == before
    assert len(shell("ls /var/lib/second/bin.0*[0-9]").split()) < 4
    shell("touch /var/lib/mysql/binlog.0*")
    shell("echo \"$(date '+%F %T') 9 [Warning] Too many connections\" >> /var/lib/second.log")
    assert bench.diagnose("mysql-errors") == {}
    assert list(bench.diagnose("mysql-errors", *NAMED)) == ["mysql-error-1040"]


def test_a_server_whose_socket_is_elsewhere_is_well(bench: Bench) -> None:
    bench.db.shell(f"printf '[mysqld]\\nskip-networking\\nsocket=/var/lib/mysql/own.sock\\n' > {FOLDER}/75-own.cnf; "
                   "systemctl restart mariadb")  # fmt: skip
    for book in ("mysql-connections", "mysql-slow", "mysql-errors", "maintenance-mysql"):
        done = bench.runbook(book)
        assert (done.code, done.report["findings"]) == (0, []), (book, done.stdout)


def test_a_server_that_is_starting_still_is_no_other_one(bench: Bench) -> None:
    """Its unit counts as down until all that belongs to its start is done, while it takes connections already."""
    own = "/run/systemd/system/mariadb.service.d"
    bench.db.shell(f"printf '[mysqld]\\nskip-networking\\nsocket=/var/lib/mysql/own.sock\\n' > {FOLDER}/75-own.cnf; "
                   f"mkdir -p {own}; printf '[Service]\\nExecStartPost=sleep 60\\n' > {own}/slow.conf; "
                   "systemctl daemon-reload; systemctl restart --no-block mariadb; "
                   "for k in $(seq 100); do mariadb --socket=/var/lib/mysql/own.sock -e 'SELECT 1' && break; "
                   "sleep .1; done; "
                   "[ $(systemctl is-active mariadb) = activating ]")  # fmt: skip
    try:
        assert bench.diagnose("mysql-connections") == {}
    finally:
        bench.db.shell(f"rm -r {own}; systemctl daemon-reload; systemctl stop mariadb")
