"""Pairs of real servers in lab hosts, one the other's replica: MariaDB and MySQL, with GTID and without."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remedy.lab import Lab
from tests.acceptance.operator import Operator, Result

KINDS = ("mariadb-gtid", "mariadb-positions", "mysql-gtid", "mysql-positions")
_PATIENCE = 5  # seconds without a heartbeat, which comes each second, until a replica connects again: 60 by default
_MODES = {"ON": ("OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"), "OFF": ("ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF")}

# A statement's SLEEP is repeated on the replica where the statement itself is in the binary log.
_LOAD = r"""
client=$1; clients=$2; each=$3; pause=$4
for k in $(seq 100 $((99 + clients))); do
  { echo "SET binlog_format = STATEMENT;"
    for n in $(seq $each); do echo "UPDATE shop.kv SET note = CONCAT('busy', SLEEP($pause)) WHERE id = $k;"; done
  } | $client &
done
wait
"""


@dataclass(frozen=True)
class Server:
    """One server, asked by its own client as root."""

    lab: Lab
    host: str
    client: str

    @property
    def address(self) -> str:
        return self.lab.host(self.host).address

    def sql(self, text: str, seconds: float = 30) -> str:
        """Run statements; what they answer, columns parted by tabs."""
        return self.lab.run(self.host, [self.client, "-NBe", text], timeout=seconds).stdout.strip()

    def row(self, text: str) -> dict[str, str]:
        """Return the one row of a statement."""
        said = self.lab.run(self.host, [self.client, "-E", "-e", text], timeout=30).stdout
        pairs = (
            line.strip().split(":", 1) for line in said.splitlines() if ": " in line or line.endswith(":")
        )
        return {name: value.strip() for name, value in pairs}

    def until(self, text: str, wanted: str, seconds: float = 20) -> None:
        """Wait until a statement answers something."""
        end = time.monotonic() + seconds
        while (said := self.sql(text)) != wanted:
            assert time.monotonic() < end, (
                f"{self.host}: {text}: {said!r}, not {wanted!r} after {seconds:g} s"
            )
            time.sleep(0.1)


@dataclass(frozen=True)
class Pair:
    """A primary and its replica."""

    kind: str
    primary: Server
    replica: Server

    @property
    def mariadb(self) -> bool:
        return self.kind.startswith("mariadb")

    @property
    def gtid(self) -> bool:
        return self.kind.endswith("gtid")

    def begin(self, workers: int = 0) -> None:
        """Make both as new: a shop with one row, replicated."""
        self._maria(workers) if self.mariadb else self._mysql(workers)
        self.primary.sql(
            "CREATE DATABASE shop; CREATE TABLE shop.kv (id INT PRIMARY KEY, note TEXT); "
            "INSERT INTO shop.kv VALUES (1, 'x')"
        )
        self.applied(1)

    def applied(self, id: int) -> None:
        """Wait until the replica has a row."""
        there = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'shop'"
        try:
            self.replica.until(there, "1")
            self.replica.until(f"SELECT COUNT(*) FROM shop.kv WHERE id = {id}", "1")
        except AssertionError as error:
            told = {name: value for name, value in self.status().items() if value}
            raise AssertionError(f"{error}; the replica says {told}") from None

    def insert(self, *ids: int, note: str = "of the primary") -> None:
        """Write rows on the primary, each a transaction of its own."""
        self.primary.sql("".join(f"INSERT INTO shop.kv VALUES ({id}, '{note}');" for id in ids))

    def duplicate(self, *ids: int) -> None:
        """Write rows on the replica alone, so that the primary's of the same key fail there."""
        self.replica.sql(
            "SET sql_log_bin = 0;"
            + "".join(f"INSERT INTO shop.kv VALUES ({id}, 'of the replica');" for id in ids)
        )

    def status(self) -> dict[str, str]:
        """Return the replica's status."""
        return self.replica.row("SHOW ALL SLAVES STATUS" if self.mariadb else "SHOW REPLICA STATUS")

    def error(self) -> int:
        """Return the number of the error at which the replica's SQL thread stopped."""
        return int(self.status()["Last_SQL_Errno"])

    def stopped(self, number: int) -> None:
        """Wait until the replica stopped at an error."""
        end = time.monotonic() + 20
        while (said := self.error()) != number:
            assert time.monotonic() < end, f"the replica says error {said}, not {number}"
            time.sleep(0.1)

    def notes(self) -> dict[int, str]:
        """Return the replica's rows."""
        rows = self.replica.sql("SELECT id, note FROM shop.kv ORDER BY id").splitlines()
        return {int(line.split("\t")[0]): line.split("\t")[1] for line in rows}

    def load(self, transactions: int, milliseconds: int, clients: int = 8) -> None:
        """Write transactions that each take a while, also on the replica; return when the primary is done with them."""
        self.primary.sql(
            "".join(f"REPLACE INTO shop.kv VALUES ({100 + each}, 'busy');" for each in range(clients))
        )
        self.primary.lab.run(self.primary.host, ["sh", "-c", _LOAD, "sh", self.primary.client, str(clients),
                             str(transactions // clients), str(milliseconds / 1000)], timeout=120)  # fmt: skip

    def hang(self, seconds: int) -> None:
        """Write a transaction that takes so long on the replica alone; return when that is at it."""
        here = self.primary.sql("SELECT @@global.server_id")
        self.primary.sql(
            "SET binlog_format = STATEMENT; UPDATE shop.kv SET note = CONCAT('hung', "
            f"SLEEP(IF(@@global.server_id = {here}, 0, {seconds}))) WHERE id = 1"
        )
        applying = "info LIKE '%hung%' AND id <> CONNECTION_ID()"
        self.replica.until(f"SELECT COUNT(*) FROM information_schema.processlist WHERE {applying}", "1")

    def running(self, channel: str = "") -> dict[str, str]:
        """Return what the replica says of a channel's threads: {"IO": "Yes", "SQL": "Yes"}."""
        of = f"SHOW SLAVE '{channel}' STATUS" if self.mariadb else f"SHOW REPLICA STATUS FOR CHANNEL '{channel}'"
        told = self.replica.row(of)
        word = "Slave" if self.mariadb else "Replica"
        return {name: told[f"{word}_{name}_Running"] for name in ("IO", "SQL")}

    def runs(self, io: str, sql: str, channel: str = "", seconds: float = 20) -> None:
        """Wait until a channel's threads say so."""
        end = time.monotonic() + seconds
        while (said := self.running(channel)) != {"IO": io, "SQL": sql}:
            assert time.monotonic() < end, f"channel {channel!r}: {said} after {seconds:g} s"
            time.sleep(0.1)

    def lag(self) -> int | None:
        """Return the seconds that the replica says it is behind."""
        said = self.status()["Seconds_Behind_" + ("Master" if self.mariadb else "Source")]
        return None if said == "NULL" else int(said)

    def late(self, seconds: int) -> None:
        """Wait until the replica is so late."""
        end = time.monotonic() + 60
        while (self.lag() or 0) <= seconds:
            assert time.monotonic() < end, f"the replica is only {self.lag()} s behind"
            time.sleep(0.2)

    def _maria(self, workers: int) -> None:
        for server in (self.replica, self.primary):
            server.lab.run(server.host, ["systemctl", "start", "mariadb"])
            server.sql(
                "STOP ALL SLAVES; RESET SLAVE ALL; SET sql_log_bin = 0; DROP DATABASE IF EXISTS shop; RESET MASTER; "
                "SET GLOBAL gtid_slave_pos = ''; CREATE OR REPLACE USER repl@'%' IDENTIFIED BY 'replpw'; "
                "GRANT REPLICATION SLAVE ON *.* TO repl@'%'; SET GLOBAL slave_parallel_mode = optimistic; "
                f"SET GLOBAL slave_parallel_threads = {workers}; SET GLOBAL slave_net_timeout = {_PATIENCE}"
            )
        # Where the domains of a test before were is forgotten only when both threads start by GTID: workers that apply
        # by position would pass by what lies before that place.
        self.replica.sql(
            "CHANGE MASTER TO master_host='127.0.0.1', master_user='nobody', master_use_gtid=slave_pos; "
            "START SLAVE; STOP SLAVE; RESET SLAVE ALL"
        )
        where = "slave_pos" if self.gtid else f"no, {self._place('SHOW MASTER STATUS', 'master')}"
        self.replica.sql(
            f"CHANGE MASTER TO master_host='{self.primary.address}', master_user='repl', master_password='replpw', "
            f"master_connect_retry=1, master_heartbeat_period=1, master_use_gtid={where}; START SLAVE"
        )

    def _mysql(self, workers: int) -> None:
        mode = "ON" if self.gtid else "OFF"
        for server in (self.replica, self.primary):
            server.lab.run(server.host, ["systemctl", "start", "mysql"])
            server.sql("STOP REPLICA; RESET REPLICA ALL; RESET PERSIST")
            if server.sql("SELECT @@global.gtid_mode") != mode:
                server.sql("".join(f"SET GLOBAL gtid_mode = {each};" for each in _MODES[mode]))
            if not self.gtid:
                server.sql("SET PERSIST gtid_mode = OFF")
            server.sql(
                "SET sql_log_bin = 0; DROP DATABASE IF EXISTS shop; CREATE USER IF NOT EXISTS repl@'%' "
                "IDENTIFIED BY 'replpw'; GRANT REPLICATION SLAVE ON *.* TO repl@'%'; RESET BINARY LOGS AND GTIDS; "
                f"SET GLOBAL replica_parallel_workers = {workers or 1}; SET GLOBAL replica_net_timeout = {_PATIENCE}"
            )
        where = "source_auto_position=1"
        if not self.gtid:
            where = f"source_auto_position=0, {self._place('SHOW BINARY LOG STATUS', 'source')}"
        self.replica.sql(
            f"CHANGE REPLICATION SOURCE TO source_host='{self.primary.address}', source_user='repl', "
            "source_password='replpw', source_connect_retry=1, source_heartbeat_period=1, get_source_public_key=1, "
            f"{where}; START REPLICA"
        )

    def _place(self, statement: str, noun: str) -> str:
        file, position = self.primary.sql(statement).split()[:2]
        return f"{noun}_log_file='{file}', {noun}_log_pos={position}"


def pair_of(lab: Lab, kind: str) -> Pair:
    """Return a pair on the hosts of its server: db1 and db2, or my1 and my2."""
    if kind.startswith("mariadb"):
        return Pair(kind, Server(lab, "db1", "mariadb"), Server(lab, "db2", "mariadb"))
    return Pair(kind, Server(lab, "my1", "mysql"), Server(lab, "my2", "mysql"))


class Bench:
    """An operator who plays on a pair."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        self.pair = pair
        lab = pair.primary.lab
        hosts = [lab.host(each.host) for each in (pair.primary, pair.replica)]
        self.operator = Operator(folder, lab, *hosts, ansible_become=True, drill=True)

    def task(self, *flags: str, on: str | None = None, **params: Any) -> dict[str, Any]:
        """Play one task of mysql_replication on the replica, in this process; return its line of the report."""
        return self.play(*flags, on=on, **params).report["tasks"][0]

    def play(self, *flags: str, on: str | None = None, **params: Any) -> Result:
        """Play one task of mysql_replication; return the whole."""
        task = {"mysql_replication": params, "register": "done"}
        book = [{"hosts": on or self.pair.replica.host, "gather_facts": False, "tasks": [task]}]
        path = self.operator.write("playbooks/one.yml", json.dumps(book))
        return self.operator.here("play", str(path), *(flags or ("--yes",)))

    def book(self, *flags: str, command: str = "play", **variables: Any) -> Result:
        """Run the runbook on both hosts, in this process."""
        more = [word for name, value in variables.items() for word in ("-e", json.dumps({name: value}))]
        return self.operator.here(
            command, "mysql-replication", *more, *(("--yes",) if command == "play" else ()), *flags
        )


def problems(done: Result) -> list[str]:
    """Return what failed in a run, and what it did before, for the message of a test."""
    tasks = [each for each in done.report.get("tasks", ()) if each["status"] not in ("ok", "skipped")]
    return [
        done.stderr,
        *(f"{each['section']}, {each['task']}: {each['status']} {each['reason']}" for each in tasks),
    ]
