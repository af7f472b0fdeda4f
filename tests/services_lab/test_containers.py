"""Servers in containers of a real Docker: found, asked, healed by the runbooks, and never mistaken for another one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest

from remedy.lab import Lab
from tests.conftest_lab import HostFactory
from tests.services_lab import containers
from tests.services_lab.containers import (
    BUSYBOX,
    MARIADB_ACCOUNT,
    POSTGRES,
    POSTGRES_ACCOUNT,
    PSQL,
    REDIS,
    SOCKETS,
    Docks,
)
from tests.services_lab.redis_host import Bench, Cache, findings, reason

pytestmark = pytest.mark.lab

OPEN = ("--protected-mode", "no")
PUBLISHED = ("-p", "6379:6379")
LOGIN = dict(zip(("login_user", "login_password"), MARIADB_ACCOUNT, strict=True))
PLACES = (
    # how it runs, what its command says beside, where it is reached
    ("random", ("-p", "6379"), (), None),
    ("fixed", ("-p", "172.17.0.1:6390:6379"), (), ("172.17.0.1", 6390)),
    ("host", ("--network", "host"), ("--port", "6400"), (None, 6400)),
    ("user", ("--network", "shop"), ("--port", "7000"), None),
    ("beside", ("--network", "container:cache"), ("--port", "7001"), None),
    ("init", ("--init",), (), None),
)
# Connections that ask once and then nothing.
SLEEPERS = """import socket, sys, time
held = [socket.create_connection((sys.argv[1], 6379)) for _ in range(int(sys.argv[3]))]
for each in held:
    each.sendall(b"PING\\r\\n")
    each.recv(100)
