"""mysql-errors on a real MariaDB: errors are found where they are told, and lead to what heals them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.lab import Lab
from tests.conftest_lab import HostFactory
from tests.modules.mariadb import spec
from tests.services_lab.mysql_bench import Bench, changes

pytestmark = pytest.mark.lab

NOWHERE = json.dumps({"mysql_errors_addresses": ["127.0.0.1:1", "127.0.0.1:3306"]})


@pytest.fixture(scope="module")
def host(lab: Lab, host_factory: HostFactory) -> str:
    made = spec("db1")
    host_factory(made.name, role=made.role, disks=made.disks)
    return made.name


@pytest.fixture
def bench(host: str, lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    lab.run(host, ["systemctl", "start", "mariadb"])
    yield Bench(tmp_path, lab, host)
    lab.reset(host)


def test_errors_of_the_log_and_of_trying(bench: Bench) -> None:
    assert bench.diagnose("mysql-errors") == {}
    bench.fault("fault_mysql_errors")
    found = bench.diagnose("mysql-errors", "-e", NOWHERE)
    assert set(found) == {"mysql-error-1062", "mysql-error-1146", "mysql-error-2003"}
    assert found["mysql-error-1146"]["title"] == "1146: remedy_drill_errors.customers does not exist"
    assert "Duplicate entry '1'" in found["mysql-error-1062"]["evidence"]["evidence"][0]
    assert not found["mysql-error-1062"]["evidence"]["replication"]
    (said,) = found["mysql-error-2003"]["evidence"]["evidence"]
    assert said.startswith("127.0.0.1:1: ")
    assert "mariadb.service" in found["mysql-error-2003"]["advice"]
    assert changes(bench.runbook("mysql-errors")) == []
    bench.fault("fault_mysql_errors", state="absent")
    assert bench.variable("event_scheduler") == "OFF"


def test_a_replica_that_stopped_is_led_to_its_runbook(bench: Bench) -> None:
    bench.db.sql("CHANGE MASTER TO master_host='127.0.0.1', master_port=1, master_user='x', master_connect_retry=1; "
                 "START SLAVE IO_THREAD")  # fmt: skip
    bench.db.shell(
        "until mariadb -e 'SHOW SLAVE STATUS\\G' | grep -q 'Last_IO_Errno: 2003'; do sleep .1; done"
    )
    found = bench.diagnose("mysql-errors")
    assert set(found) == {"mysql-error-2003"}
    assert found["mysql-error-2003"]["evidence"]["replication"]
    assert "remedy play mysql-replication" in found["mysql-error-2003"]["advice"]


def test_connections_used_up_are_led_to_their_runbook(bench: Bench) -> None:
    bench.fault("fault_mysql_connections", reserved=True)
    found = bench.diagnose("mysql-errors")
    assert set(found) == {"mysql-error-1040"}
    assert "remedy play mysql-connections" in found["mysql-error-1040"]["advice"]


def test_a_server_that_does_not_run_is_told(bench: Bench) -> None:
    bench.db.lab.run(bench.name, ["systemctl", "stop", "mariadb"])
    for runbook in ("mysql-errors", "mysql-connections", "mysql-slow"):
        found = bench.diagnose(runbook)
        assert set(found) == {"mysql-down"}
        assert found["mysql-down"]["title"] == "MySQL does not run: mariadb.service is inactive"
        assert found["mysql-down"]["severity"] == "P1"
        assert "systemctl start mariadb.service" in found["mysql-down"]["advice"]
    assert set(bench.diagnose("mysql-replication")) == {"replication-unknown"}
    assert bench.operator.here("play", "mysql-slow", "--yes").code == 2, "it is down still"
    found = bench.diagnose("mysql-errors", "-e", NOWHERE)
    assert set(found) == {"mysql-down", "mysql-error-2003"}
    assert "Servers that run here: none" in found["mysql-error-2003"]["advice"]
    assert "(127.0.0.1:1: connection refused)" in found["mysql-error-2003"]["evidence"]["evidence"][1]


def test_a_server_that_cannot_start_is_told_with_its_log(bench: Bench) -> None:
    bench.db.shell("printf '[mysqld]\\nno_such_option=1\\n' > /etc/mysql/mariadb.conf.d/70-wrong.cnf; "
                   "systemctl restart mariadb || true")  # fmt: skip
    down = bench.diagnose("mysql-connections")["mysql-down"]
    (unit,) = down["evidence"]
    assert (unit["name"], unit["state"], unit["exit"]) == ("mariadb.service", "failed", 7)
    assert down["title"] == "MySQL does not run: mariadb.service is failed (exit-code, exit status 7)"
    assert any("unknown variable 'no_such_option=1'" in line for line in unit["log"])


def test_a_host_without_a_server_to_run_has_no_finding(bench: Bench) -> None:
    bench.db.shell("systemctl disable --now mariadb")
    assert bench.diagnose("mysql-slow") == {}


def test_a_server_at_an_unusual_place_is_found_there(bench: Bench) -> None:
    bench.db.shell("printf '[mysqld]\\nsocket=/run/mysqld/other.sock\\nport=3400\\n' > "
                   "/etc/mysql/mariadb.conf.d/70-place.cnf; systemctl restart mariadb")  # fmt: skip
    assert bench.task("mysql_info")["result"]["variant"] == "MariaDB"
