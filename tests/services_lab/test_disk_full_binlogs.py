"""disk-full on a database server whose disk binary logs fill: what nobody needs goes, and the server writes again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Disk, Host, Lab
from remedy.modules.controller import mysql_binlog_purge
from tests.acceptance.causes import BALLAST
from tests.acceptance.healing import found, heal, nothing_left, percent, why
from tests.acceptance.lending import (
    PURGE,
    RESERVE,
    agent_killed,
    is_back,
    lent,
    link_cut,
    nobody_left,
    nothing_left_alive,
    remedy_killed,
)
from tests.acceptance.operator import Operator, Result
from tests.acceptance.shop import EVERYTHING, everything, well
from tests.conftest_lab import HostFactory
from tests.modules.mariadb import FOLDER, Database

pytestmark = pytest.mark.lab

DB, REPLICA = "db1", "db2"
MB = 1 << 20
STILL_LENT = b"is still lent: the host puts it back by itself"
FILLER = f"{FOLDER}/.filler"
# Without its guard the purge is tried where it hangs.
UNGUARDED = """
import runpy, sys
from remedy.modules.controller import mysql_binlog_purge
mysql_binlog_purge._ENOUGH = 0
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# What there is in the server's folder beside binary logs.
STANDS = f"find {FOLDER} ! -name 'binlog.*' | sort"
# A second server on the host, with a binary log that could go.
ANOTHER = """
set -e
install -d -o mysql /run/other
mariadb-install-db --no-defaults --user=mysql --datadir=/run/other --skip-test-db > /dev/null
systemd-run -q --unit=other mariadbd --no-defaults --user=mysql --datadir=/run/other --socket=/run/other/sock \
    --skip-networking --log-bin=other --innodb-log-file-size=4M
for k in $(seq 200); do
    mariadb -S /run/other/sock -e 'FLUSH BINARY LOGS' 2> /dev/null && exit
    sleep .05
done
exit 1
"""


@pytest.fixture(scope="module")
def hosts(host_factory: HostFactory) -> tuple[Host, Host]:
    disks = {"/var/log": Disk("96M", inodes=2000), FOLDER: Disk("300M", reserved=1)}
    return host_factory(DB, role="db", root_size="64M", disks=disks), host_factory(REPLICA, role="db")


@pytest.fixture
def db(lab: Lab, hosts: tuple[Host, Host]) -> Iterator[Database]:
    database = Database(lab, DB)
    database.begin()
    yield database
    lab.reset(DB)


@pytest.fixture
def replica(lab: Lab, db: Database) -> Iterator[Database]:
    database = Database(lab, REPLICA)
    database.replicate(db)
    yield database
    lab.reset(REPLICA)


@pytest.fixture
def full(db: Database) -> Database:
    """A disk without a byte left, most of which is nobody's leavings; a writer waits for space."""
    crammed(db)
    return db


def crammed(db: Database) -> None:
    db.show_device()
    db.grow(50, days_ago=6)
    db.full()
    db.take_the_rest()
    db.age(5)
    assert percent(db.lab, DB, FOLDER) == 100


def binlogs(result: Result) -> dict[str, Any]:
    """Return the finding about binary logs."""
    assert (DB, "binlogs") in found(result), why(result)
    return found(result)[DB, "binlogs"]


def rows(finding: dict[str, Any], part: str) -> dict[str, str]:
    """Return the reasons of one part of the evidence by their files."""
    return {row["item"]: row["reason"] for row in finding["evidence"][part]}


def kept(result: Result) -> dict[str, str]:
    """Return what the purge left, and why."""
    return {each["item"]: each["reason"] for each in result.tasks(DB)["Purge binary logs"]["kept"]}


def writes_again(db: Database) -> None:
    db.sql("REPLACE INTO shop.kv VALUES (2, 'written again')", 10)
    assert db.sql("SELECT note FROM shop.kv WHERE id = 2") == "written again"


def crowd(db: Database, spare: int) -> None:
    """Fill the disk, all but so many bytes, with what is nobody's leavings."""
    name = f"ballast-{spare}"
    db.shell(BALLAST.replace("/ballast", f"/{name}") + f"ballast {FOLDER} {spare}")


