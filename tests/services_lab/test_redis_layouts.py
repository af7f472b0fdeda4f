"""redis-down and redis-memory on hosts whose servers stand elsewhere than on port 6379 of every address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.lab import Lab
from tests.conftest_lab import HostFactory
from tests.services_lab.redis_host import CONF, Bench, Cache, findings, reason

pytestmark = pytest.mark.lab

SOCKET = "/run/redis-sessions/redis-server.sock"
SESSIONS = "redis-server@sessions"
_SESSIONS = f"""
mkdir -p /var/lib/redis/sessions
printf '%s\\n' 'port 0' 'unixsocket {SOCKET}' 'dir /var/lib/redis/sessions' > /etc/redis/redis-sessions.conf
chown redis:redis /var/lib/redis/sessions /etc/redis/redis-sessions.conf
systemctl enable -q {SESSIONS} 2> /dev/null; systemctl restart {SESSIONS}
"""
_SCRIPT = """
mkdir -p /etc/cache/conf.d
printf '%s\\n' 'port 6385' "save ''" 'include /etc/cache/conf.d/*.conf' > /etc/cache/main.conf
echo 'requirepass sesame' > /etc/cache/conf.d/auth.conf
printf '#!/bin/sh\\n%s/usr/bin/redis-server /etc/cache/main.conf\\n' "$1" > /usr/local/bin/start-cache
chmod +x /usr/local/bin/start-cache
printf '[Service]\\nExecStart=/usr/local/bin/start-cache\\n[Install]\\nWantedBy=multi-user.target\\n' \\
  > /etc/systemd/system/cache.service