open("/run/" + sys.argv[2], "w").close()
time.sleep(300)
"""


@pytest.fixture(scope="module")
def made(lab: Lab, host_factory: HostFactory) -> Docks:
    spec = containers.spec("boxes")
    host_factory(spec.name, role=spec.role, disks=spec.disks)
    return containers.docks(lab, spec.name)


@pytest.fixture
def docks(made: Docks) -> Iterator[Docks]:
    """Docker without a container."""
    yield made
    made.clean()


@pytest.fixture
def bench(made: Docks, lab: Lab, tmp_path: Path) -> Bench:
    return Bench(tmp_path, lab, Cache(lab, made.host))


@pytest.fixture
def pair(docks: Docks) -> dict[str, dict[str, Any]]:
    """A server with a published port, and one at an address of its own: the name, and how it is asked."""
    docks.redis("cache", *PUBLISHED, "-m", "100m", serve=OPEN)
    docks.redis("own", serve=OPEN)
    return {"cache": {}, "own": {"login_host": docks.address("own")}}


def servers(bench: Bench, module: str = "redis_servers") -> dict[str, dict[str, Any]]:
    """Return the servers by the names of their containers."""
    found = bench.one(module)["result"]["servers"]
    return {(each.get("docker") or {}).get("name") or each["container"]: each for each in found}


def changed(result: Any) -> list[str]:
    return [each["task"] for each in result.report["tasks"] if each["status"] == "changed"]


def test_each_is_found_where_it_is_reached_and_is_the_one_that_answers(bench: Bench, docks: Docks) -> None:
    docks.docker("network", "create", "shop")
    docks.redis("cache", *PUBLISHED, serve=OPEN)
    for name, options, serve, _ in PLACES:
        docks.redis(name, *options, serve=(*OPEN, *serve))
    # One that has the same port and is stopped is not the one that answers there.
    docks.docker("create", "--name", "old", *PUBLISHED, REDIS, "redis-server")
    # A client is no server, whatever its command says.
    docks.docker("run", "-d", "--name", "worker", BUSYBOX, "sleep", "1000", "redis://cache:6379")
    found = servers(bench)
    assert set(found) == {"cache", "old", *(name for name, *_ in PLACES)}
    assert (found["cache"]["address"], found["cache"]["port"]) == (None, 6379)
    assert (found["old"]["state"], found["old"]["pid"]) == ("stopped", None)
    where = {name: place for name, _, _, place in PLACES}
    random = docks.docker("port", "random", "6379/tcp").split("\n")[0].rpartition(":")[2]
    where.update(
        random=(None, int(random)),
        user=(docks.address("user", "shop"), 7000),
        beside=(docks.address("cache"), 7001),
        init=(docks.address("init"), 6379),
    )
    for name, place in where.items():
        each = found[name]
        assert (each["state"], (each["address"], each["port"])) == ("running", place), name
        assert each["listens"], name
        asked = {"login_port": each["port"], **({"login_host": each["address"]} if each["address"] else {})}
        answer = bench.one("redis_info", host=True, **asked)
        # Most of them call themselves number 1, so this is told by where it was reached.
        assert answer["result"]["host"]["pid"] == each["pid"], (name, answer["reason"])
    assert found["init"]["pid"] != docks.pid("init"), "the server, not what started it"
    assert bench.one("redis_servers")["result"]["server"]["name"] == "container cache"
    old = findings(bench.runbook("redis-down", command="diagnose", redis_container="old"))
    assert "port 6379 is taken by docker-proxy" in old["redis-port"]["title"]


def test_one_that_nobody_can_reach_is_not_mistaken_for_another(bench: Bench, docks: Docks) -> None:
    docks.redis("cache", *PUBLISHED, serve=(*OPEN, "--maxmemory", "3mb"))
    docks.redis("alone", "--network", "none", serve=OPEN)
    for name in ("redis-down", "redis-memory"):
        done = bench.runbook(name, redis_container="alone")
        assert done.code == 2
        assert "container alone has no address on this host, and has published no port" in reason(done)
        assert (done.report["findings"], done.report["changes"]) == ([], [])
    assert bench.runbook("redis-down").code == 0, "the other one is meant without a word"


def test_settings_live_in_a_container_within_its_memory(
    bench: Bench, docks: Docks, pair: dict[str, Any]
) -> None:
    for name, at in pair.items():
        assert bench.one("redis_ping", write=True, **at)["status"] in ("ok", "changed"), name
        told = bench.one("redis_info", host=True, **at)["result"]
        assert told["host"]["memory"]["limit"] == (100 << 20 if name == "cache" else None)
        refused = bench.one("redis_config", name="maxmemory", value="16mb", **at)
        assert "runs without a configuration file, so nothing would outlive a restart" in refused["reason"]
        task = {"redis_config": {"name": "maxmemory", "value": "16mb", "persist": False, **at}}
        run = bench.tasks(task)
        assert run.report["tasks"][0]["status"] == "changed"
        assert bench.tasks(task).report["tasks"][0]["status"] == "ok"
        assert bench.rollback(run).code == 0
        assert bench.one("redis_info", **at)["result"]["memory"]["maxmemory"] == 0
    refused = bench.one("redis_config", name="maxmemory", value="90mb", persist=False)
    assert "more than 75% of the limit of its cgroup: 100 MiB" in refused["reason"]


def test_a_configuration_file_in_a_container_is_read_and_written_there(bench: Bench, docks: Docks) -> None:
    docks.shell("mkdir -p /srv/redis; printf 'protected-mode no\\ntimeout 0\\n' > /srv/redis/redis.conf")
    # The host has a file at the same path, which is not the server's.
    docks.shell("mkdir -p /etc/redis; echo timeout 55 > /etc/redis/redis.conf")
    docks.redis("cache", *PUBLISHED, "-v", "/srv/redis:/etc/redis", serve=("/etc/redis/redis.conf",))
    run = bench.tasks({"redis_config": {"name": "timeout", "value": 77}})
    assert run.report["changes"][0]["before"] == {"live": "0", "file": "0"}
    assert "timeout 77" in docks.shell("cat /srv/redis/redis.conf")
    docks.docker("restart", "cache")
    docks.listens("cache")
    assert bench.one("redis_info")["result"]["clients"]["timeout"] == 77
    assert bench.rollback(run).code == 0
    assert "timeout 0" in docks.shell("cat /srv/redis/redis.conf")
    assert docks.shell("cat /etc/redis/redis.conf; rm -r /etc/redis /srv/redis") == "timeout 55"


def test_protected_mode_is_told_as_what_it_is(bench: Bench, docks: Docks) -> None:
    docks.redis("cache", *PUBLISHED)
    done = bench.one("redis_ping")
    assert done["result"]["redis_error"] == "DENIED"
    assert done["reason"].endswith("set protected-mode no where nobody else gets to it")
    assert list(findings(bench.runbook("redis-down", command="diagnose"))) == ["redis-login"]


BREAKS = {
    "stopped": "docker stop $1",
    "killed": "docker kill $1",
    "paused": "docker pause $1",
    "signal": "kill -STOP $(docker inspect -f '{{.State.Pid}}' $1)",
}


@pytest.mark.parametrize(
    ("how", "name"),
    [("stopped", "cache"), ("killed", "cache"), ("paused", "own"),
     *(pytest.param(*each, marks=pytest.mark.soak)
       for each in (("stopped", "own"), ("paused", "cache"), ("signal", "own")))],
)  # fmt: skip
def test_one_that_does_not_run_goes_on(
    how: str, name: str, bench: Bench, docks: Docks, pair: dict[str, Any]
) -> None:
    docks.shell(BREAKS[how], name)
    other = next(each for each in pair if each != name)
    begun = docks.about(other)["State"]["StartedAt"]
    seen = findings(bench.runbook("redis-down", command="diagnose", redis_container=name))
    hangs = how in ("paused", "signal")
    assert list(seen) == ["redis-down", "redis-hung" if hangs else "redis-stopped"]
    if hangs:
        why = "its container is paused" if how == "paused" else "its process is stopped by a signal"
        assert why in seen["redis-hung"]["title"]
    assert bench.runbook("redis-down", "--check", redis_container=name).code == 0
    assert docks.state(name) == {"paused": "paused", "signal": "running"}.get(how, "exited")
    done = bench.runbook("redis-down", redis_container=name)
    assert done.code == 0, reason(done)
    assert all(each["resolved"] for each in done.report["findings"])
    assert len(changed(done)) == 1
    assert docks.state(name) == "running"
    at = {"login_host": docks.address(name)} if name == "own" else {}
    assert bench.one("redis_ping", **at)["result"]["ping"] == "PONG"
    again = bench.runbook("redis-down", redis_container=name)
    assert (again.code, again.report["findings"], changed(again)) == (0, [], [])
    assert docks.about(other)["State"]["StartedAt"] == begun, "the other one was not touched"


def test_a_container_gets_another_address_and_is_found_there(bench: Bench, docks: Docks) -> None:
    docks.redis("own", serve=OPEN)
    before = docks.address("own")
    docks.docker("stop", "own")
    docks.redis("thief", serve=OPEN)
    assert docks.address("thief") == before
    done = bench.runbook("redis-down", redis_container="own")
    assert (done.code, changed(done)) == (0, ["Start its container"]), reason(done)
    assert docks.address("own") != before


@pytest.mark.soak
def test_one_that_hangs_is_restarted_only_where_data_may_go(bench: Bench, docks: Docks) -> None:
    docks.redis("own", serve=(*OPEN, "--enable-debug-command", "yes"))
    docks.docker(
        "run",
        "-d",
        "--network",
        "container:own",
        "--name",
        "asleep",
        REDIS,
        "redis-cli",
        "debug",
        "sleep",
        "300",
    )
    docks.shell(
        "for k in $(seq 100); do timeout .5 docker exec own redis-cli ping > /dev/null || exit 0; done; exit 1"
    )
    begun = docks.about("own")["State"]["StartedAt"]
    refused = bench.runbook("redis-down", redis_container="own")
    assert "container own is not restarted, for data would be lost: whether it saves is not known" in reason(
        refused
    )
    assert docks.about("own")["State"]["StartedAt"] == begun
    done = bench.runbook("redis-down", redis_container="own", redis_lose_data=True)
    assert done.code == 0, reason(done)
    assert changed(done) == ["Restart its container"]
    assert docks.about("own")["State"]["StartedAt"] != begun


def test_memory_is_made_in_one(bench: Bench, docks: Docks, pair: dict[str, Any]) -> None:
    fill = 'seq 1500 | sed "s/.*/SET cache:& $2/" | docker exec -i $1 redis-cli | grep -c OOM'
    for name, at in pair.items():
        assert (
            bench.one("redis_config", name="maxmemory", value="4mb", persist=False, **at)["status"]
            == "changed"
        )
        assert int(docks.shell(fill, name, "x" * 6000)) > 500
        found = findings(bench.runbook("redis-memory", command="diagnose", redis_container=name))
        assert list(found) == ["redis-memory", "redis-keys"]
        assert found["redis-memory"]["title"].startswith(f"container {name} uses 10")
        assert "the largest group is cache:*" in found["redis-keys"]["title"]
        done = bench.runbook("redis-memory", redis_container=name)
        assert (done.code, changed(done)) == (0, ["Raise maxmemory"]), reason(done)


def test_mysql_in_a_container_is_named_and_asked(bench: Bench, docks: Docks) -> None:
    docks.mariadb("sql")
    docks.mariadb("shop", "-p", "3307:3306")
    found = servers(bench, "mysql_servers")
    assert {name: (each["container"], each["docker"]["address"], each["docker"]["port"]) for name, each in found.items()
            } == {"sql": (True, docks.address("sql"), 3306), "shop": (True, None, 3307)}  # fmt: skip
    assert bench.one("mysql_servers")["result"]["binlogs"] == [], "folders in containers are not the host's"
    for each in found.values():
        at = {"login_host": each["docker"]["address"] or "127.0.0.1", "login_port": each["docker"]["port"]}
        told = bench.one("mysql_info", **at, **LOGIN)
        assert told["status"] == "ok", told["reason"]
        assert told["result"]["variant"] == "MariaDB"
        raised = bench.one("mysql_variables", variable="max_connections", value=170, **at, **LOGIN)
        assert raised["status"] == "changed", raised["reason"]
        lasting = bench.one(
            "mysql_variables", variable="max_connections", value=180, mode="persist", **at, **LOGIN
        )
        assert "process is not seen on this host" in lasting["reason"]
        most = bench.one("mysql_variables", variable="max_connections", value=90000, **at, **LOGIN)
        assert "90000 is more than the open files allow" in most["reason"]


def test_mysql_connections_works_where_it_is_told_the_container(bench: Bench, docks: Docks) -> None:
    docks.mariadb("sql", "-p", "3307:3306", serve=("--max-connections=10",))
    # Containers are not asked unasked, and that is said.
    for book in ("mysql-connections", "mysql-slow", "mysql-errors", "maintenance-mysql"):
        found = findings(bench.runbook(book, command="diagnose"))
        assert list(found) == ["mysql-which"]
        told = "MySQL runs in containers alone, and none was looked at: sql at 127.0.0.1:3307"
        assert (found["mysql-which"]["title"], found["mysql-which"]["severity"]) == (told, "P3")
        played = bench.runbook(book)
        assert (played.code, played.report["changes"]) == (2, []), "what nobody has looked at is not in order"
        assert f"mysql-which: {told} (name the one that is meant by mysql_login_host" in reason(played)
    at = {"mysql_login_host": "127.0.0.1", "mysql_login_port": 3307,
          **{f"mysql_{name}": value for name, value in LOGIN.items()}}  # fmt: skip
    assert bench.runbook("mysql-connections", **at).code == 0
    with docks.client(3307, *MARIADB_ACCOUNT) as root, root.cursor() as cursor:
        cursor.execute("CREATE USER app@'%' IDENTIFIED BY 'app secret'")
    app = ("app", "app secret")
    begun = docks.about("sql")["State"]["StartedAt"]
    with ExitStack() as held:
        for _ in range(10):
            held.enter_context(docks.client(3307, *app))
        with pytest.raises(pymysql.err.OperationalError, match="Too many connections"):
            docks.client(3307, *app)
        found = findings(bench.runbook("mysql-connections", command="diagnose", mysql_idle="0s", **at))
        assert found["mysql-connections"]["title"] == "10 of 10 connections are used, and not one is free"
        assert found["mysql-connections"]["evidence"]["by_user"] == {"app": 10}
        told = bench.runbook("mysql-connections", mysql_idle="1h", **at)
        assert "its option files are not to be had" in reason(told), "nobody is idle for so long: a raise is left"
        done = bench.runbook("mysql-connections", mysql_idle="0s", mysql_lasting=False, **at)
        assert done.code == 0, reason(done)
        assert changed(done) == ["End idle sessions, the oldest first", "Let the server end idle sessions",
                                 "Let the server end idle sessions of people", "Raise max_connections"]  # fmt: skip
        docks.client(3307, *app).close()
    assert docks.about("sql")["State"]["StartedAt"] == begun
    docks.docker("stop", "sql")
    assert list(findings(bench.runbook("mysql-connections", command="diagnose", **at))) == ["mysql-down"]
    assert MARIADB_ACCOUNT[1] not in json.dumps(bench.one("mysql_info", **LOGIN))


@contextmanager
def sleepers(docks: Docks, unit: str, address: str, count: int) -> Iterator[None]:
    """Hold connections to a Redis that ask nothing more."""
    docks.shell(f"rm -f /run/{unit}")
    words = ("systemd-run", "-q", "--collect", f"--unit={unit}", "python3", "-c", SLEEPERS, address, unit, str(count))
    docks.lab.run(docks.host, words)
    docks.shell(f"for k in $(seq 100); do [ -e /run/{unit} ] && exit 0; sleep .1; done; exit 1")
    try:
        yield
    finally:
        docks.shell(f"systemctl stop {unit}")


def test_one_that_hangs_costs_the_hosts_own_no_restart(bench: Bench, docks: Docks) -> None:
    """A login that leads to a container, which is not named: the unit of the host with its port is another server's."""
    docks.redis("asleep", serve=OPEN)
    address = docks.address("asleep")
    with own_redis(docks, "127.0.0.1"):
        begun = docks.shell("systemctl show -p MainPID --value own-redis")
        docks.docker("pause", "asleep")
        done = bench.runbook("redis-down", redis_login_host=address, redis_lose_data=True)
        assert (done.code, done.report["changes"]) == (2, []), reason(done)
        assert list(findings(done)) == ["redis-elsewhere"]
        title = f"the server at {address}:6379 does not answer, and it is not own-redis.service"
        assert findings(done)["redis-elsewhere"]["title"] == title
        assert docks.shell("systemctl show -p MainPID --value own-redis") == begun
        # Its own one hangs: that it is.
        docks.shell("kill -STOP $1", begun)
        found = findings(bench.runbook("redis-down", command="diagnose"))
        assert list(found) == ["redis-down", "redis-hung"]
        docks.shell("kill -CONT $1", begun)


