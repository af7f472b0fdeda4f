"""MariaDB in lab hosts: SQL from outside, replication, a disk without a byte left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from remedy.lab import Disk, HostSpec, Lab

FOLDER = "/var/lib/mysql"
WAITING = "SELECT id FROM information_schema.processlist WHERE state LIKE '%free space%'"

# The writer updates one row until the disk is full. Its table has room inside for more than that: one that wants to
# grow on a full disk says so, and nobody waits.
FILL = r"""
set -eu
free() { df -k --output=avail /var/lib/mysql | tail -1; }
write() { i=0; while [ $i -lt $1 ]; do
  echo "UPDATE shop.kv SET note = REPEAT(MD5(RAND()), 8000) WHERE id = 1;"; i=$((i + 1)); done; }
write 40 | mariadb
mariadb shop -e "SET sql_log_bin = 0; INSERT INTO shop.kv SELECT seq, REPEAT('x', 256000) FROM seq_1000_to_1080;
  DELETE FROM shop.kv WHERE id >= 1000; SET GLOBAL innodb_max_purge_lag_wait = 0"
fallocate -l $(($(free) / 1024 - $1))M /var/lib/mysql/.filler
chown mysql /var/lib/mysql/.filler
write 200 > /tmp/fill.sql
setsid mariadb < /tmp/fill.sql > /tmp/fill.out 2>&1 &
for k in $(seq 300); do
  mariadb -NBe 'SHOW PROCESSLIST' | grep -q 'someone to free space' && exit 0
  sleep .05
done
echo "the disk was not filled: $(free) KiB free; $(cat /tmp/fill.out)"; exit 1
"""


def spec(name: str, reserved: int = 0) -> HostSpec:
    """Return a database host with its data on 300 MB of its own."""
    return HostSpec(name, role="db", disks={FOLDER: Disk("300M", reserved=reserved)})


@dataclass(frozen=True)
class Database:
    """A MariaDB in a lab host."""

    lab: Lab
    host: str

    @property
    def address(self) -> str:
        return self.lab.host(self.host).address

    def shell(self, script: str, *arguments: str, timeout: float = 60) -> str:
        """Run a shell script in the host."""
        return self.lab.run(self.host, ["sh", "-c", script, "sh", *arguments], timeout=timeout).stdout

    def sql(self, text: str, seconds: float = 20) -> str:
        """Run statements as root; what they answer, columns parted by tabs."""
        return self.lab.run(self.host, ["mariadb", "-NBe", text], timeout=seconds).stdout.strip()

    def begin(self) -> None:
        """Wait for the server, and make the shop."""
        self.lab.run(self.host, ["systemctl", "start", "mariadb"])
        self.sql(
            "CREATE DATABASE shop; CREATE TABLE shop.kv (id INT PRIMARY KEY, note LONGTEXT); "
            "REPLACE INTO shop.kv VALUES (1, 'x')"
        )

    def replicate(self, primary: Database) -> None:
        """Become a replica of another server."""
        primary.sql("CREATE USER repl@'%' IDENTIFIED BY 'replpw'; GRANT REPLICATION SLAVE ON *.* TO repl@'%'")
        self.lab.run(self.host, ["systemctl", "start", "mariadb"])
        self.sql(
            f"CHANGE MASTER TO master_host='{primary.address}', master_user='repl', master_password='replpw', "
            "master_use_gtid=slave_pos; START SLAVE"
        )
        self.follow(primary)

    def follow(self, primary: Database) -> None:
        """Wait until everything of the primary is applied."""
        position = primary.sql("SELECT @@gtid_binlog_pos")
        assert self.sql(f"SELECT MASTER_GTID_WAIT('{position}', 20)", 30) == "0"
        file = primary.binlogs()[-1]  # the rotation to it comes after the last transaction
        self.shell(
            'for k in $(seq 200); do mariadb -e "SHOW SLAVE STATUS\\G" | grep -qw "Relay_Master_Log_File: $1" && '
            "exit 0; sleep .05; done; exit 1",
            file,
        )

    def rotate(self, times: int, days_ago: int | None = None) -> None:
        """Write and rotate; the files that are done get an age."""
        for _ in range(times):
            self.sql("UPDATE shop.kv SET note = RAND() WHERE id = 1; FLUSH BINARY LOGS")
        if days_ago is not None:
            self.age(days_ago)

    def age(self, days: int) -> None:
        """Let every binary log but the one being written look old."""
        old = " ".join(f"{FOLDER}/{name}" for name in self.binlogs()[:-1])
        self.shell(f"touch -d '{days} days ago' {old}")

    def grow(self, megabytes: int, days_ago: int) -> None:
        """Write so many binary logs of a MiB; they look old."""
        update = "UPDATE shop.kv SET note = REPEAT(MD5(RAND()), 8000) WHERE id = 1;"  # half a MiB in the log
        self.lab.run(self.host, ["mariadb"], stdin=(update * 2 * megabytes).encode())
        self.age(days_ago)

    def show_device(self) -> None:
        """Show the device of the server's disk, which a lab host does not see."""
        self.shell(f"d=$(findmnt -no SOURCE {FOLDER}); n=$(cat /sys/class/block/${{d##*/}}/dev); "
                   "[ -e $d ] || mknod $d b ${n%:*} ${n#*:}")  # fmt: skip

    def binlogs(self) -> list[str]:
        """Return the binary logs of the index."""
        return [line.removeprefix("./") for line in self.shell(f"cat {FOLDER}/binlog.index").split()]

    def full(self, headroom: int = 5) -> None:
        """Fill the disk to the last byte the server may use, with binary logs at the end; a writer waits then."""
        self.shell(FILL, str(headroom))

    def give_up(self, kibibytes: int) -> None:
        """End the writer, with so much room that nobody waits for space any more."""
        self.shell(f"rm {FOLDER}/.rest*; truncate -s -{kibibytes}K {FOLDER}/.filler")
        self.sql("KILL " + self.sql(WAITING))
        self.sql("INSERT INTO shop.kv VALUES (2, 'the last')", 10)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold up what writes, replication too."""
        statement = "FLUSH TABLES WITH READ LOCK; SELECT SLEEP(60)"
        self.shell(f"setsid mariadb -e '{statement}' < /dev/null > /dev/null 2>&1 & "
                   "until mariadb -NBe 'SHOW PROCESSLIST' | grep -q SLEEP; do sleep .05; done")  # fmt: skip
        try:
            yield
        finally:
            asleep = self.sql("SELECT id FROM information_schema.processlist WHERE info LIKE '%SLEEP(60)%' "
                              "AND id <> CONNECTION_ID()")  # fmt: skip
            self.sql(f"KILL {asleep}")

    def take_the_rest(self) -> None:
        """Use up what little room is left for the server's user."""
        self.shell(
            f"runuser -u mysql -- dd if=/dev/zero of={FOLDER}/.rest bs=4k 2> /dev/null; "
            f"runuser -u mysql -- dd if=/dev/zero of={FOLDER}/.rest2 bs=4k 2> /dev/null; [ -e {FOLDER}/.rest ]"
        )