systemctl daemon-reload; systemctl enable -q cache 2> /dev/null; systemctl restart cache
export REDISCLI_AUTH=sesame
for k in $(seq 100); do redis-cli -p 6385 ping | grep -q PONG && exit 0; sleep .1; done; exit 1
"""


@pytest.fixture(scope="module")
def server(lab: Lab, host_factory: HostFactory) -> Cache:
    host_factory("c1", role="cache")
    return Cache(lab, "c1")


@pytest.fixture
def cache(server: Cache) -> Iterator[Cache]:
    server.clean()
    yield server
    for unit in (SESSIONS, "cache"):
        server.shell(f"timeout 20 systemctl disable -q --now {unit} 2> /dev/null || true")
    server.shell("rm -f /etc/systemd/system/cache.service; systemctl daemon-reload")


@pytest.fixture
def bench(cache: Cache, lab: Lab, tmp_path: Path) -> Bench:
    return Bench(tmp_path, lab, cache)


def test_a_server_that_takes_no_tcp_is_asked_at_its_socket(bench: Bench, cache: Cache) -> None:
    """That on port 6379 is well all the while, and is left alone."""
    cache.shell(_SESSIONS)
    cache.shell(f"for k in $(seq 100); do redis-cli -s {SOCKET} ping && exit 0; sleep .1; done; exit 1")
    limit = int(cache.cli("-s", SOCKET, "info", "memory").partition("used_memory:")[2].split()[0]) * 9 // 10
    cache.cli("-s", SOCKET, "config", "set", "maxmemory", str(limit))
    before = cache.cli("info", "server").partition("run_id:")[2].split()[0]
    done = bench.runbook("redis-memory", redis_unit=SESSIONS)
    assert (done.code, findings(done)["redis-memory"]["resolved"]) == (0, True), reason(done)
    assert f"redis:{SOCKET}:maxmemory" in [each["object"] for each in done.report["changes"]]
    assert cache.setting("maxmemory")[0] == "0"
    assert int(cache.cli("-s", SOCKET, "config", "get", "maxmemory").split("\n")[1]) > limit

    for named in ({"redis_unit": SESSIONS}, {"redis_login_unix_socket": SOCKET}):
        cache.shell(f"timeout 20 systemctl stop {SESSIONS}")
        done = bench.runbook("redis-down", **named)
        assert (done.code, set(findings(done))) == (0, {"redis-down", "redis-stopped"}), reason(done)
        assert findings(done)["redis-down"]["title"].startswith(f"{SESSIONS}.service does not answer")
        assert cache.cli("-s", SOCKET, "ping") == "PONG"
    assert cache.cli("info", "server").partition("run_id:")[2].split()[0] == before

    done = bench.runbook("redis-down", redis_login_unix_socket="/run/nobody.sock")
    assert (done.code, list(findings(done))) == (2, ["redis-which"])
    assert findings(done)["redis-which"]["title"] == "2 servers, and none at /run/nobody.sock"


def test_a_server_that_is_bound_to_another_address_is_well(bench: Bench, cache: Cache) -> None:
    cache.shell(f"sed -i 's/^bind .*/bind {cache.address}/' {CONF}; systemctl restart redis-server")
    cache.shell(f"for k in $(seq 100); do redis-cli -h {cache.address} ping && exit 0; sleep .1; done; exit 1")
    for name in ("redis-down", "redis-memory"):
        done = bench.runbook(name)
        assert (done.code, done.report["findings"], done.report["changes"]) == (0, [], []), reason(done)

    # Another one has the same port at 127.0.0.1: redis_login_host tells them apart.
    cache.shell("systemd-run -q --unit=redis-local redis-server --bind 127.0.0.1 --save ''")
    try:
        cache.shell("for k in $(seq 100); do redis-cli ping && exit 0; sleep .1; done; exit 1")
        for host, unit in (("127.0.0.1", "redis-local"), (cache.address, "redis-server")):
            found = bench.one("redis_servers", host=host)["result"]["server"]
            assert (found["unit"], found["state"]) == (f"{unit}.service", "running")
    finally:
        cache.shell("systemctl stop redis-local")


def test_a_server_with_tls_alone_is_not_down(bench: Bench, cache: Cache) -> None:
    cache.shell(_SESSIONS)
    cache.shell(f"""cd /etc/redis; conf=redis-sessions.conf
      openssl req -x509 -newkey rsa:2048 -nodes -keyout own.key -out own.pem -subj /CN=localhost -days 9 2> /dev/null
      printf '%s\\n' 'port 0' 'tls-port 6390' 'tls-auth-clients no' 'dir /var/lib/redis/sessions' > $conf
      for each in cert-file:pem key-file:key ca-cert-file:pem; do
        echo "tls-${{each%:*}} /etc/redis/own.${{each#*:}}" >> $conf; done
      chown redis own.key own.pem; systemctl restart {SESSIONS}
      for k in $(seq 100); do redis-cli -p 6390 --tls --cacert own.pem ping && exit 0; sleep .1; done; exit 1""")
    done = bench.runbook("redis-down", redis_unit=SESSIONS)
    assert (done.code, list(findings(done)), done.report["changes"]) == (2, ["redis-login"], [])
    assert findings(done)["redis-login"]["title"] == f"{SESSIONS}.service runs, but remedy may not ask it (TLS)"
    bench.folder.joinpath("own.pem").write_text(cache.shell("cat /etc/redis/own.pem") + "\n")
    tls = {"redis_tls": True, "redis_ca_certs": str(bench.folder / "own.pem")}
    for named in ({"redis_unit": SESSIONS}, {"redis_login_port": 6390}):
        done = bench.runbook("redis-down", **named, **tls)
        assert (done.code, done.report["findings"]) == (0, []), reason(done)


@pytest.mark.parametrize("start", ["exec ", ""], ids=["that becomes it", "that waits for it"])
def test_a_script_may_start_it_on_any_port(bench: Bench, cache: Cache, start: str) -> None:
    """Nothing in the unit says that it is a Redis, where its file is, and which port it has."""
    cache.shell(_SCRIPT, start)
    named = {"redis_unit": "cache", "redis_login_password": "sesame"}
    done = bench.runbook("redis-down", **named)
    assert (done.code, done.report["findings"]) == (0, []), reason(done)
    cache.shell("systemctl stop cache")
    done = bench.runbook("redis-down", **named)
    assert (done.code, set(findings(done))) == (0, {"redis-down", "redis-stopped"}), reason(done)
    assert [each["object"] for each in done.report["changes"]] == ["unit:cache.service"]
    assert cache.cli("-p", "6385", "-a", "sesame", "--no-auth-warning", "ping") == "PONG"


def test_one_that_cannot_be_started_is_not_well_because_another_one_answers(bench: Bench, cache: Cache) -> None:
    """Its port is its script's, so nobody knows it while it is down: that on port 6379 is not asked in its place."""
    cache.shell(_SCRIPT, "exec ")
    cache.shell("""systemctl stop cache
      echo 'dir /etc/cache' >> /etc/cache/main.conf; echo garbage-garbage > /etc/cache/dump.rdb
      systemctl start cache; for k in $(seq 100); do systemctl is-failed -q cache && exit 0; sleep .1; done; exit 1""")
    try:
        done = bench.runbook("redis-down", redis_unit="cache")
        assert (done.code, set(findings(done))) == (2, {"redis-down", "redis-data"}), reason(done)
        assert reason(done) == "cache.service is failed, and where it would be reached is not known"
    finally:
        cache.shell("rm /etc/cache/dump.rdb; systemctl reset-failed cache")


def test_a_unit_that_is_none_is_told(bench: Bench, cache: Cache) -> None:
    for others in ("start", "stop"):
        cache.shell(f"systemctl {others} redis-server")
        for name in ("redis-down", "redis-memory"):
            done = bench.runbook(name, redis_unit="redis-sesions")
            assert (done.code, list(findings(done))) == (2, ["redis-which"])
            assert findings(done)["redis-which"]["title"] == "redis-sesions is no unit of a Redis on this host"