def unpacked(docks: Docks, image: str, folder: str) -> str:
    """Unpack an image into a folder of the host; return where its libraries are, as LD_LIBRARY_PATH has them."""
    docks.docker("create", "--name", "tree", image, "true")
    docks.shell("mkdir -p $1; docker export tree | tar -x -C $1; docker rm tree > /dev/null", folder)
    return docks.shell("find $1 -name '*.so*' -type f -printf '%h\\n' | sort -u | paste -sd:", folder)


@contextmanager
def own_redis(docks: Docks, address: str) -> Iterator[str]:
    """Run the host's own Redis on port 6379 of an address; give the command that asks it for its clients."""
    libraries = unpacked(docks, REDIS, "/srv/redis")
    serve = f"/srv/redis/usr/bin/redis-server --bind {address} --port 6379 --protected-mode no"
    docks.shell(f"systemd-run -q --collect --unit=own-redis --setenv=LD_LIBRARY_PATH={libraries} {serve}")
    ask = f"LD_LIBRARY_PATH={libraries} /srv/redis/usr/bin/redis-cli -h {address}"
    docks.shell(f"for k in $(seq 100); do {ask} ping > /dev/null && exit 0; sleep .1; done; exit 1")
    try:
        yield f"{ask} client list type normal"
    finally:
        docks.shell("systemctl stop own-redis; rm -r /srv/redis")


