"""mysql_binlogs and mysql_binlog_purge on real servers: what replicas need stays, and no purge hangs for long.

What hangs, who is ended and what is lent for it is proved with the runbook:
test_disk_full_binlogs.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from remedy.modules.controller import mysql_binlog_purge
from tests.acceptance.operator import Operator
from tests.conftest_lab import HostFactory
from tests.modules.mariadb import FOLDER, Database, spec

pytestmark = pytest.mark.lab


class Bench:
    """One primary with one replica, and the operator who plays on them."""

    def __init__(self, folder: Path, lab: Lab, primary: Database, replica: Database | None) -> None:
        self.folder = folder
        self.primary = primary
        hosts = [lab.host(each.host) for each in (primary, replica) if each is not None]
        self.operator = Operator(folder, lab, *hosts, ansible_become=True)

    def play(self, *flags: str, module: str = "mysql_binlog_purge", **params: Any) -> dict[str, Any]:
        """Play one task on the primary, in this process; return the document."""
        params = {"keep": "1d", "keep_files": 2, **params}
        task = {module: params, "register": "done"}
        book = [{"hosts": self.primary.host, "gather_facts": False, "tasks": [task]}]
        path = self.operator.write("playbooks/purge.yml", json.dumps(book))
        return self.operator.here("play", str(path), *(flags or ("--yes",))).report


@pytest.fixture(scope="module")
def pair(lab: Lab, host_factory: HostFactory) -> tuple[Database, Database]:
    """A primary and its replica."""
    for host in (spec("db1"), spec("db2")):
        host_factory(host.name, role=host.role, disks=host.disks)
    primary, replica = Database(lab, "db1"), Database(lab, "db2")
    primary.begin()
    replica.replicate(primary)
    return primary, replica


@pytest.fixture
def bench(pair: tuple[Database, Database], lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    """Both as after a quiet week: six old binary logs, all applied."""
    primary, replica = pair
    primary.rotate(5, days_ago=5)
    replica.follow(primary)
    yield Bench(tmp_path, lab, primary, replica)
    replica.sql("START SLAVE")
    replica.follow(primary)


def task(document: dict[str, Any]) -> dict[str, Any]:
    (found,) = document["tasks"]
    return dict(found)


def kept(document: dict[str, Any]) -> dict[str, str]:
    return {each["item"]: each["reason"] for each in task(document)["kept"]}


def test_what_every_replica_has_applied_goes_and_a_second_play_does_nothing(bench: Bench) -> None:
    before = bench.primary.binlogs()
    planned = bench.play("--check", replicas=["db2"])
    assert bench.primary.binlogs() == before
    assert planned["changes"][0]["bytes_freed"] == 4096 * (len(before) - 2)
    done = bench.play(replicas=["db2"])
    assert task(done)["status"] == "changed"
    assert bench.primary.binlogs() == before[-2:]
    assert kept(done) == {before[-2]: "among the newest 2", before[-1]: "it is being written"}
    assert done["changes"][0]["bytes_freed"] == 4096 * (len(before) - 2)
    assert task(done)["result"]["notes"][0].startswith("point-in-time recovery ends here")
    assert task(bench.play(replicas=["db2"]))["status"] == "ok"
    # The server knows what went: nothing was removed behind its back.
    assert bench.primary.sql("SHOW BINARY LOGS").split()[0] == before[-2]
    assert bench.primary.shell(f"ls {FOLDER} | grep -x 'binlog.[0-9]*'").split() == before[-2:]


def test_young_files_and_those_not_backed_up_stay(bench: Bench) -> None:
    files = bench.primary.binlogs()
    done = bench.play(keep="6d")
    assert task(done)["status"] == "ok"
    assert kept(done)[files[0]].startswith("written to 5 days ago")
    done = bench.play(backed_up_until=files[2])
    assert bench.primary.binlogs() == files[2:]
    assert kept(done)[files[2]] == f"not backed up yet (until {files[2]})"


def test_a_connected_replica_is_found_and_asked_without_being_named(bench: Bench) -> None:
    found = task(bench.play(module="mysql_binlogs"))["result"]
    (replica,) = found["replicas"]
    assert re.fullmatch(r"db2 \(server id \d+\)", replica["name"])
    assert replica["reached"]
    assert found["bytes"] > 0


def test_servers_are_found_among_the_processes(bench: Bench, pair: tuple[Database, Database]) -> None:
    """A replica's relay logs are no binary logs; an ordinary user sees less."""
    for host in (database.host for database in pair):
        found = bench.operator.run(host, "mysql_servers", "", "-b").tasks()["mysql_servers"]["result"]
        server = {
            "pid": int(bench.primary.lab.run(host, ["pidof", "mariadbd"]).stdout),
            **{"program": "mariadbd", "user": "mysql", "unit": "mariadb.service"},
            **{"datadir": FOLDER, "binlogs": FOLDER, "container": False, "docker": None},
            "listens": ["/run/mysqld/mysqld.sock", ["0.0.0.0", 3306]],
        }
        assert found["servers"] == [server]
        assert found["binlogs"] == [FOLDER]
    told = bench.operator.run("db1", "mysql_servers", "", "-e", "ansible_become=false").tasks()
    (seen,) = told["mysql_servers"]["result"]["servers"]
    assert (seen["program"], seen["user"], seen["binlogs"]) == ("mariadbd", "mysql", None)