def test_what_a_replica_lacks_stays_and_is_named(
    lab: Lab, db: Database, replica: Database, tmp_path: Path
) -> None:
    operator = Operator(tmp_path, lab)
    operator.place("db3", ansible_host="127.0.0.1", ansible_port=1)
    operator.add(REPLICA, lab.host(REPLICA))
    operator.add(DB, lab.host(DB), mysql_replicas=[REPLICA, "db3"])
    db.grow(50, days_ago=6)
    replica.follow(db)
    at = db.binlogs()[-1]
    replica.sql("STOP SLAVE SQL_THREAD")
    db.grow(12, days_ago=5)
    crowd(db, 20 * MB)

    files = db.binlogs()
    unreached = heal(operator, "-l", DB)
    assert unreached.code == 2, why(unreached)
    finding = binlogs(unreached)
    assert not finding["resolved"]
    assert "db2, db3 may need them" in finding["title"]
    assert "name in binlog_forget_replicas: db3" in finding["advice"]
    assert set(rows(finding, "stay")) == set(files)
    assert kept(unreached)[files[0]].startswith("db3 may need it: it cannot be asked: ")
    assert db.binlogs() == files

    operator.add(DB, lab.host(DB), mysql_replicas=[REPLICA])
    stopped = heal(operator, "-l", DB)
    assert stopped.code == 0, why(stopped)
    finding = binlogs(stopped)
    first = db.binlogs()[0]
    # A replica that stops may go back to the end of the file before: then that one stays, too.
    assert first in files[files.index(at) - 1 : files.index(at) + 1]
    assert set(rows(finding, "may_go")) == set(files[: files.index(first)])
    assert finding["advice"].startswith("Let replication catch up: db2")
    assert "point-in-time recovery ends here" in finding["advice"]
    assert kept(stopped)[at].startswith(
        f"db2 has not applied it: it is at {first}; its SQL thread is stopped"
    )
    writes_again(db)
    nothing_left(operator, "-l", DB)
    replica.sql("START SLAVE")
    replica.follow(db)

    at = db.binlogs()[-1]
    with replica.locked():
        db.grow(12, days_ago=4)
        crowd(db, 21 * MB)
        behind = heal(operator, "-l", DB, "-e", "disk_limit=90%")
    assert behind.code == 0, why(behind)
    assert db.binlogs()[0] == at
    assert kept(behind)[at] == f"db2 has not applied it: it is at {at}; it has come so far"
    replica.follow(db)
    assert replica.sql("SELECT note FROM shop.kv WHERE id = 2") == "written again"


def test_not_a_byte_left(lab: Lab, db: Database, tmp_path: Path) -> None:
    """First with nothing that could be lent, then with what ext4 keeps back for root."""
    db.show_device()
    reserve = db.shell(RESERVE).strip()
    db.shell(
        f"tune2fs -r 0 $(findmnt -no SOURCE {FOLDER}); fallocate -l {int(reserve) * 4096} {FOLDER}/.spare"
    )
    crammed(db)
    files = db.binlogs()
    operator = Operator(tmp_path, lab, lab.host(DB))

    helpless = heal(operator)
    assert helpless.code == 2, why(helpless)
    finding = binlogs(helpless)
    assert not finding["resolved"]
    assert f"A purge needs room on {FOLDER}, and nothing there can be lent" in finding["advice"]
    assert finding["evidence"]["sessions_that_wait_for_space"][0]["user"] == "root"
    assert "keeps nothing back for root" in helpless.tasks()["Purge binary logs"]["reason"]
    assert helpless.report["changes"] == []
    assert db.binlogs() == files

    db.shell(f"tune2fs -r {reserve} $(findmnt -no SOURCE {FOLDER}); rm {FOLDER}/.spare")
    refused = operator.play("disk-full")
    assert refused.code == 3, refused
    assert "db1: destroy and interrupt binary logs of MySQL (may end sessions that wait for space)" in refused.stderr
    assert db.binlogs() == files
    healed = heal(operator)
    assert healed.code == 0, why(healed)
    purge = healed.tasks()["Purge binary logs"]["result"]
    assert [each["user"] for each in purge["ended"]] == ["root"]
    assert purge["free_after"] > 40 * MB
    # The one before those that are kept may stay, as long as its checkpoint is on its way.
    assert set(db.binlogs()) & set(files) <= set(files[-4:])
    lent = [each for each in healed.report["changes"] if each["object"].startswith("ext4_reserve:")]
    assert [each["after"]["blocks"] for each in lent] == [0, int(reserve)]
    assert db.shell(RESERVE).strip() == reserve
    told = healed.report["hosts"][DB]
    assert told["bytes_freed"] > 50 * MB
    (disk,) = [each for each in told["filesystems"] if each["mount"] == FOLDER]
    assert disk["before"]["percent"] == 100
    assert disk["before"]["used"] - disk["after"]["used"] > 40 * MB
    assert {each["resolved"] for each in healed.report["findings"]} == {True}
    writes_again(db)
    nothing_left(operator)