@pytest.mark.parametrize("published", [False, True], ids=["own address", "published"])
def test_a_full_one_costs_no_client_of_the_hosts_own(published: bool, bench: Bench, docks: Docks) -> None:
    """Both have port 6379: only where it was reached tells whose clients are looked at."""
    places = ("-p", "172.17.0.1:6379:6379") if published else ()
    docks.redis("full", *places, serve=(*OPEN, "--maxclients", "10"))
    address = "172.17.0.1" if published else docks.address("full")
    with own_redis(docks, "127.0.0.1") as asked, sleepers(docks, "quiet", "127.0.0.1", 3):
        docks.shell("sleep 1.2")  # they are the longest idle ones of all
        with sleepers(docks, "taking", address, 10):
            docks.shell("sleep 1.2")
            done = bench.runbook("redis-down", redis_container="full", redis_client_idle="1s")
            assert "redis-full" in findings(done)
            if not published:
                assert done.code == 2
                assert f"nobody on this host takes connections at {address}:6379 and has port 6379" in reason(done)
                assert "connections to port 6379 of this host are another server's, and none is ended" in reason(done)
            ended = [each["module"] for each in done.report["changes"]]
            assert done.code == (0 if "connection_close" in ended else 2), reason(done)
        assert docks.shell(asked).count("cmd=ping") == 3


