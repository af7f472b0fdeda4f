"""Backups and restores of MariaDB: what comes back, what hangs on it, and that the only copy is never lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Disk, Lab
from tests.acceptance.operator import Operator, Result
from tests.conftest_lab import HostFactory
from tests.modules.mariadb import Database, spec

pytestmark = pytest.mark.lab

FOLDER = "/var/backups/mysql"
SHOP = r"""
DROP DATABASE IF EXISTS shop; CREATE DATABASE shop CHARACTER SET utf8mb4; USE shop;
CREATE TABLE parent (id INT PRIMARY KEY, name VARCHAR(50));
CREATE TABLE child (id INT PRIMARY KEY AUTO_INCREMENT, parent INT, at DATETIME(6), note TEXT, raw BLOB, rough FLOAT,
  FOREIGN KEY (parent) REFERENCES parent (id));
CREATE TABLE `odd (name)` (`a``b` INT PRIMARY KEY);
INSERT INTO parent VALUES (1, 'a(b),(c''d'), (2, 'x\\'), (3, 'two
lines(');
INSERT INTO child (parent, at, note, raw, rough) VALUES (1, NOW(6), 'he said "(hi)", ok\\''', x'27285c', 0.1),
  (2, NOW(6), NULL, x'00ff', 1234567.8);
INSERT INTO `odd (name)` VALUES (1), (2);
CREATE VIEW pairs AS SELECT p.id, COUNT(*) AS children FROM parent p JOIN child ON child.parent = p.id GROUP BY p.id;
CREATE TRIGGER shout BEFORE INSERT ON child FOR EACH ROW SET NEW.note = CONCAT(NEW.note, '!');
CREATE PROCEDURE one() SELECT 1;
CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DO SET @nothing = 1;
"""
LATER = """
INSERT INTO child (parent, at, note) VALUES (3, NOW(6), 'mixed');
SET binlog_format = STATEMENT; INSERT INTO child (parent, at, note) VALUES (3, NOW(6), 'statement');
SET binlog_format = ROW; INSERT INTO shop.parent VALUES (4, 'a row');
CREATE TABLE made_later (id INT PRIMARY KEY); INSERT INTO made_later VALUES (7);
"""
SEEN = (
    "SELECT id, parent, note, HEX(raw) FROM shop.child; SELECT * FROM shop.parent; SELECT * FROM shop.`odd (name)`; "
    "SELECT * FROM shop.made_later; SELECT * FROM shop.pairs"
)


class Bench:
    """One server, and the operator who plays on it."""

    def __init__(self, folder: Path, lab: Lab, database: Database) -> None:
        self.database = database
        self.operator = Operator(folder, lab, lab.host(database.host), ansible_become=True)

    def play(self, *tasks: dict[str, Any], flags: tuple[str, ...] = ("--yes",)) -> Result:
        """Play tasks in this process."""
        book = [{"hosts": "all", "gather_facts": False, "tasks": list(tasks)}]
        path = self.operator.write("playbooks/restore.yml", json.dumps(book))
        return self.operator.here("play", str(path), *flags)

    def one(self, module: str, **params: Any) -> dict[str, Any]:
        """Play one task; return it as the document has it."""
        (task,) = self.play({module: params}).report["tasks"]
        return dict(task)

    def databases(self) -> list[str]:
        """Return the names of all databases of applications."""
        return [name for name in self.database.sql("SHOW DATABASES").split("\n") if name.startswith("shop")]


@pytest.fixture(scope="module")
def server(lab: Lab, host_factory: HostFactory) -> Database:
    host = spec("rest1")
    host = replace(host, disks={**host.disks, "/srv/small": Disk("24M")})
    host_factory(host.name, role=host.role, disks=host.disks)
    database = Database(lab, "rest1")
    lab.run("rest1", ["systemctl", "start", "mariadb"])
    return database


@pytest.fixture
def bench(server: Database, lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    """A shop that is whole, and no backup."""
    made = Bench(tmp_path, lab, server)
    for name in made.databases():
        server.sql(f"DROP DATABASE `{name}`")
    server.shell(f"rm -rf {FOLDER}; printf '%s' \"$1\" | mariadb", SHOP)
    yield made
    for name in made.databases():
        server.sql(f"SET foreign_key_checks = 0; DROP DATABASE `{name}`")


def backed_up(bench: Bench) -> str:
    """Back the shop up; return the backup's path."""
    return str(bench.one("mysql_backup", name="shop")["result"]["path"])


def lost(bench: Bench) -> tuple[str, str]:
    """Write on, then lose what there was; return what was there, and the position before the accident."""
    bench.database.shell("printf '%s' \"$1\" | mariadb shop", LATER)
    before = bench.database.sql(SEEN)
    bench.database.sql("SET foreign_key_checks = 0; USE shop; DELETE FROM child; DROP TABLE parent")
    told = bench.one("mysql_backup_info", name="shop")["result"]
    assert [each["statement"].split(" /*")[0] for each in told["accidents"]] == [
        "DELETE FROM child",
        "DROP TABLE `parent`",
    ]
    assert told["missing"] == ["parent"]
    assert told["fewer"] == [{"table": "child", "rows": 0, "backup": 2}]
    return before, told["accidents"][0]["position"]


def restore(path: str, **params: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the two tasks of a restore."""
    beside = {"name": "shop", "backup": path, **params}
    return {"mysql_restore": beside}, {"mysql_restore": {**beside, "state": "swapped", "confirm": "shop"}}


def end_sleepers(bench: Bench) -> None:
    """End the sessions that hold a lock for a test."""
    bench.database.shell(
        "mariadb -NBe \"SELECT id FROM information_schema.processlist WHERE info = 'SELECT SLEEP(300)'\" | "
        'while read -r id; do mariadb -e "KILL $id"; done'
    )


def killed(bench: Bench, doing: str, *tasks: dict[str, Any]) -> Result:
    """Play tasks; the agent and its client programs are killed as soon as the server is at a statement."""
    kill = (
        "for k in $(seq 600); do mariadb -NBe 'SHOW PROCESSLIST' | grep -qF \"$1\" && break; sleep .05; done; "
        "kill -9 $(pgrep -x python3) $(pgrep -f '^/usr/bin/mariadb .*--batch')"
    )
    with ThreadPoolExecutor() as pool:
        killing = pool.submit(bench.database.shell, kill, doing)
        done = bench.play(*tasks)
        killing.result(60)
    return done


def test_a_backup_says_what_it_holds_and_a_young_one_is_enough(bench: Bench):
    first = bench.one("mysql_backup", name="shop")
    assert first["status"] == "changed"
    tables = first["result"]["tables"]
    assert {name: each["rows"] for name, each in tables.items()} == {"child": 2, "odd (name)": 2, "parent": 3}
    assert "checksum" not in tables["child"], "a dump rounds FLOAT"
    assert tables["parent"]["checksum"]
    assert bench.one("mysql_backup", name="shop", max_age="1h")["status"] == "ok"
    assert bench.one("mysql_backup", name="shop", max_age="0s")["status"] == "changed"
    modes = bench.database.shell(f"stat -c '%a %U' {FOLDER} {FOLDER}/*").split("\n")
    assert set(modes) == {"700 root", "600 root", ""}
    assert bench.database.shell(f"ls -A {FOLDER} | grep -c remedy- || true").strip() == "0", (
        "no sibling is left"
    )


def test_without_room_nothing_is_written(bench: Bench):
    done = bench.one("mysql_backup", name="shop", folder="/srv/small/deep")
    assert done["status"] == "failed"
    assert "/srv/small has" in done["reason"]
    assert bench.database.shell("find /srv/small -name deep") == ""


def test_everything_up_to_the_accident_comes_back_and_the_damaged_copy_stays(bench: Bench):
    path = backed_up(bench)
    before, position = lost(bench)
    bench.database.shell("setsid mariadb shop -e 'SELECT SLEEP(300)' > /dev/null 2>&1 & sleep .3")
    steps = restore(path, until=position, checks=[{"query": "SELECT COUNT(*) FROM child", "expect": 4}])
    done = bench.play(*steps)
    assert done.code == 0, done.report
    (_, swap) = done.report["tasks"]
    assert bench.database.sql(SEEN) == before
    (copy,) = [name for name in bench.databases() if name.startswith("shop_damaged_")]
    assert bench.databases() == ["shop", copy]
    assert swap["result"]["damaged_copy"] == copy
    assert swap["result"]["checksums"] == 2
    assert [each["user"] for each in swap["result"]["ended"]] == ["root"]
    rows = {
        each["table"]: (each["backup"], each["restored"], each["damaged"])
        for each in swap["result"]["tables"]
    }
    assert rows["child"] == (2, 4, 0)
    assert rows["parent"] == (3, 4, None)
    assert bench.database.sql(f"SELECT * FROM {copy}.made_later") == "7"
    # What hangs on the tables follows them, and nothing leads from the copy into what is live.
    assert (
        bench.database.sql("SELECT status FROM information_schema.events WHERE event_schema = 'shop'")
        == "ENABLED"
    )
    assert bench.database.sql("CALL shop.one()") == "1"
    bench.database.sql(
        "INSERT INTO shop.child (parent, note) VALUES (4, 'ho'); DELETE FROM shop.parent WHERE id = 99"
    )
    assert bench.database.sql("SELECT note FROM shop.child ORDER BY id DESC LIMIT 1") == "ho!"
    keys = (
        "SELECT constraint_schema, unique_constraint_schema FROM information_schema.referential_constraints"
    )
    assert bench.database.sql(keys) == "shop\tshop"
    assert bench.database.sql("SELECT COUNT(*) FROM mysql.user WHERE user = 'remedy_restore'") == "0"
    again = bench.play(*steps)
    assert [task["status"] for task in again.report["tasks"]] == ["ok", "ok"]
    assert again.report["changes"] == []

    # Rolled back, the damaged tables are in their place again; what was in service meanwhile is not thrown away.
    said = "the restored copy of shop has been in service, and may hold what nobody else has"
    for flags in (("--check",), ("--yes",)):
        back = bench.operator.here("rollback", *flags, done.report["run"]["id"])
        assert back.code == 0, back.report["tasks"]
        assert [said in kept["reason"] for task in back.report["tasks"] for kept in task["kept"]] == [True]
    assert bench.databases() == ["shop", "shop_restored"]
    assert "parent" not in bench.database.sql("SHOW TABLES FROM shop").split()
    assert bench.database.sql("SELECT COUNT(*) FROM shop_restored.child") == "5"
    refused = bench.play(*steps).report["tasks"][0]
    assert "shop_restored has been in service" in refused["reason"]


def test_a_copy_that_was_never_in_service_is_rolled_back(bench: Bench):
    path = backed_up(bench)
    assert bench.play(restore(path)[0]).code == 0
    assert bench.databases() == ["shop", "shop_restored"]
    assert bench.operator.here("rollback", "--yes").code == 0
    assert bench.databases() == ["shop"]


def test_a_database_that_was_dropped_comes_back_from_the_backup_alone(bench: Bench):
    path = backed_up(bench)
    bench.database.sql("DROP DATABASE shop")
    assert bench.play(*restore(path)).code == 0
    assert bench.database.sql("SELECT COUNT(*) FROM shop.parent") == "3"
    found = "SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name = 'shop'"
    assert bench.database.sql(found) == "utf8mb4"


BREAKS = {
    "it is no whole gzip file": "truncate -s -20 $1; rm $1.json",
    "its SHA-256 is not the one of its manifest": "truncate -s -20 $1",
    "the dump was cut off": "zcat $1 | head -n -2 | gzip > $1.new; mv $1.new $1; rm $1.json",
    "it names databases by itself": "mariadb-dump --databases shop | gzip > $1; rm $1.json",
}


@pytest.mark.parametrize("why", BREAKS)
def test_a_backup_that_cannot_be_trusted_is_refused_before_anything_is_made(bench: Bench, why: str):
    path = backed_up(bench)
    bench.database.shell(BREAKS[why], path)
    done = bench.play(*restore(path))
    assert done.code == 2
    assert why in done.report["tasks"][0]["reason"]
    assert bench.databases() == ["shop"]
    assert why in bench.one("mysql_backup_info", name="shop")["result"]["trouble"]


def test_a_dump_gives_the_client_no_commands(bench: Bench):
    """What stands in a dump goes to the server: the client itself would run a shell as root."""
    path = backed_up(bench)
    bench.database.shell(
        "{ printf '%s\\n' '\\! touch /tmp/by-a-dump' 'system touch /tmp/by-a-dump'; zcat $1; } | gzip > $1.new; "
        "mv $1.new $1; rm $1.json",
        path,
    )
    bench.play(*restore(path))
    assert bench.database.shell("ls /tmp/by-a-dump 2>/dev/null || echo none").strip() == "none"


def test_what_a_check_calls_acts_with_the_rights_of_an_account_that_only_reads(bench: Bench):
    """A function that runs with the rights of who asks would write as root, into the server's own tables, too."""
    bench.database.sql("CREATE DATABASE shop_loot; CREATE TABLE shop_loot.got (who TEXT)")
    bench.database.shell(
        "printf '%s' \"$1\" | mariadb shop",
        "CREATE FUNCTION seen() RETURNS INT DETERMINISTIC SQL SECURITY INVOKER RETURN (SELECT COUNT(*) FROM parent);"
        "CREATE FUNCTION users() RETURNS INT DETERMINISTIC SQL SECURITY INVOKER "
        "RETURN (SELECT COUNT(*) FROM mysql.user);"
        "\nDELIMITER //\nCREATE FUNCTION takes() RETURNS INT DETERMINISTIC SQL SECURITY INVOKER "
        "BEGIN INSERT INTO shop_loot.got VALUES (CURRENT_USER()); RETURN 1; END//\n"
        "CREATE FUNCTION writes() RETURNS INT DETERMINISTIC BEGIN DELETE FROM parent WHERE id = 3; RETURN 1; END//\n",
    )
    path = backed_up(bench)
    right = [
        {"query": "SELECT COUNT(*) FROM parent;  -- all", "expect": 3},
        {"query": "SELECT children FROM pairs WHERE id = 2", "expect": 1},
        {"query": "SELECT seen()", "expect": 3},
        {"query": "SELECT CURRENT_USER()", "expect": "remedy_check@localhost"},
    ]
    for query, why in (
        ("SELECT takes()", "Cannot execute statement in a READ ONLY transaction"),
        ("COMMIT; SELECT takes()", "command denied to user 'remedy_check'"),
        ("SELECT users()", "command denied to user 'remedy_check'"),
        ("DELETE FROM parent", "command denied to user 'remedy_check'"),
        ("SELECT writes()", "Cannot execute statement in a READ ONLY transaction"),
        ("SELECT 1, 2 FROM parent", "3 rows"),
    ):
        done = bench.play(restore(path, checks=[*right, {"query": query, "expect": 1}])[0])
        assert why in done.report["tasks"][0]["reason"]
    assert bench.play(restore(path, checks=right)[0]).code == 0
    assert bench.database.sql("SELECT COUNT(*) FROM shop_loot.got") == "0"
    assert bench.database.sql("SELECT COUNT(*) FROM shop_restored.parent") == "3"
    assert bench.database.sql("SELECT COUNT(*) FROM mysql.user WHERE user LIKE 'remedy%'") == "0"


def test_what_names_the_damaged_database_by_itself_never_reaches_it(bench: Bench):
    """The account that replays may write to the new database alone, whatever the binary log says."""
    path = backed_up(bench)
    bench.database.sql(
        "USE shop; SET binlog_format = STATEMENT; UPDATE shop.parent SET name = 'by name' WHERE id = 1"
    )
    bench.database.sql("USE shop; UPDATE parent SET name = 'after' WHERE id = 2")
    position = bench.database.sql("SHOW MASTER STATUS").split()
    before = bench.database.sql("CHECKSUM TABLE shop.parent")
    done = bench.play(*restore(path, until=f"{position[0]}:{position[1]}"))
    assert done.code == 2
    assert "UPDATE command denied" in done.report["tasks"][0]["reason"]
    assert "stop before it with until" in done.report["tasks"][0]["reason"]
    assert bench.database.sql("CHECKSUM TABLE shop.parent") == before
    assert bench.database.sql("SELECT COUNT(*) FROM mysql.user WHERE user = 'remedy_restore'") == "0"
    # Without the binary logs it can be played again: what was left unfinished is made anew.
    done = bench.play(*restore(path))
    assert done.code == 0
    assert bench.database.sql("SELECT name FROM shop.parent WHERE id = 2") == "x\\\\"


def test_a_swap_that_gets_no_lock_leaves_all_as_it_was_and_is_played_again(bench: Bench):
    path = backed_up(bench)
    bench.database.shell(
        "setsid mariadb -e 'LOCK TABLES shop.child READ; SELECT SLEEP(300)' > /dev/null 2>&1 & sleep .3"
    )
    done = bench.play(*restore(path))
    assert done.code == 2
    assert "Lock wait timeout" in done.report["tasks"][1]["reason"]
    assert bench.databases()[0] == "shop"
    assert (
        bench.database.sql(
            "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = 'shop'"
        )
        == "shout"
    )
    end_sleepers(bench)
    again = bench.play(*restore(path))
    assert again.code == 0, again.report["tasks"]
    assert bench.database.sql("SELECT COUNT(*) FROM shop.child") == "2"
    triggers = (
        "SELECT trigger_schema FROM information_schema.triggers WHERE trigger_name = 'shout' ORDER BY 1"
    )
    assert bench.database.sql(triggers).split()[0] == "shop"


def test_foreign_keys_of_others_forbid_the_swap(bench: Bench):
    path = backed_up(bench)
    bench.database.sql(
        "CREATE DATABASE shop2; CREATE TABLE shop2.t (id INT, FOREIGN KEY (id) REFERENCES shop.parent (id))"
    )
    done = bench.play(*restore(path))
    assert "foreign keys of shop2.t lead into shop" in done.report["tasks"][1]["reason"]
    assert bench.databases() == ["shop", "shop2", "shop_restored"]
    bench.database.sql("DROP DATABASE shop2")


def test_a_check_of_the_operators_that_fails_keeps_the_swap_from_happening(bench: Bench):
    path = backed_up(bench)
    done = bench.play(*restore(path, checks=[{"query": "SELECT COUNT(*) FROM parent", "expect": 4}]))
    assert "SELECT COUNT(*) FROM parent answers 3, expected 4" in done.report["tasks"][0]["reason"]
    assert not [name for name in bench.databases() if "damaged" in name]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"state": "swapped"}, "expected confirm: shop"),
        ({"until": "yesterday"}, "until 'yesterday': expected a position"),
        ({"name": "shop; DROP"}, "expected a database's name"),
        ({"backup": "x.sql"}, "expected an absolute path"),
        ({"checks": [{"query": "SELECT 1"}]}, "checks: expected a list such as"),
    ],
)
def test_bad_input_is_refused_before_the_host_is_asked(bench: Bench, params: dict[str, Any], said: str):
    done = bench.play({"mysql_restore": {"name": "shop", "backup": "/x.sql", **params}})
    assert done.code == 5
    assert said in done.stdout + done.stderr


