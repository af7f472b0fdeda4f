"""mysql_binlogs and mysql_binlog_purge on a real pair of MySQL 9: what the replica needs stays, on a full disk too.

On MariaDB: test_mariadb_binlogs.py and test_disk_full_binlogs.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Disk, Lab
from tests.conftest_lab import HostFactory
from tests.services_lab.pairs import Bench, Pair, pair_of

pytestmark = pytest.mark.lab
FOLDER = "/var/lib/mysql"


@pytest.fixture(scope="module")
def hosts(host_factory: HostFactory) -> None:
    """Two hosts with MySQL; the first one's data lie on a disk that is soon full."""
    host_factory("my1", role="mysql", disks={FOLDER: Disk("400M", reserved=2)})
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


@pytest.mark.soak  # the server waits a minute for room; on MariaDB a drill tries it
@pytest.mark.parametrize("bench", ["mysql-gtid"], indirect=True)
def test_a_full_disk_is_freed_and_no_session_is_ended(bench: Bench) -> None:
    """Not a byte is left and a writer waits: with a little lent, what may go goes, and the writer goes on."""
    pair = bench.pair
    lab, host = pair.primary.lab, pair.primary.host
    pid = lab.run(host, ["pidof", "mysqld"]).stdout
    # More than the writer lacks.
    pair.primary.sql("".join(f"REPLACE INTO shop.kv VALUES (51, REPEAT('{n % 10}', 60000));" for n in range(100)))
    rotate(pair, 1)
    pair.insert(91)
    pair.applied(91)
    try:
        lab.run(host, ["sh", "-c", FILL, "sh", FOLDER], timeout=120)
        found = purge(bench, module="mysql_binlogs", keep_files=1)["result"]
        assert len(found["waiting"]) == 1
        done = purge(bench, keep_files=1, end_writers=True, lend_reserve=True)
        assert done["status"] == "changed", done["reason"]
        assert "ended" not in done["result"]
        assert done["result"]["free_after"] > done["result"]["free_before"]
        assert lab.run(host, ["pidof", "mysqld"]).stdout == pid
        # The server looks once a minute whether there is room again.
        pair.primary.until("SELECT note FROM shop.kv WHERE id = 60", "the last", 75)
    finally:
        lab.run(host, ["sh", "-c", f"rm -f {FOLDER}/.filler; mysql -e 'SET GLOBAL max_binlog_size = 1048576'"])
    pair.insert(92)
    pair.applied(92)


# Updates of one row with a long comment, until the server waits for space: only the binary log grows by that, and it is
# not rotated, for a server that cannot make the next one takes itself down.
FILL = r"""
set -eu
free() { df -k --output=avail $1 | tail -1; }
# A lab host does not see the device of its disk, whose reserve is to be lent.
d=$(findmnt -no SOURCE $1); n=$(cat /sys/class/block/${d##*/}/dev); [ -e $d ] || mknod $d b ${n%:*} ${n#*:}
mysql -e "SET GLOBAL max_binlog_size = 1073741824; REPLACE INTO shop.kv VALUES (60, 'first')"
pad=$(head -c 30000 /dev/zero | tr '\0' x)
{ echo "SET binlog_format = STATEMENT;"
  for n in $(seq 200); do echo "UPDATE shop.kv SET note = '$n' WHERE id = 60 /* $pad */;"; done
  echo "UPDATE shop.kv SET note = 'the last' WHERE id = 60;"; } > /tmp/fill.sql
fallocate -l $(($(free $1) - 4096))K $1/.filler
setsid mysql --comments < /tmp/fill.sql > /tmp/fill.out 2>&1 &
for k in $(seq 300); do
  mysql -NBe 'SHOW PROCESSLIST' | grep UPDATE | awk -F'\t' '$6 > 5' | grep -q . && exit 0
  sleep .1
done
echo "the disk was not filled: $(free $1) KiB free; $(cat /tmp/fill.out)"; exit 1
"""