KEEPER = dict(zip(("login_user", "login_password"), POSTGRES_ACCOUNT, strict=True))


def test_postgres_in_a_container_is_seen_and_asked(bench: Bench, docks: Docks) -> None:
    docks.postgres("own")
    docks.postgres("shop", "-p", "5433:5432")
    found = {each["pid"]: each for each in bench.one("postgresql_servers")["result"]["servers"]}
    assert set(found) == {docks.pid("own"), docks.pid("shop")}
    assert all((each["container"], each["port"]) == (True, 5432) for each in found.values())
    for name, at in {
        "own": {"login_host": docks.address("own")},
        "shop": {"login_host": "127.0.0.1", "login_port": 5433},
    }.items():
        told = bench.one("postgresql_info", **at, **KEEPER)
        assert told["status"] == "ok", told["reason"]
        assert (told["result"]["version"]["major"], told["result"]["connections"]["max"]) == (15, 20)
        task = {"postgresql_set": {"name": "log_min_duration_statement", "value": "1s", **at, **KEEPER}}
        run = bench.tasks(task)
        assert run.report["tasks"][0]["status"] == "changed", reason(run)
        assert bench.tasks(task).report["tasks"][0]["status"] == "ok"
        docks.docker("restart", name)
        docks.listens(name)
        assert docks.psql(name, "SHOW log_min_duration_statement") == "1s"
        if name == "shop":  # the other one may have got another address
            assert bench.rollback(run).code == 0
            assert docks.psql(name, "SHOW log_min_duration_statement") == "-1"
    # Without a word where it is nobody is asked: the host has no socket of its own.
    assert "no service answers on" in bench.one("postgresql_info")["reason"]
    assert POSTGRES_ACCOUNT[1] not in json.dumps(bench.one("postgresql_info", **KEEPER))


