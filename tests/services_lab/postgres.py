"""PostgreSQL in lab hosts: SQL from outside, accounts with passwords, sessions that stay, a standby."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from remedy.lab import Lab
from tests.acceptance.operator import Operator, Result
from tests.conftest_lab import NEWER, HostFactory

MAJOR = 17 if os.environ.get(NEWER) else 15
UNIT = f"postgresql@{MAJOR}-main.service"
DATA = f"/var/lib/postgresql/{MAJOR}/main"
SETTINGS = f"/etc/postgresql/{MAJOR}/main"
LOG = f"/var/log/postgresql/postgresql-{MAJOR}-main.log"


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL in a lab host."""

    lab: Lab
    host: str

    @property
    def address(self) -> str:
        return self.lab.host(self.host).address

    def shell(self, script: str, *arguments: str, timeout: float = 60, user: str = "root") -> str:
        """Run a shell script in the host."""
        argv = ["runuser", "-u", user, "--", "sh", "-c", script, "sh", *arguments]
        return self.lab.run(self.host, argv, timeout=timeout).stdout

    def sql(self, text: str, database: str = "postgres", seconds: float = 30) -> str:
        """Run statements as the superuser; what they answer, columns parted by |."""
        argv = ["runuser", "-u", "postgres", "--", "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", database]
        return self.lab.run(self.host, argv, stdin=text.encode(), timeout=seconds).stdout.strip()

    @classmethod
    def booted(cls, lab: Lab, host_factory: HostFactory, host: str = "pg1") -> Postgres:
        """Return the server of a host that is booted for it, once it answers."""
        host_factory(host, role="postgres")
        found = cls(lab, host)
        found.begin()
        return found

    def begin(self) -> None:
        """Wait for the server."""
        self.shell("for k in $(seq 300); do runuser -u postgres -- pg_isready -q && exit 0; sleep .1; done; exit 1")

    def restart(self) -> None:
        """Restart it."""
        self.shell(f"systemctl restart {UNIT}")
        self.begin()

    def account(self, name: str = "app", password: str = "app secret", options: str = "") -> None:
        """Make an ordinary role with a password, and a database of its own."""
        self.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' {options}")
        self.sql(f"CREATE DATABASE {name} OWNER {name}")

    def standby_of(self, primary: Postgres) -> None:
        """Become a standby of another server, by the slot of this host's name."""
        slot = self.host.replace("-", "_")
        primary.sql(f"""DO $$ BEGIN
          IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'repl') THEN
            CREATE ROLE repl LOGIN REPLICATION PASSWORD 'repl secret'; END IF;
          IF NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{slot}') THEN
            PERFORM pg_create_physical_replication_slot('{slot}', true); END IF; END $$""")
        self.shell(f"systemctl stop {UNIT}; rm -rf {DATA}")
        source = f"host={primary.address} user=repl password=''repl secret'' application_name={self.host}"
        source = source.replace("''", "'")
        self.shell(
            f'pg_basebackup -d "$1" -D {DATA} -R -X stream -c fast -S {slot}', source, user="postgres", timeout=120
        )
        self.shell(f"systemctl start {UNIT}")
        self.begin()
        self.follow(primary)

    def follow(self, primary: Postgres, seconds: float = 30) -> None:
        """Wait until everything of the primary is replayed."""
        position = primary.sql("SELECT pg_current_wal_lsn()")
        self.until(f"SELECT pg_last_wal_replay_lsn() >= '{position}'", "t", seconds)

    def until(self, sql: str, answer: str, seconds: float = 30, db: str = "postgres") -> None:
        """Wait until a query answers so."""
        end = time.monotonic() + seconds
        while (said := self.sql(sql, db)) != answer:
            assert time.monotonic() < end, f"{sql}: {said}, expected {answer}"
            time.sleep(0.1)

    @contextmanager
    def held(
        self, count: int, statement: str = "SELECT 1", role: str = "app", password: str = "app secret"
    ) -> Iterator[list[int]]:
        """Hold sessions of an ordinary role, each after a statement, which may go on; give their pids."""
        where = f"host={self.address} user={role} dbname={role} connect_timeout=10"
        lines: list[psycopg.Connection] = []
        try:
            for _ in range(count):
                lines.append(_connected(where, password))
                lines[-1].pgconn.send_query(statement.encode())
            pids = [line.info.backend_pid for line in lines]
            begun = "query <> '' AND (state <> 'active' OR wait_event IN ('PgSleep', 'SpinDelay'))"
            listed = ", ".join(map(str, pids))
            self.until(f"SELECT count(*) FROM pg_stat_activity WHERE pid IN ({listed}) AND {begun}", str(count))
            yield pids
        finally:
            for line in lines:
                line.close()
            if lines:
                self.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'")
                self.until(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'", "0")

    @contextmanager
    def superuser(self, statement: str, database: str = "app") -> Iterator[int]:
        """Hold a session of the superuser, idle in its transaction after a statement; give its pid."""
        asked = "FROM pg_stat_activity WHERE usename = 'postgres' AND state LIKE 'idle in%'"
        held = '(echo "BEGIN; $1;"; sleep 300) | psql -q "$2"'
        script = f"setsid runuser -u postgres -- sh -c '{held}' sh \"$@\" > /dev/null 2>&1 &"
        self.shell(script, statement, database)
        self.until(f"SELECT count(*) {asked}", "1")
        pid = int(self.sql(f"SELECT pid {asked}"))
        try:
            yield pid
        finally:
            self.sql(f"SELECT pg_terminate_backend({pid})")

    @contextmanager
    def memory(self, limit: int) -> Iterator[None]:
        """Let its unit have so many bytes of memory (MemoryMax=).

        Where control groups are of version 1, systemd in the lab has none of memory: there the kernel is told itself.
        """
        folder = f"/run/systemd/system/{UNIT}.d"
        lines = f"[Service]\nMemoryMax={limit}\n"
        self.shell(f'mkdir -p {folder}; printf "$1" > {folder}/memory.conf; systemctl daemon-reload', lines)
        self.restart()
        group = self.lab.inside(self.host).cgroup
        nested = [each / "postgres" for each in group.folders() if (each / "memory.limit_in_bytes").exists()]
        try:
            for each in nested:
                each.mkdir()
                (each / "memory.limit_in_bytes").write_text(str(limit))
                for pid in group.members():
                    if Path(f"/proc/{pid}/comm").read_text().strip() == "postgres":
                        (each / "cgroup.procs").write_text(str(pid))
            yield
        finally:
            self.shell(f"rm -r {folder}; systemctl daemon-reload")
            self.restart()
            for each in nested:
                each.rmdir()

    def login(self, role: str = "app", password: str = "app secret") -> str:
        """Log in as an ordinary role; return what the server says."""
        where = "host=127.0.0.1 user=$2 dbname=$2 connect_timeout=5"
        return self.shell(
            f'PGPASSWORD="$1" psql -AtX "{where}" -c "SELECT 1" 2>&1 || true', password, role
        ).strip()


class Bench:
    """Servers, and the operator who plays on them, in this process."""

    changed = ""
    """The newest run that changed something."""

    def __init__(self, folder: Path, *servers: Postgres, **variables: Any) -> None:
        self.servers = servers
        lab = servers[0].lab
        hosts = [lab.host(server.host) for server in servers]
        self.operator = Operator(folder, lab, *hosts, **{"ansible_become": True, **variables})

    def tasks(self, *tasks: dict[str, Any], flags: tuple[str, ...] = ("--yes",), on: str | None = None) -> Result:
        """Play tasks on one server, the first unless another is named."""
        book = [{"hosts": on or self.servers[0].host, "gather_facts": False, "tasks": list(tasks)}]
        path = self.operator.write("playbooks/bench.yml", json.dumps(book))
        done = self.operator.here("play", str(path), *flags)
        if done.report.get("changes") and done.report["run"]["mode"] == "apply":
            self.changed = done.report["run"]["id"]
        return done

    def one(self, module: str, *flags: str, on: str | None = None, **params: Any) -> dict[str, Any]:
        """Play one task; return its entry of the report, with `result`."""
        done = self.tasks({module: params}, flags=flags or ("--yes",), on=on)
        assert done.report, done.stderr
        (found,) = done.report["tasks"]
        return dict(found)


def _connected(where: str, password: str, seconds: float = 10) -> psycopg.Connection:
    """Connect; one that is turned away, as another session has not quite ended, comes again."""
    until = time.monotonic() + seconds
    while True:
        try:
            return psycopg.connect(where, password=password, autocommit=True)
        except psycopg.OperationalError as error:
            full = any(each in str(error) for each in ("too many", "reserved"))
            if not full or time.monotonic() > until:
                raise
        time.sleep(0.1)
