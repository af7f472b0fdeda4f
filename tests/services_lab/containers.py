"""Containers with real servers in a lab host: images made from the lab's own root trees, for no registry is asked."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pymysql

from remedy.lab import Disk, HostSpec, Lab
from remedy.lab.layers import LayerCache
from remedy.lab.roles import ROLES

BUSYBOX = "busybox:1"
REDIS = "redis:lab"
MARIADB = "mariadb:lab"
POSTGRES = "postgres:lab"
MARIADB_ACCOUNT = ("shop", "shop secret")
POSTGRES_ACCOUNT = ("keeper", "keeper secret")
_PG = "usr/lib/postgresql/15"
PSQL = f"/{_PG}/bin/psql"
SOCKETS = "/var/run/postgresql"
# Whoever comes from outside of the container gives a password; inside, the server asks its socket who that is.
_HBA = "local all postgres peer\nlocal all all trust\nhost all all all scram-sha-256\n"
_PG_SEED = f"""
CREATE ROLE {POSTGRES_ACCOUNT[0]} SUPERUSER LOGIN PASSWORD '{POSTGRES_ACCOUNT[1]}';
CREATE ROLE app LOGIN PASSWORD 'app secret'; CREATE DATABASE app OWNER app;
"""
# Programs go in with the libraries that the dynamic linker names.
_TAR = r"""
mount -t overlay overlay -o "ro,lowerdir=$1" "$2"; cd "$2"; shift 2
for each in etc/passwd etc/group "$@"; do
  echo "$each"
  [ ! -f "$each" ] || [ ! -x "$each" ] || chroot . ldd "/$each" | grep -o '/[^ ]*' | cut -c 2-
