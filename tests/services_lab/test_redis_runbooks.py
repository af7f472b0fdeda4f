"""redis-down and redis-memory on a real Redis 7, in the cases that the drills do not break: drills/redis-*.yml."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Disk, Lab
from tests.conftest_lab import HostFactory
from tests.services_lab.redis_host import CONF, Bench, Cache, findings, reason

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def server(lab: Lab, host_factory: HostFactory) -> Cache:
    host_factory("c1", role="cache", disks={"/srv/dumps": Disk("16M")})
    return Cache(lab, "c1")


@pytest.fixture
def cache(server: Cache) -> Cache:
    server.clean()
    return server


@pytest.fixture
def bench(cache: Cache, lab: Lab, tmp_path: Path) -> Bench:
    return Bench(tmp_path, lab, cache)


@contextmanager
def asleep(cache: Cache, seconds: int = 240) -> Iterator[None]:
    """Let it take connections and answer nobody."""
    cache.shell(f"systemd-run -q --collect --unit=asleep redis-cli debug sleep {seconds}")
    cache.shell("for k in $(seq 100); do timeout .3 redis-cli ping > /dev/null || exit 0; done; exit 1")
    try:
        yield
    finally:
        cache.shell("systemctl stop asleep || true; systemctl kill -s KILL redis-server || true; "
                    "systemctl reset-failed redis-server || true")  # fmt: skip


def test_a_host_without_redis_or_with_one_that_is_not_to_run_is_left_alone(
    bench: Bench, cache: Cache
) -> None:
    cache.shell("systemctl disable -q --now redis-server 2> /dev/null")
    try:
        for name in ("redis-down", "redis-memory"):
            done = bench.runbook(name)
            assert (done.code, done.report["findings"], done.report["changes"]) == (0, [], [])
        # Named, it is meant.
        assert "redis-stopped" in findings(
            bench.runbook("redis-down", command="diagnose", redis_unit="redis-server")
        )
        cache.shell("systemctl enable -q redis-server 2> /dev/null; mv /usr/bin/redis-server /usr/bin/gone")
        assert bench.runbook("redis-down").report["findings"] == []
    finally:
        cache.shell(
            "mv /usr/bin/gone /usr/bin/redis-server || true; systemctl enable -q redis-server 2> /dev/null"
        )


def test_among_several_servers_one_is_to_be_named(bench: Bench, cache: Cache) -> None:
    """Their ports are on their command lines alone: neither is taken for that on 6379."""
    cache.shell("systemctl disable -q --now redis-server 2> /dev/null")
    unit = "[Service]\nExecStart=/usr/bin/redis-server --port {} --save ''\n[Install]\nWantedBy=multi-user.target\n"
    ports = (6380, 6381)
    try:
        for port in ports:
            cache.shell(f"printf %s \"$1\" > /etc/systemd/system/redis-{port}.service; systemctl daemon-reload; "
                        f"systemctl enable -q --now redis-{port} 2> /dev/null", unit.format(port))  # fmt: skip
            cache.shell(f"for k in $(seq 100); do redis-cli -p {port} ping && exit 0; sleep .1; done; exit 1")
        for name in ("redis-down", "redis-memory"):
            done = bench.runbook(name)
            assert (done.code, list(findings(done)), done.report["changes"]) == (2, ["redis-which"], [])
            told = "redis-which: 2 servers, and none on port 6379 (name the one that is meant by redis_unit,"
            assert told in reason(done)
            named = bench.runbook(name, redis_login_port=6381)
            assert (named.code, named.report["findings"]) == (0, []), reason(named)
        cache.shell("systemctl stop redis-6381")
        assert list(findings(bench.runbook("redis-down", command="diagnose", redis_login_port=6380))) == []
        found = findings(bench.runbook("redis-down", command="diagnose", redis_login_port=6381))
        assert set(found) == {"redis-down", "redis-stopped"}
        assert bench.runbook("redis-down", redis_login_port=6381).code == 0
        assert cache.shell("systemctl is-active redis-6381").strip() == "active"
    finally:
        for port in ports:
            cache.shell(f"systemctl disable -q --now redis-{port} 2> /dev/null || true; "
                        f"rm -f /etc/systemd/system/redis-{port}.service")  # fmt: skip
        cache.shell("systemctl daemon-reload; systemctl enable -q redis-server 2> /dev/null")


def test_one_that_was_started_too_often_and_then_stopped_is_started(bench: Bench, cache: Cache) -> None:
    """systemd counts the starts of a unit that has not failed, too, and would refuse this one."""
    drop_in = "/run/systemd/system/redis-server.service.d/often.conf"
    limit = "[Unit]\nStartLimitIntervalSec=600\nStartLimitBurst=2\n"
    cache.shell(f"mkdir -p {drop_in.rpartition('/')[0]}; systemctl stop redis-server; "
                f"printf '{limit}' > {drop_in}; systemctl daemon-reload")  # fmt: skip
    try:
        cache.shell("for k in 1 2; do systemctl start redis-server; systemctl stop redis-server; done")
        found = findings(bench.runbook("redis-down", command="diagnose"))
        assert set(found) == {"redis-down", "redis-stopped"}
        done = bench.runbook("redis-down")
        assert done.code == 0, reason(done)
        assert cache.cli("ping") == "PONG"
    finally:
        cache.shell(f"rm -f {drop_in}; systemctl daemon-reload; systemctl reset-failed redis-server || true")


def test_a_broken_configuration_is_told_with_its_line_and_left_alone(bench: Bench, cache: Cache) -> None:
    cache.shell(f"echo 'maxmemory plenty' >> {CONF}; systemctl restart redis-server || true")
    whole = cache.shell(f"sha1sum {CONF}")
    found = findings(bench.runbook("redis-down", command="diagnose"))
    assert set(found) == {"redis-down", "redis-config"}
    assert f"of {CONF}: 'maxmemory plenty': argument must be a memory value" in found["redis-config"]["title"]
    done = bench.runbook("redis-down")
    assert done.code == 2
    assert done.report["changes"] == []
    assert cache.shell(f"sha1sum {CONF}") == whole
    # Put right by hand, and stopped, for systemd may be at its next try, or have given up: the old words in its log do
    # not keep it from being started.
    cache.shell(f"systemctl stop redis-server; systemctl reset-failed redis-server; sed -i '/plenty/d' {CONF}")
    done = bench.runbook("redis-down")
    assert (done.code, set(findings(done))) == (0, {"redis-down", "redis-stopped"})


def test_a_port_that_somebody_else_has_is_told_with_its_owner(bench: Bench, cache: Cache) -> None:
    cache.shell("systemctl stop redis-server; systemd-run -q --unit=thief python3 -m http.server 6379; "
                "for k in $(seq 200); do ss -Hltn 'sport = 6379' | grep -q . && break; sleep .05; done; "
                "systemctl start redis-server || true")  # fmt: skip
    try:
        found = findings(bench.runbook("redis-down", command="diagnose"))
        assert "redis-port" in found
        assert "port 6379 is taken by python3 (pid " in found["redis-port"]["title"]
        assert "thief.service" in found["redis-port"]["advice"]
        assert bench.runbook("redis-down").code == 2
        assert cache.shell("systemctl is-active thief") == "active"
    finally:
        cache.shell("systemctl stop thief; systemctl reset-failed redis-server || true")


@pytest.mark.soak
def test_one_that_hangs_is_restarted_only_where_nothing_is_lost(bench: Bench, cache: Cache) -> None:
    cache.clean("enable-debug-command local", 'save ""')
    cache.fill("shop:#", 5)
    with asleep(cache):
        pid = cache.shell("pidof redis-server")
        refused = bench.runbook("redis-down")
        assert refused.code == 2
        assert {"redis-down", "redis-hung"} <= set(findings(refused))
        assert "for data would be lost: it saves nothing (no save points, no append-only file)" in reason(
            refused
        )
        assert cache.shell("pidof redis-server") == pid
        done = bench.runbook("redis-down", redis_lose_data=True)
        assert done.code == 0, done
        assert cache.cli("ping") == "PONG"
        assert cache.shell("pidof redis-server") != pid


def test_one_that_hangs_is_left_where_its_append_only_file_was_switched_off(bench: Bench, cache: Cache) -> None:
    """What its configuration says is what the next start would do; what is written at present its process shows."""
    cache.clean("enable-debug-command local", 'save ""', "appendonly yes")
    cache.fill("shop:#", 5)
    cache.cli("config", "set", "appendonly", "no")
    cache.fill("shop:late:#", 5)
    cache.shell("touch -d '1 hour ago' /var/lib/redis/appendonlydir/*")
    with asleep(cache):
        pid = cache.shell("pidof redis-server")
        refused = bench.runbook("redis-down")
        assert refused.code == 2
        assert "its file wants an append-only file, and it has none open: that was switched off" in reason(refused)
        assert cache.shell("pidof redis-server") == pid


@pytest.mark.soak
def test_one_that_hangs_with_an_append_only_file_comes_back_with_its_keys(bench: Bench, cache: Cache) -> None:
    cache.clean("enable-debug-command local", 'save ""', "appendonly yes")
    cache.fill("shop:#", 5)
    cache.shell("touch -d '1 hour ago' /var/lib/redis/appendonlydir/*")
    with asleep(cache):
        pid = cache.shell("pidof redis-server")
        assert bench.runbook("redis-down").code == 0
        assert cache.shell("pidof redis-server") != pid
        assert cache.keys("shop:*") == 5


@pytest.mark.soak
def test_one_that_hangs_with_a_young_dump_comes_back_with_its_keys(bench: Bench, cache: Cache) -> None:
    cache.clean("enable-debug-command local")
    cache.fill("shop:#", 5)
    cache.cli("save")
    with asleep(cache):
        cache.shell("touch -d '1 hour ago' /var/lib/redis/dump.rdb")
        refused = bench.runbook("redis-down")
        assert "its last save is 36" in reason(refused)
        cache.shell("touch /var/lib/redis/dump.rdb")
        done = bench.runbook("redis-down")
        assert done.code == 0, done
        assert cache.keys("shop:*") == 5
        again = bench.runbook("redis-down")
        assert (again.code, again.report["changes"], again.report["findings"]) == (0, [], [])


def test_a_full_disk_explains_refused_writes_and_a_save_ends_them(bench: Bench, cache: Cache) -> None:
    drop_in = "/etc/systemd/system/redis-server.service.d"
    cache.shell(f"mkdir -p {drop_in}; chown redis:redis /srv/dumps; "
                f"printf '[Service]\\nReadWritePaths=/srv/dumps\\n' > {drop_in}/dumps.conf")  # fmt: skip
    cache.clean("dir /srv/dumps")
    cache.shell("head -c 300000 /dev/urandom | base64 -w0 | redis-cli -x set shop:big > /dev/null")
    cache.shell("cat /dev/zero > /srv/dumps/ballast 2> /dev/null || true")
    cache.cli("bgsave")
    cache.shell("until redis-cli info persistence | grep -q last_bgsave_status:err; do sleep .05; done")
    assert "MISCONF" in cache.cli("set", "shop:1", "1")
    refused = bench.runbook("redis-down")
    assert refused.code == 2
    found = findings(refused)["redis-refuses-writes"]
    assert "its last save failed, and stop-writes-on-bgsave-error is on" in found["title"]
    assert found["advice"].startswith("Its disk /srv/dumps has ")
    assert "play disk-full first, then this" in found["advice"]
    assert refused.report["changes"] == []
    cache.shell("rm /srv/dumps/ballast")
    done = bench.runbook("redis-down")
    assert done.code == 0, done
    assert [each["module"] for each in done.report["changes"]] == ["redis_save"]
    assert cache.cli("set", "shop:1", "1") == "OK"
    assert bench.runbook("redis-down").report["changes"] == []
    cache.shell(f"rm -r {drop_in}; systemctl daemon-reload")


def test_evidence_tells_what_is_in_force(bench: Bench, cache: Cache) -> None:
    cache.clean("user default on nopass ~* &* +@all")
    assert bench.one("redis_servers")["result"]["server"]["config"]["password"] is False
    cache.cli("config", "set", "maxclients", "20")
    with cache.clients(*["PING"] * 20):
        found = findings(bench.runbook("redis-down", command="diagnose"))
        evidence = found["redis-full"]["evidence"]
        assert evidence["connected"] == 20
        assert sum(evidence["by_address"].values()) == 20
        assert list(evidence["by_address"]) == ["127.0.0.1"], "the clients', for the kernel tells who they are"
        assert evidence["maxclients"].startswith("20 in force: so many are connected, and nobody else gets in")
        assert "Redis's default is 10000" in evidence["maxclients"]
        assert found["redis-down"]["evidence"]["password"] is False
    cache.clean("user default on >of-mine ~* &* +@all")
    assert bench.one("redis_servers")["result"]["server"]["config"]["password"] is True


def test_clients_that_are_at_work_stay_and_maxclients_is_raised(bench: Bench, cache: Cache) -> None:
    cache.clean("maxclients 20")
    with cache.clients(*["SUBSCRIBE news"] * 18):
        done = bench.runbook("redis-down", redis_client_idle="1s")
        assert done.code == 0, done
        evidence = findings(done)["redis-full"]["evidence"]
        assert evidence["by_address"] == {"127.0.0.1": 19}, "the clients, and who asks"
        assert evidence["by_name"] == {"remedy": 1}, "those that have one"
        assert [each["module"] for each in done.report["changes"]] == ["redis_config"]
        assert cache.setting("maxclients") == ("30", "30")
        assert cache.cli("client", "list").count("cmd=subscribe") == 18
        assert bench.runbook("redis-down").report["changes"] == []
        assert bench.rollback(done).code == 0
        assert cache.setting("maxclients") == ("20", "20")


def test_a_subscriber_that_gets_messages_is_not_the_one_that_goes(bench: Bench, cache: Cache) -> None:
    """It asks once and never again, so to its own side alone it is idle for longer than all others."""
    cache.clean("maxclients 20")
    publishes = "while :; do echo PUBLISH news again; sleep .1; done | redis-cli > /dev/null"
    with cache.clients("SUBSCRIBE news"):
        subscriber = cache.shell("redis-cli client list type pubsub | sed 's/.* addr=\\([^ ]*\\).*/\\1/'")
        cache.shell(f"systemd-run -q --collect --unit=test-news sh -c '{publishes}'")
        try:
            cache.shell("sleep 1.2")
            with cache.clients(*["PING"] * 18, name="test-others"):  # nobody asks meanwhile
                cache.shell("sleep 1.2; redis-cli ping | grep -q 'max number of clients'")
                done = bench.runbook("redis-down", redis_client_idle="1s")
                assert done.code == 0, reason(done)
                (outside,) = [each for each in done.report["changes"] if each["module"] == "connection_close"]
                assert subscriber not in str(outside)
                assert cache.cli("client", "list", "type", "pubsub").count(f"addr={subscriber} ") == 1
        finally:
            cache.shell("systemctl stop test-news")


def test_who_may_not_log_in_reports_that_it_runs(bench: Bench, cache: Cache) -> None:
    cache.clean("requirepass some-secret")
    found = findings(bench.runbook("redis-down", command="diagnose"))
    assert set(found) == {"redis-login"}
    assert "set redis_login_user and redis_login_password" in found["redis-login"]["advice"]
    assert set(findings(bench.runbook("redis-memory", command="diagnose"))) == {"redis-memory-unknown"}
    assert bench.runbook("redis-down", redis_login_password="some-secret").code == 0
    assert b"some-secret" not in bench.operator.journal()


def test_a_write_that_failed_succeeds_and_other_keys_stay(bench: Bench, cache: Cache) -> None:
    cache.fill("user:#", 300)
    cache.fill("cache:#", 40000)
    cache.squeeze()
    limit = cache.setting("maxmemory")
    assert "OOM" in cache.cli("set", "user:new", "1" * 3000)
    planned = bench.runbook("redis-memory", "--check")
    assert planned.report["changes"][0]["object"] == "redis:6379:maxmemory"
    found = findings(planned)
    assert "and refuses writes" in found["redis-memory"]["title"]
    assert found["redis-keys"]["evidence"]["groups"][0]["pattern"] == "cache:*"
    # By its pattern, and only that.
    done = bench.runbook("redis-memory", redis_delete_patterns=["cache:*"], redis_maxmemory=False)
    assert done.code == 0, done
    assert (cache.keys("cache:*"), cache.keys("user:*")) == (0, 300)
    assert cache.cli("set", "user:new", "1" * 3000) == "OK"
    assert cache.setting("maxmemory") == limit
    again = bench.runbook("redis-memory", redis_delete_patterns=["cache:*"])
    assert (again.code, again.report["changes"]) == (0, [])


def test_the_limit_is_raised_within_the_hosts_memory_alone(bench: Bench, cache: Cache) -> None:
    cache.fill("user:#", 40000)
    cache.squeeze()
    limit = cache.setting("maxmemory")
    before = cache.keys("user:*")
    refused = bench.runbook("redis-memory", redis_maxmemory="9000gb")
    assert refused.code == 2
    assert "is more than 75% of the host's memory" in reason(refused)
    assert cache.setting("maxmemory") == limit
    assert bench.runbook("redis-memory", redis_delete_patterns=["*"]).code in (2, 5)
    assert cache.keys("user:*") == before
    done = bench.runbook("redis-memory")
    assert done.code == 0, done
    live, file = cache.setting("maxmemory")
    assert int(live) > int(limit[0])
    assert file.endswith("mb")
    cache.shell("systemctl restart redis-server")
    assert (cache.setting("maxmemory")[0], cache.keys("user:*")) == (live, before)
    assert bench.runbook("redis-memory").report["changes"] == []


def test_a_limit_that_is_too_small_by_now_does_not_come_back(bench: Bench, cache: Cache) -> None:
    cache.fill("user:#", 40000)
    cache.squeeze()
    done = bench.runbook("redis-memory")
    assert done.code == 0, done
    raised, keys = cache.setting("maxmemory"), cache.keys("user:*")
    for policy, then in (("noeviction", "every write would fail"), ("allkeys-lru", "keys would be deleted at once")):
        cache.cli("config", "set", "maxmemory-policy", policy)
        for flags in (("--check",), ("--yes",)):
            back = bench.rollback(done, *flags)
            assert back.code == 2
            assert f"that are used by now: with {policy} {then}" in reason(back)
            assert back.report["changes"] == []
        assert (cache.setting("maxmemory"), cache.keys("user:*")) == (raised, keys)


def test_an_evicting_policy_does_not_come_back_where_it_would_delete_at_once(
    bench: Bench, cache: Cache
) -> None:
    cache.clean("maxmemory-policy allkeys-lru")
    done = bench.tasks({"redis_config": {"name": "maxmemory-policy", "value": "noeviction"}})
    cache.fill("user:#", 20000)
    cache.squeeze()
    for flags in (("--check",), ("--yes",)):
        back = bench.rollback(done, *flags)
        assert back.code == 2
        assert "with allkeys-lru keys would be deleted at once" in reason(back)
    assert cache.keys("user:*") == 20000


def test_a_rollback_foresees_what_comes_of_two_settings_together(bench: Bench, cache: Cache) -> None:
    """The limit goes back first: only with that small one would the policy delete keys at once."""
    cache.clean("maxmemory-policy allkeys-lru", "maxmemory 3mb")
    done = bench.tasks(
        {"redis_config": {"name": "maxmemory-policy", "value": "noeviction"}},
        {"redis_config": {"name": "maxmemory", "value": "64mb"}},
    )
    cache.fill("user:#", 40000)
    for flags in (("--check",), ("--yes",)):
        back = bench.rollback(done, *flags)
        assert back.code == 2
        assert reason(back).count("that are used by now: with noeviction every write would fail") == 1
    assert cache.keys("user:*") == 40000


def test_a_timeout_comes_back_where_nobody_may_ask_for_the_memory(bench: Bench, cache: Cache) -> None:
    done = bench.tasks({"redis_config": {"name": "timeout", "value": 77, "persist": False}})
    assert cache.setting("timeout")[0] == "77"
    cache.cli("acl", "setuser", "default", "-info", "+info|server")
    back = bench.rollback(done)
    assert (back.code, cache.setting("timeout")[0]) == (0, "0"), back


def test_a_plan_counts_keys_and_says_what_hangs_on_what_comes_before(bench: Bench, cache: Cache) -> None:
    cache.fill("cache:#", 20000)
    cache.fill("user:#", 20000)
    cache.squeeze()
    gone: dict[str, Any] = {"redis_delete_patterns": ["cache:*"], "redis_flush_db": 0}
    planned = bench.runbook("redis-memory", "--check", **gone)
    tasks = {each["task"]: each for each in planned.report["tasks"]}
    assert tasks["Raise maxmemory"]["status"] == "unknown"
    assert "only if what comes before does not make room enough" in tasks["Raise maxmemory"]["reason"]
    assert "of its keys never expire, by " in findings(planned)["redis-keys"]["title"]
    refused = bench.runbook("redis-memory", "-v", **gone)
    assert refused.code == 3
    assert "would destroy 60000 keys" in refused.stderr
    assert "keys of redis:6379, database 0: 20000 keys" in refused.stderr
    assert "every key of database 0 of redis:6379: 40000 keys" in refused.stderr
    assert cache.keys("*") == 40000
    alone = bench.runbook("redis-memory", "--check")
    assert [each["object"] for each in alone.report["changes"]] == ["redis:6379:maxmemory"]


def test_a_database_and_a_policy_only_by_their_variables(bench: Bench, cache: Cache) -> None:
    cache.fill("user:#", 100)
    cache.shell('seq 40000 | sed "s/.*/SET junk:& 1/" | redis-cli -n 3 > /dev/null')
    cache.squeeze()
    done = bench.runbook("redis-memory", redis_flush_db=3)
    assert done.code == 0, done
    assert [each["module"] for each in done.report["changes"]] == ["redis_flush"]
    assert (cache.cli("-n", "3", "dbsize"), cache.keys("user:*")) == ("0", 100)
    cache.fill("junk:#", 20000)
    cache.squeeze()
    done = bench.runbook("redis-memory", redis_policy="allkeys-lru", redis_maxmemory=False)
    assert done.code == 0, done
    assert cache.setting("maxmemory-policy") == ("allkeys-lru", "allkeys-lru")
    assert cache.cli("set", "user:new", "1" * 3000) == "OK"
    assert bench.rollback(done).code == 0
    assert cache.setting("maxmemory-policy")[0] == "noeviction"
    for name, value in (("redis_policy", "lru"), ("redis_flush_db", -1), ("redis_memory_limits", 9)):
        assert bench.runbook("redis-memory", **{name: value}).code in (2, 5)