def test_the_socket_of_a_container_is_reached_where_the_host_has_it(bench: Bench, docks: Docks) -> None:
    """Peer login is for the container's own users: whoever comes from the host is root there, not postgres."""
    docks.shell("install -d -m 1777 /srv/sockets")
    sockets = f"unix_socket_directories={SOCKETS},/srv/sockets"
    docks.postgres("own", "-v", "/srv/sockets:/srv/sockets", serve=("-c", sockets))
    at = {"login_unix_socket": "/srv/sockets"}
    asked = bench.one("postgresql_query", query="SELECT current_user AS who", reads=True, **at, login_user="app")
    assert asked["result"]["query_result"] == [{"who": "app"}], asked["reason"]
    refused = bench.one("postgresql_query", query="SELECT 1", reads=True, **at)
    assert "Peer authentication failed" in refused["reason"]


HELD = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state = 'idle'"


def idle_clients(docks: Docks, name: str) -> None:
    """Let the application have every connection of a server of 20 that it may have."""
    docks.shell("for k in $(seq 17); do docker exec -d $2 $1 -U app -f /idle.sql app; done", PSQL, name)
    docks.shell("for k in $(seq 100); do [ $(echo \"$1\" | docker exec -i $3 $2 -XAt) = 17 ] && exit 0; "
                "sleep .1; done; exit 1", HELD, PSQL, name)  # fmt: skip


def test_postgres_connections_works_where_it_is_told_the_container(bench: Bench, docks: Docks) -> None:
    idle = "/root/idle.sql"
    docks.shell("echo 'SELECT 1 \\watch 300' > $1", idle)
    docks.postgres("shop", "-p", "5433:5432", "-v", f"{idle}:/idle.sql:ro")
    at = {"postgres_login_host": "127.0.0.1", "postgres_login_port": 5433,
          **{f"postgres_{name}": value for name, value in KEEPER.items()}}  # fmt: skip
    assert bench.runbook("postgres-connections", **at).code == 0
    idle_clients(docks, "shop")
    begun = docks.about("shop")["State"]["StartedAt"]
    found = findings(bench.runbook("postgres-connections", command="diagnose", **at))
    assert list(found) == ["postgres-connections"]
    raised = {"postgres_idle": 0, "postgres_restart": True, "postgres_max_connections": 30}
    told = bench.runbook("postgres-connections", **raised, **at)
    assert told.code == 2
    assert "which one postgres_login_host leads to is not known here: restart it yourself" in reason(told)
    assert docks.psql("shop", HELD) == "17"
    done = bench.runbook("postgres-connections", postgres_idle="0.1s", **at)
    assert done.code == 0, reason(done)
    assert docks.psql("shop", HELD) == "0"
    assert docks.about("shop")["State"]["StartedAt"] == begun
    docks.docker("stop", "shop")
    gone = bench.runbook("postgres-connections", command="diagnose", **at)
    assert list(findings(gone)) == ["postgres-down"]


