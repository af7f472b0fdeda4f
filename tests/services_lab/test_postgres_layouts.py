"""The runbooks of PostgreSQL on a host with a second cluster, and with one whose socket is elsewhere than usual."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from tests.acceptance.operator import Result
from tests.conftest_lab import HostFactory
from tests.services_lab.postgres import DATA, MAJOR, SETTINGS, UNIT, Bench, Postgres

pytestmark = pytest.mark.lab

SECOND = f"postgresql@{MAJOR}-second.service"
OWN = f"/etc/postgresql/{MAJOR}/second/conf.d/own.conf"
NAMED = ("-e", "postgres_login_port=5433")
BOOKS = ("postgres-connections", "postgres-slow", "postgres-disk", "postgres-replication", "maintenance-postgres")
_ASKED = "runuser -u postgres -- psql -h /srv/sockets -p 5433 -AtXc"
_ELSEWHERE = """printf '%s\\n' "listen_addresses = ''" "unix_socket_directories = '/srv/sockets'" "$1" > "$2"
install -d -o postgres -g postgres /srv/sockets; systemctl restart "$3"
for k in $(seq 100); do pg_isready -q -h /srv/sockets -p "$4" && exit 0; sleep .1; done; exit 1
"""


@pytest.fixture
def server(lab: Lab, host_factory: HostFactory) -> Iterator[Postgres]:
    found = Postgres.booted(lab, host_factory)
    yield found
    found.shell(f"systemctl disable -q --now {SECOND}; pg_dropcluster {MAJOR} second; "
                f"rm -f {SETTINGS}/conf.d/own.conf; systemctl reset-failed; systemctl restart {UNIT}")  # fmt: skip


@pytest.fixture
def bench(server: Postgres, tmp_path: Path) -> Bench:
    return Bench(tmp_path, server)


def played(bench: Bench, book: str, *flags: str) -> Result:
    return bench.operator.here("play", book, "--yes", *flags)


def settled(done: Result) -> tuple[Any, ...]:
    return done.code, done.report["findings"], done.report["changes"]


def test_the_only_server_is_well_though_its_socket_is_elsewhere(bench: Bench, server: Postgres) -> None:
    server.shell(_ELSEWHERE, "", f"{SETTINGS}/conf.d/own.conf", UNIT, "5432")
    for book in BOOKS:
        done = played(bench, book)
        assert settled(done) == (0, [], []), (book, done.stdout)


def test_max_connections_is_raised_on_the_cluster_that_is_meant(bench: Bench, server: Postgres) -> None:
    """It has its socket elsewhere; that on port 5432 is not restarted, and nothing is written for it."""
    server.shell(f"pg_createcluster {MAJOR} second -p 5433 > /dev/null; systemctl enable -q {SECOND}")
    server.shell(_ELSEWHERE, "max_connections = 8", OWN, SECOND, "5433")
    server.shell("for k in 1 2 3 4 5; do systemd-run -q --collect --uid=postgres --unit=held-$k "
                 "psql -h /srv/sockets -p 5433 -c 'SELECT pg_sleep(300)'; done")  # fmt: skip
    held = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    server.shell(f'for k in $(seq 100); do [ "$({_ASKED} "$1")" = 5 ] && exit 0; sleep .2; done; exit 1', held)
    invocation = f"systemctl show -P InvocationID {UNIT}"
    before = server.shell(invocation)
    assert settled(played(bench, "postgres-connections")) == (0, [], [])
    raises = ("-e", "postgres_restart=true", "-e", "postgres_max_connections=30")
    done = played(bench, "postgres-connections", *NAMED, *raises)
    assert done.code == 0, done.stdout
    assert [each["id"] for each in done.report["findings"] if each["resolved"]] == ["postgres-connections"]
    assert f"unit:{SECOND}" in [each["object"] for each in done.report["changes"]]
    assert server.shell(f"{_ASKED} 'SHOW max_connections'").strip() == "30"
    assert server.shell(invocation) == before
    assert "max_connections" not in server.shell(f"cat {DATA}/postgresql.auto.conf")
    for book in BOOKS:
        done = played(bench, book, *NAMED)
        assert settled(done) == (0, [], []), (book, done.stdout)
    # Beside it that on 5432 is well, and no other one is taken for it where it is down.
    server.shell(f"systemctl stop {UNIT}")
    done = played(bench, "postgres-connections")
    assert (done.code, [each["id"] for each in done.report["findings"]]) == (2, ["postgres-down"])