def test_a_purge_that_hangs_is_ended_and_the_report_says_so(
    lab: Lab, full: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full.give_up(512)
    full.take_the_rest()
    full.age(5)
    files = full.binlogs()
    # Without its guard the purge is tried where it hangs.
    monkeypatch.setattr(mysql_binlog_purge, "_ENOUGH", 0)
    done = Operator(tmp_path, lab, lab.host(DB)).here(
        "play", "disk-full", "--yes", "-e", "binlog_deadline=2s"
    )
    assert done.code == 2, why(done)
    purge = done.tasks()["Purge binary logs"]
    assert purge["status"] == "failed"
    assert "was ended by KILL QUERY, the server goes on" in purge["reason"]
    assert f"{len(files) - 3} of {len(files) - 3} binary logs are still there" in purge["reason"]
    assert "PURGE" not in full.sql("SHOW FULL PROCESSLIST")
    assert full.binlogs() == files
    # What had hung behind it answers, on the disk that still is full.
    told = full.sql("SHOW BINARY LOGS", 10).splitlines()
    assert [line.partition("\t")[0] for line in told] == files
    full.shell(f"rm {FILLER} {FOLDER}/.rest*")
    writes_again(full)


def test_killed_in_the_middle_of_a_purge_and_played_again(lab: Lab, full: Database, tmp_path: Path) -> None:
    """The purge of the killed run goes on hanging in the server, until the next run ends it."""
    full.give_up(512)
    full.take_the_rest()
    full.age(5)
    reserve = full.shell(RESERVE)
    operator = Operator(tmp_path, lab, lab.host(DB))
    with operator.start("play", "disk-full", "--yes", under=(sys.executable, "-c", UNGUARDED)) as process:
        try:
            full.shell(
                "until mariadb -NBe 'SHOW PROCESSLIST' | grep -q PURGE; do sleep .05; done", timeout=30
            )
        finally:
            process.kill()
    lab.run(DB, ["flock", "-w", "15", "/run", "true"])
    assert "PURGE" in full.sql("SHOW PROCESSLIST")
    again = heal(operator)
    assert again.code == 0, why(again)
    assert percent(lab, DB, FOLDER) <= 85
    assert full.shell(RESERVE) == reserve
    # The server knows what went: nothing was removed behind its back.
    assert full.shell(f"ls {FOLDER} | grep '^binlog.0'").split() == full.binlogs()
    writes_again(full)
    nothing_left(operator)


def as_before(operator: Operator, run: str, *flags: str) -> None:
    """A rollback of a run finds that what it lent is back."""
    done = operator.rollback(run, "--yes", *flags)
    assert done.code == 0, done
    assert {task["reason"] for task in done.report["tasks"]} == {"already as before the change"}
    assert done.report["changes"] == []


def test_whatever_ends_it_while_the_reserve_is_lent(lab: Lab, full: Database, tmp_path: Path) -> None:
    """By an agent that is root itself, and by one that starts a child to be root."""
    reserve = full.shell(RESERVE).strip()
    operator = Operator(tmp_path, lab)
    apart = Operator(
        tmp_path / "apart", lab, ansible_user="operator", ansible_become_password=lab.password("operator")
    )
    purge = str(operator.write("playbooks/purge.yml", PURGE))
    with lent(operator, full, agent_killed, purge) as run:
        is_back(full, reserve)
        assert STILL_LENT in operator.journal()
    as_before(operator, run, "--check")
    as_before(operator, run)
    with lent(apart, full, link_cut, purge):
        is_back(full, reserve)
        assert STILL_LENT in apart.journal()
    with lent(operator, full, remedy_killed):
        is_back(full, reserve)
    nobody_left(full)
    again = heal(operator)
    assert again.code == 0, why(again)
    assert (DB, "still-lent") not in found(again)
    assert full.shell(RESERVE).strip() == reserve
    writes_again(full)
    nothing_left(operator)


def test_a_reserve_that_nobody_could_put_back(lab: Lab, full: Database, tmp_path: Path) -> None:
    """The host had a power cut: only the journal knows what was lent."""
    reserve = full.shell(RESERVE).strip()
    operator = Operator(tmp_path, lab)
    with lent(operator, full, nothing_left_alive) as run:
        assert full.shell(RESERVE).strip() == "0"
    told = found(operator.diagnose("disk-full"))[DB, "still-lent"]
    assert run in told["title"]
    assert told["evidence"][0]["before"] == {"blocks": int(reserve)}
    assert told["advice"].endswith(f"so does: remedy rollback {run}")

    healed = heal(operator)
    assert healed.code == 0, why(healed)
    assert found(healed)[DB, "still-lent"]["resolved"]
    assert full.shell(RESERVE).strip() == reserve
    (back,) = [each for each in healed.report["changes"] if each["task"] == "Put the reserve back"]
    assert (back["before"], back["after"]) == ({"blocks": 0}, {"blocks": int(reserve)})
    writes_again(full)
    nothing_left(operator)
    as_before(operator, run, "--check")
    # Seen once, it is forgotten: what somebody decides from now on is no loan.
    full.shell(f"tune2fs -r 0 $(findmnt -no SOURCE {FOLDER})")
    nothing_left(operator)


def test_who_has_room_is_not_logged_in_to(lab: Lab, db: Database, tmp_path: Path) -> None:
    lab.fill(DB, "/var/log")
    connections = (
        "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'Connections'"
    )
    before = int(db.sql(connections))
    done = Operator(tmp_path, lab, lab.host(DB)).diagnose("disk-full")
    assert done.code == 10, why(done)
    assert done.tasks()["MySQL and MariaDB servers"]["result"]["binlogs"] == [FOLDER]
    assert done.tasks()["Binary logs"]["status"] == "skipped"
    assert int(db.sql(connections)) == before + 1, "our own"


def test_with_a_wrong_clock_or_without_a_login_binary_logs_stay(
    lab: Lab, db: Database, tmp_path: Path
) -> None:
    db.grow(4, days_ago=5)
    crowd(db, 4 * MB)
    files = db.binlogs()
    operator = Operator(tmp_path, lab)
    operator.add(DB, lab.host(DB))
    ahead = heal(operator, under=("faketime", "-f", "+2d"))
    operator.add(DB, lab.host(DB), mysql_login_user="nobody", mysql_login_password="a secret")
    stranger = heal(operator)
    for done, words in (ahead, "the host's clock is 172800 s off"), (stranger, "login_password"):
        assert done.code == 2, why(done)
        assert words in found(done)[DB, "binlogs-unknown"]["evidence"]
        assert done.report["changes"] == []
    assert "a secret" not in stranger.stdout + stranger.stderr
    assert db.binlogs() == files


def test_another_server_whose_disk_has_room_is_not_purged(lab: Lab, db: Database, tmp_path: Path) -> None:
    db.shell(ANOTHER)
    crowd(db, 4 * MB)
    operator = Operator(tmp_path, lab)
    operator.add(DB, lab.host(DB), mysql_login_unix_socket="/run/other/sock")
    done = heal(operator, "-e", "binlog_keep=0", "-e", "binlog_keep_files=1")
    assert done.code == 2, why(done)
    assert (DB, "binlogs") not in found(done)
    assert "keeps its binary logs on /run, which has room" in found(done)[DB, "binlogs-unknown"]["evidence"]
    assert done.report["changes"] == []


@pytest.mark.soak  # a drill has it, too
def test_with_everything_else_at_once(lab: Lab, full: Database, tmp_path: Path) -> None:
    everything(lab, tmp_path, DB)
    operator = Operator(tmp_path, lab, lab.host(DB))
    stood = full.shell(STANDS)
    healed = heal(operator)
    assert healed.code == 0, why(healed)
    assert set(found(healed)) == {(DB, name) for name in ("disk-full", "binlogs", *EVERYTHING.findings)}
    assert {each["resolved"] for each in healed.report["findings"]} == {True}
    assert percent(lab, DB, FOLDER) <= 85
    assert full.shell(STANDS) == stood
    well(lab, DB)
    writes_again(full)
    nothing_left(operator)
