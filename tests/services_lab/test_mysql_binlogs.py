"""mysql_binlogs and mysql_binlog_purge on a real pair of MySQL 9: what the replica needs stays, on a full disk too.

On MariaDB: tests/modules/test_mysql_binlogs_lab.py and tests/acceptance/test_disk_full_binlogs.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.conftest_lab import HostFactory
from tests.services_lab.pairs import Bench, Pair, pair_of

from remedy.lab import Disk, Lab

pytestmark = pytest.mark.lab
FOLDER = "/var/lib/mysql"


@pytest.fixture(scope="module")
def hosts(host_factory: HostFactory) -> None:
    """Two hosts with MySQL; the first one's data lie on a disk that is soon full."""
    host_factory("my1", role="mysql", disks={FOLDER: Disk("400M")})
    host_factory("my2", role="mysql")


@pytest.fixture(params=["mysql-gtid", "mysql-positions"])
def bench(request: pytest.FixtureRequest, hosts: None, lab: Lab, tmp_path: Path) -> Bench:
    """A pair with six old binary logs, all applied."""
    pair = pair_of(lab, request.param)
    pair.begin()
    rotate(pair, 5)
    pair.insert(90)
    pair.applied(90)
    return Bench(tmp_path, pair)


def rotate(pair: Pair, times: int) -> None:
    """Write and rotate; the files that are done look five days old."""
    pair.primary.sql("REPLACE INTO shop.kv VALUES (50, RAND()); FLUSH BINARY LOGS;" * times)
    old = " ".join(f"{FOLDER}/{name}" for name in files(pair)[:-1])
    pair.primary.lab.run(pair.primary.host, ["sh", "-c", f"touch -d '5 days ago' {old}"])


def files(pair: Pair) -> list[str]:
    return [line.split("\t")[0] for line in pair.primary.sql("SHOW BINARY LOGS").splitlines()]


def purge(bench: Bench, *flags: str, module: str = "mysql_binlog_purge", **params: Any) -> dict[str, Any]:
    """Play one task on the primary; return its line of the report."""
    task = {module: {"keep": "1d", "keep_files": 2, **params}}
    book = [{"hosts": bench.pair.primary.host, "gather_facts": False, "tasks": [task]}]
    path = bench.operator.write("playbooks/purge.yml", json.dumps(book))
    (found,) = bench.operator.here("play", str(path), *(flags or ("--yes",))).report["tasks"]
    return dict(found)


def kept(task: dict[str, Any]) -> dict[str, str]:
    return {each["item"]: each["reason"] for each in task["kept"]}


def test_what_the_replica_has_applied_goes_and_a_second_play_does_nothing(bench: Bench) -> None:
    before = files(bench.pair)
    found = purge(bench, module="mysql_binlogs")["result"]
    (replica,) = found["replicas"]
    assert replica["name"].startswith("my2 (server id ")
    assert (replica["reached"], replica["needs"]) == (True, before[-1])
    assert [each["item"] for each in found["takes"]] == before[:-2]
    assert purge(bench, "--check")["status"] == "changed"
    assert files(bench.pair) == before
    done = purge(bench)
    assert done["status"] == "changed", done["reason"]
    assert files(bench.pair) == before[-2:]
    assert purge(bench)["status"] == "ok"


def test_what_a_stopped_replica_has_not_applied_stays(bench: Bench) -> None:
    at = files(bench.pair)[-1]
    bench.pair.replica.sql("STOP REPLICA SQL_THREAD")
    rotate(bench.pair, 3)
    done = purge(bench, replicas=["my2"])
    assert files(bench.pair)[0] == at
    assert kept(done)[at] == f"my2 has not applied it: it is at {at}; its SQL thread is stopped"
    bench.pair.replica.sql("STOP REPLICA")
    assert purge(bench, replicas=["my2"])["status"] == "ok"
    assert files(bench.pair)[0] == at


def test_the_server_is_found_among_the_processes(bench: Bench) -> None:
    told = bench.operator.run("my1", "mysql_servers", "", "-b").tasks()["mysql_servers"]["result"]
    (server,) = told["servers"]
    assert (server["program"], server["user"], server["unit"]) == ("mysqld", "mysql", "mysql.service")
    assert (server["binlogs"], server["container"], told["binlogs"]) == (FOLDER, False, [FOLDER])


def test_a_full_disk_is_freed(bench: Bench) -> None:
    """Not a byte is left for the server, and a writer waits: binary logs go all the same, and it writes again."""
    pair = bench.pair
    lab, host = pair.primary.lab, pair.primary.host
    pair.primary.sql("REPLACE INTO shop.kv VALUES (60, REPEAT('x', 60000));" * 100)
    rotate(pair, 1)
    pair.insert(91)
    pair.applied(91)
    lab.run(host, ["sh", "-c", FILL], timeout=120)
    try:
        done = purge(bench, keep_files=1, end_writers=True, lend_reserve=True)
        assert done["status"] == "changed", done["reason"]
        assert done["result"]["free_after"] > done["result"]["free_before"]
        pair.insert(92)
    finally:
        lab.run(host, ["rm", "-f", f"{FOLDER}/.filler"])
    pair.applied(92)


# One row is updated until the server waits for space: only the binary log grows by that.
FILL = r"""
set -eu
free() { df -k --output=avail /var/lib/mysql | tail -1; }
rm -f /var/lib/mysql/.filler
fallocate -l $(($(free) - 6144))K /var/lib/mysql/.filler
write() { i=0; while [ $i -lt 400 ]; do
  echo "UPDATE shop.kv SET note = REPEAT(SHA2(RAND(), 256), 900) WHERE id = 60;"; i=$((i + 1)); done; }
write > /tmp/fill.sql
setsid mysql < /tmp/fill.sql > /tmp/fill.out 2>&1 &
for k in $(seq 300); do
  mysql -NBe 'SHOW PROCESSLIST' | grep -q 'disk space' && exit 0
  sleep .1
done
echo "the disk was not filled: $(free) KiB free; $(cat /tmp/fill.out); $(mysql -NBe 'SHOW PROCESSLIST')"; exit 1
"""