@pytest.mark.parametrize("threads", ["SQL_THREAD", ""])
def test_what_a_stopped_replica_has_not_applied_is_kept_and_named(
    bench: Bench, pair: tuple[Database, Database], threads: str
) -> None:
    before, at = bench.primary.binlogs()[-2:]
    pair[1].sql(f"STOP SLAVE {threads}")
    bench.primary.rotate(4, days_ago=3)
    done = bench.play(replicas=["db2"])
    assert task(done)["status"] == "changed"
    # A replica that stops may go back to the end of the file before: then that one stays, too.
    first = bench.primary.binlogs()[0]
    assert first in (before, at), kept(done)
    assert kept(done)[at].startswith(f"db2 has not applied it: it is at {first}; its ")
    assert "SQL thread is stopped" in kept(done)[at]


def test_a_replica_out_of_reach_keeps_everything_until_it_is_forgotten(bench: Bench) -> None:
    files = bench.primary.binlogs()
    bench.operator.place("db3", ansible_host="127.0.0.1", ansible_port=1)
    for name in ("db3", "127.0.0.1:1"):
        done = bench.play(replicas=["db2", name])
        assert task(done)["status"] == "ok"
        assert bench.primary.binlogs() == files
        assert kept(done)[files[0]].startswith(f"{name} may need it: it cannot be asked: ")
    done = bench.play(replicas=["db2", "db3"], forget_replicas=["db3"])
    assert task(done)["status"] == "changed"
    assert task(done)["result"]["notes"][0].startswith("db3 is forgotten, as asked: it cannot be asked")


def test_the_inventory_names_replicas_for_every_task(bench: Bench) -> None:
    bench.operator.place(
        "db1", ansible_host=bench.primary.address, mysql_replicas=["127.0.0.1:1"], mysql_login_user="root"
    )
    done = bench.play()
    assert task(done)["status"] == "ok"
    assert "127.0.0.1:1 may need it" in next(iter(kept(done).values()))


def test_who_may_not_log_in_is_told_what_to_do(bench: Bench) -> None:
    bench.primary.sql("CREATE OR REPLACE USER blind@'localhost' IDENTIFIED BY 'some secret'")
    done = bench.play(login_user="blind", login_password="wrong secret")
    assert "lets blind at /run/mysqld/mysqld.sock of db1 not in: Access denied" in task(done)["reason"]
    assert "login_password" in task(done)["reason"]
    done = bench.play(login_user="blind", login_password="some secret")
    assert "GRANT PROCESS" in task(done)["reason"]
    assert "some secret" not in json.dumps(done)
    assert b"some secret" not in b"".join(
        path.read_bytes() for path in (bench.folder / "state").rglob("*") if path.is_file()
    )