done | sort -u | tar -c --dereference -T -
"""
_SEED = f"""
CREATE DATABASE IF NOT EXISTS shop;
CREATE USER IF NOT EXISTS '{MARIADB_ACCOUNT[0]}'@'%' IDENTIFIED BY '{MARIADB_ACCOUNT[1]}';
GRANT ALL ON *.* TO '{MARIADB_ACCOUNT[0]}'@'%';
"""


def spec(name: str) -> HostSpec:
    """Return a host that runs Docker, with room for the images."""
    return HostSpec(name, role="docker", disks={"/var/lib/docker": Disk("700M")})


@dataclass(frozen=True)
class Docks:
    """Docker in a lab host."""

    lab: Lab
    host: str

    def shell(self, script: str, *arguments: str, timeout: float = 60) -> str:
        """Run a shell script in the host."""
        return self.lab.run(
            self.host, ["sh", "-ec", script, "sh", *arguments], timeout=timeout
        ).stdout.strip()

    def docker(self, *words: str) -> str:
        """Run the docker program."""
        return self.lab.run(self.host, ["docker", *words]).stdout.strip()

    def redis(self, name: str, *options: str, serve: Sequence[str] = ()) -> None:
        """Run a Redis in a container, and wait until it listens."""
        self._run(name, REDIS, options, ("redis-server", *serve))

    def mariadb(self, name: str, *options: str, serve: Sequence[str] = ()) -> None:
        """Run a MariaDB in a container, with its data of the image and an account that may do all."""
        self.lab.inside(self.host).put("/root/seed.sql", _SEED.encode())
        always = ("--no-defaults", "--user=root", "--datadir=/var/lib/mysql", "--init-file=/seed.sql", "--log-bin",
                  "--server-id=7", "--skip-name-resolve", "--innodb-log-file-size=8M", "--tmpdir=/var/lib/mysql",
                  "--socket=/mysqld.sock")  # fmt: skip
        self._run(
            name, MARIADB, ("-v", "/root/seed.sql:/seed.sql:ro", *options), ("mariadbd", *always, *serve)
        )

    def client(self, port: int, user: str, password: str) -> Any:
        """Log in to the MariaDB that a container has published at a port of the host, as an application would."""
        address = self.lab.host(self.host).address
        return pymysql.connect(host=address, port=port, user=user, password=password, connect_timeout=10)

    def postgres(self, name: str, *options: str, serve: Sequence[str] = ()) -> None:
        """Run a PostgreSQL in a container, with its data of the image, a superuser with a password and an app."""
        self.lab.inside(self.host).put("/root/hba.conf", _HBA.encode())
        settings = {"listen_addresses": "*", "hba_file": "/hba.conf", "unix_socket_directories": SOCKETS, "ssl": "off",
                    "external_pid_file": "", "jit": "off"}  # fmt: skip
        set_ = [word for each, value in settings.items() for word in ("-c", f"{each}={value}")]
        argv = (f"/{_PG}/bin/postgres", "-D", "/etc/postgresql/15/main", *set_, *serve)
        self._run(name, POSTGRES, ("-v", "/root/hba.conf:/hba.conf:ro", "--user", "postgres", *options), argv)
        self.shell("for k in $(seq 100); do docker exec $1 $2 -qc 'SELECT 1' postgres && exit 0; sleep .1; done"
                   " > /dev/null 2>&1; docker logs $1 >&2; exit 1", name, PSQL)  # fmt: skip
        self.psql(name, _PG_SEED)

    def psql(self, name: str, sql: str, database: str = "postgres", user: str = "postgres") -> str:
        """Run statements in a container of PostgreSQL, by its socket, without a password."""
        argv = ["docker", "exec", "-i", name, PSQL, "-XqAtU", user, "-v", "ON_ERROR_STOP=1"]
        return self.lab.run(self.host, [*argv, database], stdin=sql.encode(), timeout=30).stdout.strip()

    def about(self, name: str) -> dict[str, Any]:
        """Return what Docker knows of a container."""
        (about,) = json.loads(self.docker("inspect", name))
        return dict(about)

    def state(self, name: str) -> str:
        """Return running, paused, exited ..."""
        return str(self.about(name)["State"]["Status"])

    def pid(self, name: str) -> int:
        """Return the container's first process as the host counts."""
        return int(self.about(name)["State"]["Pid"])

    def address(self, name: str, network: str = "bridge") -> str:
        """Return the container's own address."""
        return str(self.about(name)["NetworkSettings"]["Networks"][network]["IPAddress"])

    def clean(self) -> None:
        """Remove every container, and the networks that tests made."""
        self.shell("docker ps -aq | xargs -r docker rm -fv; docker network prune -f > /dev/null")

    def _run(self, name: str, image: str, options: Sequence[str], argv: Sequence[str]) -> None:
        self.docker("run", "-d", "--name", name, *options, image, *argv)
        self.listens(name)

    def listens(self, name: str) -> None:
        """Wait until one of the container's processes listens."""
        self.shell(
            """for k in $(seq 300); do
              for pid in $(docker top $2 -eo pid | tail -n +2); do
                nsenter --net=/proc/$1/ns/net ss -Hltnp | grep -q pid=$pid, && exit 0
              done; sleep .1
            done; docker logs $2 >&2; exit 1""",
            str(self.pid(name)),
            name,
        )


def docks(lab: Lab, host: str) -> Docks:
    """Return Docker in a running host, once it has the images."""
    lab.run(host, ["systemctl", "start", "docker", "busybox-image"])
    _import(lab, host, REDIS, "cache", "usr/bin/redis-server", "usr/bin/redis-cli")
    _import(lab, host, MARIADB, "db", "usr/sbin/mariadbd", "usr/share/mysql/english", "usr/share/mysql/charsets",
            "var/lib/mysql")  # fmt: skip
    _import(lab, host, POSTGRES, "postgres", f"{_PG}/bin/postgres", f"{_PG}/bin/psql", f"{_PG}/lib",
            "usr/share/postgresql/15", "usr/share/zoneinfo", "usr/lib/locale", "etc/postgresql/15",
            "var/lib/postgresql/15", "var/run/postgresql")  # fmt: skip
    return Docks(lab, host)


def _import(lab: Lab, host: str, image: str, role: str, *paths: str) -> None:
    trees = LayerCache(lab.root / "layers").trees(ROLES[role])
    with tempfile.TemporaryDirectory(prefix="remedy-image-") as folder:
        lower = ":".join(str(tree) for tree in reversed(trees))
        tar = subprocess.run(
            ["unshare", "--mount", "sh", "-eu", "-c", _TAR, "sh", lower, folder, *paths],
            check=True, capture_output=True, timeout=60,
        ).stdout  # fmt: skip
    lab.run(host, ["docker", "import", "-", image], stdin=tar)