@contextmanager
def own_postgres(docks: Docks) -> Iterator[str]:
    """Run the host's own PostgreSQL on port 5432; give the command by which its role app comes in."""
    libraries = unpacked(docks, POSTGRES, "/srv/pg")
    data, programs = "/srv/pg/var/lib/postgresql/15/main", "/srv/pg/usr/lib/postgresql/15/bin"
    docks.shell("echo 'local all all trust' > /srv/pg/hba; : > /srv/pg/conf; chown -R nobody /srv/pg")
    settings = {"config_file": "/srv/pg/conf", "hba_file": "/srv/pg/hba", "unix_socket_directories": "/srv/pg"}
    words = " ".join(f"-c {name}={value}" for name, value in settings.items())
    run = f"systemd-run -q --collect --uid=nobody --setenv=LD_LIBRARY_PATH={libraries}"
    docks.shell(f"{run} --unit=own-postgres {programs}/postgres -D {data} {words}")
    ask = f"LD_LIBRARY_PATH={libraries} {programs}/psql -h /srv/pg -X"
    docks.shell(f"for k in $(seq 100); do {ask} -U postgres -c 'SELECT 1' postgres && exit 0; sleep .1; done"
                " > /dev/null 2>&1; exit 1")  # fmt: skip
    docks.shell(f"{ask} -q -U postgres -c 'CREATE ROLE app LOGIN' postgres")
    try:
        yield f"{ask} -U app postgres"
    finally:
        docks.shell("systemctl stop own-postgres; rm -r /srv/pg")


@pytest.mark.parametrize("published", [False, True], ids=["own address", "published"])
def test_a_full_postgres_costs_no_session_of_the_hosts_own(published: bool, bench: Bench, docks: Docks) -> None:
    """Both have port 5432: only where it was reached tells whose sessions are looked at."""
    idle = "/root/idle.sql"
    docks.shell("echo 'SELECT 1 \\watch 300' > $1", idle)
    places = ("-p", "172.17.0.1:5432:5432") if published else ()
    docks.postgres("full", "-v", f"{idle}:/idle.sql:ro", *places)
    at = {"postgres_login_host": "172.17.0.1" if published else docks.address("full"), "postgres_end_client": True,
          **{f"postgres_{name}": value for name, value in KEEPER.items()}}  # fmt: skip
    with own_postgres(docks) as app:
        docks.shell(f"systemd-run -q --collect --unit=idle-app sh -c '{app} -f {idle}'")
        there = "pgrep -f 'postgres: app postgres .* idle$'"
        docks.shell(f"for k in $(seq 100); do {there} && exit 0; sleep .1; done; exit 1")
        idle_clients(docks, "full")  # first: superusers would take of theirs
        docks.shell("for k in 1 2 3; do docker exec -d full $1 -U postgres -f /idle.sql postgres; done", PSQL)
        docks.shell("for k in $(seq 100); do docker exec full $1 -U postgres -c 'SELECT 1' postgres 2>&1 "
                    "| grep -q 'too many clients' && exit 0; sleep .1; done; exit 1", PSQL)  # fmt: skip
        done = bench.runbook("postgres-connections", **at)
        assert done.code == 2
        assert list(findings(done)) == ["postgres-locked-out"]
        assert f"the server at {at['postgres_login_host']}:5432 is no process of this host's own" in reason(done)
        assert "no session of another server is ended in its place; end one where it runs" in reason(done)
        assert done.report["changes"] == []
        docks.shell(f"{there}; systemctl stop idle-app")


def test_the_memory_of_its_container_bounds_the_connections_of_postgres(bench: Bench, docks: Docks) -> None:
    docks.postgres("own", "-m", "400m")
    docks.postgres("shop", "-m", "500m", "-p", "5433:5432")
    own, shop = {"login_host": docks.address("own")}, {"login_host": "127.0.0.1", "login_port": 5433}
    for at, limit in ((own, 400), (shop, 500)):
        room = bench.one("postgresql_info", filter=["room"], **at, **KEEPER)["result"]["room"]
        assert room["memory_bytes"] == limit << 20
        assert "is no process of this host's own (it is in a container" in room["elsewhere"]
        refused = bench.one("postgresql_set", name="max_connections", value=900, **at, **KEEPER)
        assert f"of {limit} MiB the server may have 80%" in refused["reason"]