def test_an_option_file_on_the_host_logs_in(bench: Bench) -> None:
    bench.primary.sql("CREATE OR REPLACE USER opera@'localhost' IDENTIFIED BY 'file secret'; "
                      "GRANT ALL ON *.* TO opera@'localhost'")  # fmt: skip
    bench.primary.shell("printf '[client]\\nuser = opera\\npassword = \"file secret\"\\n' > /root/.my.cnf")
    try:
        done = bench.play(
            module="mysql_binlogs", replicas=["db2"], login_unix_socket="/run/mysqld/mysqld.sock"
        )
    finally:
        bench.primary.shell("rm /root/.my.cnf")
    assert "db2" in json.dumps(task(done)["result"]["replicas"])
    assert "file secret" not in json.dumps(done)


@pytest.fixture(scope="module")
def small(lab: Lab, host_factory: HostFactory) -> Database:
    """A server without a replica, on a disk that keeps one percent back for root."""
    host = spec("db4", reserved=1)
    host_factory(host.name, role=host.role, disks=host.disks)
    return Database(lab, "db4")


@pytest.fixture
def crowded(small: Database, lab: Lab, tmp_path: Path) -> Bench:
    """Its disk is full to the last byte, and a writer waits for space."""
    lab.reset(small.host)
    small.begin()
    small.rotate(2)
    small.show_device()
    small.full()
    small.take_the_rest()
    small.age(5)
    return Bench(tmp_path, lab, small, None)


def test_on_a_full_disk_a_purge_is_refused_with_the_way_out(crowded: Bench) -> None:
    files = crowded.primary.binlogs()
    done = crowded.play()
    assert task(done)["status"] == "failed"
    assert "a PURGE hangs there with less than 16 MiB" in task(done)["reason"]
    assert "end_writers" in task(done)["reason"]
    assert task(done)["result"]["bytes"] > 1 << 20
    done = crowded.play(end_writers=True)
    assert "set lend_reserve to lend what the file system keeps back for root" in task(done)["reason"]
    # What comes before it in a play may free room.
    planned = crowded.play("--check")
    assert planned["changes"][0]["bytes_freed"] > 1 << 20
    assert crowded.primary.binlogs() == files
    assert "someone to free space" in crowded.primary.sql("SHOW PROCESSLIST")


@pytest.mark.soak
def test_a_writer_that_is_ended_leaves_its_connection_to_the_second_session(crowded: Bench) -> None:
    """On a full disk connections pile up, too: without a second session there is no purge."""
    database = crowded.primary
    database.sql("SET GLOBAL max_connections = 10")
    asleep = "SELECT COUNT(*) FROM information_schema.processlist WHERE info = 'SELECT SLEEP(100)'"
    # One that is turned away, as the count has a connection, too, comes again.
    sleeper = "until mariadb -e 'SELECT SLEEP(100)'; do sleep .1; done"
    database.shell(f'for k in $(seq 9); do setsid sh -c "{sleeper}" > /dev/null 2>&1 < /dev/null & done; '
                   f'until [ $(mariadb -NBe "{asleep}") = 9 ]; do sleep .1; done')  # fmt: skip
    files = database.binlogs()
    planned = crowded.play("--check", end_writers=True, lend_reserve=True)
    assert task(planned)["status"] != "failed", task(planned)["reason"]
    done = crowded.play(end_writers=True, lend_reserve=True)
    assert task(done)["status"] == "changed", task(done)["reason"]
    assert len(task(done)["result"]["ended"]) >= 1
    assert len(database.binlogs()) < len(files)
    assert database.sql(asleep) == "9", "they did not wait for space"


def test_a_connection_lost_in_the_middle_leaves_the_outcome_open(
    crowded: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = crowded.primary
    database.give_up(512)
    database.take_the_rest()
    database.age(5)
    monkeypatch.setattr(mysql_binlog_purge, "_ENOUGH", 0)
    cut = "until mariadb -NBe 'SHOW PROCESSLIST' | grep -q PURGE; do sleep .05; done; pkill -u admin sshd"
    with ThreadPoolExecutor() as pool:
        cutting = pool.submit(database.shell, cut)
        done = crowded.play(deadline=30)
        cutting.result(30)
    assert done["run"]["exit_code"] == 4
    assert done["hosts"]["db4"]["reason"] == "link_lost"
    assert task(done)["status"] == "not_run"
    assert "whether it ran is not known" in task(done)["reason"]
    intents = [line for line in crowded.operator.journal().splitlines() if b'"mysql_binlog_purge"' in line]
    assert intents