def test_a_point_that_cannot_be_reached_is_told_before_anything_is_loaded(bench: Bench):
    path = backed_up(bench)
    for until, said in (
        ("binlog.999999:4", "there is no binary log binlog.999999"),
        ("binlog.000001:4", "before the end of the backup"),
    ):
        assert said in bench.one("mysql_restore", name="shop", backup=path, until=until)["reason"]
    assert bench.databases() == ["shop"]
    bench.database.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS")
    deadline = time.monotonic() + 10
    while len(bench.database.binlogs()) > 1:  # MariaDB leaves what InnoDB has not written out yet
        assert time.monotonic() < deadline
        bench.database.sql("PURGE BINARY LOGS TO '" + bench.database.binlogs()[-1] + "'")
    reason = bench.one("mysql_restore", name="shop", backup=path, until="2099-01-01 00:00:00")["reason"]
    assert "is not there any more" in reason
    assert "is not there any more" in bench.one("mysql_backup_info", name="shop")["result"]["replay"]


def test_a_swap_that_is_cut_off_after_the_tables_have_moved_is_finished_by_the_next(bench: Bench):
    path = backed_up(bench)
    assert bench.play(restore(path)[0]).code == 0
    bench.database.sql("DELETE FROM shop.child")
    bench.database.shell(
        "setsid mariadb -e 'LOCK TABLES mysql.proc READ; SELECT SLEEP(300)' > /dev/null 2>&1 & sleep .3"
    )
    try:
        done = killed(bench, "DROP PROCEDURE", *restore(path))
    finally:
        end_sleepers(bench)
    assert done.code == 4, done.report
    assert bench.database.sql("SELECT COUNT(*) FROM shop.child") == "2", "the tables are those of the backup"
    again = bench.play(*restore(path))
    assert again.code == 0, again.report["tasks"]
    assert [task["status"] for task in again.report["tasks"]] == ["ok", "changed"]
    assert bench.database.sql("CALL shop.one(); SELECT COUNT(*) FROM shop.pairs") == "1\n2"
    assert len(bench.databases()) == 2
    triggers = "SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = 'shop'"
    assert bench.database.sql(triggers) == "1"
    assert bench.play(*restore(path)).report["changes"] == []


def test_an_agent_that_is_killed_while_it_loads_leaves_what_is_damaged_alone_and_is_played_again(
    bench: Bench,
):
    path = backed_up(bench)
    slow = f"{FOLDER}/shop.sql"
    bench.database.shell('zcat "$1" | sed "1a DO SLEEP(3);" > "$2"', path, slow)
    before = bench.database.sql("CHECKSUM TABLE shop.parent, shop.child")
    done = killed(bench, "SLEEP(3)", *restore(slow))
    assert done.code == 4, done.report
    assert bench.database.sql("CHECKSUM TABLE shop.parent, shop.child") == before
    assert bench.databases() == ["shop", "shop_restored"]
    again = bench.play(*restore(slow))
    assert again.code == 0, again.report["tasks"]
    assert bench.database.sql("SELECT COUNT(*) FROM shop.child") == "2"
    assert bench.database.sql("SELECT COUNT(*) FROM mysql.user WHERE user = 'remedy_restore'") == "0"
