"""A MariaDB in each of the bench's hosts: small, on a copy of one data folder, gone with its host.

The package is Debian's mariadb-server-core: the program alone, no service and no user of this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pymysql

from .hosts import BenchError, Host, free_ports

MEMORY = 64  # MiB a server takes, as measured: 50, of which 32 are its alone
DISK = 32  # MiB of its data folder, with its log and temporary tables
START = 300  # seconds for all of them
SQL = Path("/usr/share/mysql")
SYSTEM = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")
USER, WATCHER, PASSWORD = "remedy", "bench", "only for this bench"
OPTIONS = """\
[mysqld]
user = root
bind_address = 127.0.0.1
skip_name_resolve
skip_log_bin
performance_schema = 0
log_output = TABLE
max_connections = 50
table_open_cache = 64
key_buffer_size = 1M
aria_pagecache_buffer_size = 1M
innodb_buffer_pool_size = 8M
innodb_log_file_size = 4M
innodb_data_file_path = ibdata1:3M:autoextend
innodb_autoextend_increment = 1
innodb_temp_data_file_path = ibtmp1:3M:autoextend
innodb_use_native_aio = 0
innodb_read_io_threads = 1
innodb_write_io_threads = 2
innodb_purge_threads = 1
innodb_flush_log_at_trx_commit = 0
innodb_flush_method = nosync
"""


@dataclass(frozen=True)
class Server:
    """A host's server; it listens on `port` of 127.0.0.1, where the hosts' sshd reaches it."""

    host: Host
    port: int
    process: subprocess.Popen

    def watch(self) -> pymysql.Connection:
        """Return a session of the bench's own."""
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=WATCHER, password=PASSWORD, autocommit=True
        )


def variables(servers: list[Server]) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Return what an inventory says of them: for all, and for each host."""
    common = {"mysql_login_host": "127.0.0.1", "mysql_login_user": USER, "mysql_login_password": PASSWORD}
    return common, {server.host.name: {"database_port": server.port} for server in servers}


def install() -> None:
    """Install the program where it is missing."""
    if mariadbd() is None:
        done = subprocess.run([Path(__file__).parents[1] / "scripts/needs", "mariadbd=mariadb-server-core"])
        if done.returncode or mariadbd() is None:
            raise BenchError(
                "the bench of databases needs the program mariadbd (Debian: mariadb-server-core)"
            )
    if missing := [name for name in SYSTEM if not (SQL / name).exists()]:
        raise BenchError(f"{SQL} lacks {', '.join(missing)}, of which a data folder is made")


def mariadbd() -> str | None:
    return shutil.which("mariadbd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def room(count: int, work: Path) -> None:
    """Refuse what does not fit: a machine that swaps measures its swap."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    fields = {name: int(rest.split()[0]) // 1024 for name, _, rest in (line.partition(":") for line in lines)}
    work.mkdir(exist_ok=True)
    for have, each, what in (
        (fields["MemAvailable"], MEMORY, "memory"),
        (shutil.disk_usage(work).free >> 20, DISK, f"disk below {work}"),
    ):
        if have < count * each:
            raise BenchError(
                f"{count} servers need {count * each} MiB of {what}, there are {have}: see --hosts"
            )


@contextmanager
def running(hosts: list[Host], work: Path) -> Iterator[list[Server]]:
    """A server in each host, each on a copy of one data folder, which is made below `work`; `install` comes before."""
    room(len(hosts), work)
    template = make(work)
    servers: list[Server] = []
    try:
        for host, port in zip(hosts, free_ports(len(hosts)), strict=True):
            servers.append(start(host, port, template))
        deadline = time.monotonic() + START
        for server in servers:
            wait_for_greeting(server, deadline)
        yield servers
    finally:
        for server in servers:
            end(server)
        for server in servers:
            shutil.rmtree(server.host.directory / "run/mysqld", ignore_errors=True)


def make(work: Path) -> Path:
    """The data folder that all begin with, as mariadb-install-db makes it."""
    template, tables, options = work / "template", work / "tables.sql", work / "my.cnf"
    template.mkdir()
    options.write_text(OPTIONS)
    said = "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n"
    tables.write_text(said + "\n".join((SQL / name).read_text() for name in SYSTEM))
    argv = [mariadbd(), f"--defaults-file={options}", "--bootstrap", f"--datadir={template}"]
    with tables.open("rb") as source:
        done = subprocess.run(argv, stdin=source, capture_output=True, text=True, timeout=START)
    if done.returncode:
        raise BenchError(f"no data folder can be made:\n{done.stderr[-2000:]}")
    return template


def start(host: Host, port: int, template: Path) -> Server:
    """In the host's own namespaces: what ends the host, ends its server."""
    place = host.directory / "run/mysqld"
    place.mkdir()
    shutil.copytree(template, place / "data")
    accounts = "".join(
        f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO {name}@'127.0.0.1';\n"
        for name in (USER, WATCHER)
    )
    (place / "accounts.sql").write_text(accounts)
    own = (
        f"port = {port}\ndatadir = /run/mysqld/data\nsocket = /run/mysqld/mysqld.sock\n"
        "init_file = /run/mysqld/accounts.sql\n"
    )
    (place / "my.cnf").write_text(OPTIONS + own)
    inside = ["nsenter", "--target", str(host.init_pid()), "--mount", "--pid", "--uts", "--"]
    process = subprocess.Popen(
        [*inside, mariadbd(), "--defaults-file=/run/mysqld/my.cnf"],
        stdin=subprocess.DEVNULL,
        stdout=(place / "log").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
    )
    return Server(host, port, process)


def end(server: Server) -> None:
    """Kill it: nobody will read its data again."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    with suppress(OSError):
        for pid in children.read_text().split():
            os.kill(int(pid), signal.SIGKILL)
    try:
        server.process.wait(10)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()


def wait_for_greeting(server: Server, deadline: float) -> None:
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", server.port), 1) as probe:
                probe.settimeout(5)
                if probe.recv(5):
                    return
        except OSError:
            time.sleep(0.05)
    said = (server.host.directory / "run/mysqld/log").read_text(errors="replace")[-2000:]
    raise BenchError(
        f"{server.host.name}: MariaDB on port {server.port} did not answer: {said or 'it said nothing'}"
    )


class Asked:
    """The statements that a server is asked meanwhile, word for word, without those of the client library."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.statements: list[str] = []

    def __enter__(self) -> Asked:
        self._tell("SET GLOBAL general_log = 1")
        return self

    def __exit__(self, *error: object) -> None:
        self._tell("SET GLOBAL general_log = 0")
        query = (
            "SELECT argument FROM mysql.general_log WHERE command_type = 'Query' AND user_host LIKE %s "
            "ORDER BY event_time"
        )
        with self._server.watch() as client, client.cursor() as cursor:
            cursor.execute(query, (f"%{USER}[%",))
            asked = [_text(row[0]) for row in cursor.fetchall()]
            cursor.execute("TRUNCATE TABLE mysql.general_log")
        self.statements = [text for text in asked if not text.startswith(("SET NAMES", "SET AUTOCOMMIT"))]

    def _tell(self, statement: str) -> None:
        with self._server.watch() as client, client.cursor() as cursor:
            cursor.execute(statement)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def note(folder: Path, common: Mapping[str, object], each: Mapping[str, Mapping[str, object]]) -> None:
    """Add variables to an inventory."""
    path = folder / "inventory.yml"
    inventory = json.loads(path.read_text())
    inventory["all"]["vars"].update(common)
    for name, host in inventory["all"]["hosts"].items():
        host.update(each[name])
    path.write_text(json.dumps(inventory, indent=1))
