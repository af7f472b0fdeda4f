"""The modules of Redis on a real Redis 7 with a replica: settings, clients, keys, saving, logging in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from tests.conftest_lab import HostFactory
from tests.services_lab.redis_host import CONF, Bench, Cache

pytestmark = pytest.mark.lab

PAIR = "rm -rf /etc/redis/tls; mkdir /etc/redis/tls; cd /etc/redis/tls; chmod 755 ."
CERTIFICATES = f"""{PAIR}
openssl req -x509 -newkey rsa:2048 -nodes -days 3 -keyout ca.key -out ca.crt -subj /CN=authority 2> /dev/null
openssl req -newkey rsa:2048 -nodes -keyout redis.key -out redis.csr -subj /CN=cache.example 2> /dev/null
printf 'subjectAltName=DNS:cache.example\\n' > names
openssl x509 -req -in redis.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3 -extfile names -out redis.crt \\
  2> /dev/null
openssl req -x509 -newkey rsa:2048 -nodes -days 3 -keyout other.key -out other.crt -subj /CN=another 2> /dev/null
chown -R redis:redis .
"""


@pytest.fixture(scope="module")
def pair(lab: Lab, host_factory: HostFactory) -> tuple[Cache, Cache]:
    first, second = (Cache(lab, host_factory(name, role="cache").name) for name in ("c1", "c2"))
    second.clean()
    return first, second


@pytest.fixture
def cache(pair: tuple[Cache, Cache]) -> Cache:
    pair[0].clean()
    return pair[0]


@pytest.fixture
def replica(cache: Cache, pair: tuple[Cache, Cache]) -> Iterator[Cache]:
    other = pair[1]
    other.cli("replicaof", cache.address, "6379")
    other.shell(
        "for k in $(seq 400); do redis-cli info replication | grep -q link_status:up && exit 0; sleep .05; done; exit 1"
    )
    yield other
    other.cli("replicaof", "no", "one")


@pytest.fixture
def bench(cache: Cache, pair: tuple[Cache, Cache], lab: Lab, tmp_path: Path) -> Bench:
    return Bench(tmp_path, lab, *pair)


def test_a_setting_lives_and_lasts_and_both_come_back(bench: Bench, cache: Cache) -> None:
    cache.cli("config", "set", "appendfsync", "no")  # somebody else's, live alone
    task = {"redis_config": {"name": "maxmemory", "value": "64mb"}}
    planned = bench.tasks(task, flags=("--check",))
    assert planned.report["changes"][0]["after"] == {"live": "67108864", "file": "67108864"}
    assert cache.setting("maxmemory") == ("0", "")
    run = bench.tasks(task)
    assert run.report["tasks"][0]["status"] == "changed"
    assert run.report["tasks"][0]["result"]["drift"] == [
        {"name": "appendfsync", "live": "no", "file": "everysec"}
    ]
    assert cache.setting("maxmemory") == ("67108864", "64mb")
    assert bench.tasks(task).report["tasks"][0]["status"] == "ok"
    cache.shell("systemctl restart redis-server")
    assert cache.setting("maxmemory")[0] == "67108864"
    assert bench.rollback(run).code == 0
    assert cache.setting("maxmemory") == ("0", "0")
    assert bench.tasks({"redis_config": {"name": "maxmemory", "value": "64mb"}}).report["changes"]


def test_what_lives_alone_or_lasts_alone_is_made_one(bench: Bench, cache: Cache) -> None:
    cache.cli("config", "set", "timeout", "77")
    found = bench.one("redis_info", host=True)["result"]
    assert found["drift"] == [{"name": "timeout", "live": "77", "file": "0"}]
    run = bench.tasks({"redis_config": {"name": "timeout", "value": 77}})
    assert run.report["changes"][0]["before"] == {"live": "77", "file": "0"}
    assert cache.setting("timeout") == ("77", "77")
    assert bench.rollback(run).code == 0
    assert cache.setting("timeout") == ("77", "0")  # as it was: live alone
    assert bench.one("redis_config", name="timeout", value=88, persist=False)["status"] == "changed"
    assert cache.setting("timeout") == ("88", "0")


def test_values_that_would_do_harm_are_refused_with_the_arithmetic(bench: Bench, cache: Cache) -> None:
    cache.fill("shop:#", 2000)

    def refused(name: str, value: Any, **more: Any) -> str:
        task = bench.one("redis_config", name=name, value=value, **more)
        assert task["status"] == "failed"
        return str(task["reason"])

    assert "is more than 75% of the host's memory: " in refused("maxmemory", "9000gb")
    assert " × 75% = " in refused("maxmemory", "9000gb")
    assert "× 0.01% = " in refused("maxmemory", "1gb", memory_share="0.01%")
    cache.cli("config", "set", "maxmemory", "1gb")
    assert "maxmemory 0 is no limit at all" in refused("maxmemory", 0)
    assert "that are used: every write would fail (noeviction)" in refused("maxmemory", "200kb")
    files = cache.shell("awk '/Max open files/ {print $5}' /proc/$(pidof redis-server)/limits")
    most = int(files)
    assert (
        f"maxclients {most} + 32 that Redis needs itself = {most + 32} open files, and it may have {most}"
        in refused("maxclients", most)
    )
    assert "has no setting nonsense" in refused("nonsense", 1)
    assert "maxmem* is a pattern: name one setting" in refused("maxmem*", 1)
    assert bench.one("redis_config", name="maxclients", value=most - 32)["status"] == "changed"


def test_a_policy_that_evicts_asks_and_tells(bench: Bench, cache: Cache) -> None:
    cache.fill("shop:#", 10)
    task = {"redis_config": {"name": "maxmemory-policy", "value": "volatile-lru"}}
    refused = bench.tasks(task, flags=())
    assert refused.code == 3
    assert "maxmemory-policy = volatile-lru: keys are deleted in silence when it is full" in refused.stderr
    assert cache.setting("maxmemory-policy") == ("noeviction", "")
    done = bench.tasks(task)
    assert done.code == 0
    assert "0 of 10 have one; so it is noeviction by another name" in str(
        done.report["tasks"][0]["result"]["notes"]
    )
    assert bench.rollback(done).code == 0
    assert cache.setting("maxmemory-policy")[0] == "noeviction"


def test_a_file_that_cannot_be_written_leaves_the_live_value_as_it_was(bench: Bench, cache: Cache) -> None:
    cache.shell(f"chown root:redis /etc/redis {CONF}; chmod 750 /etc/redis; chmod 640 {CONF}")
    done = bench.one("redis_config", name="maxmemory", value="64mb")
    assert done["status"] == "failed"
    assert "Permission denied; its user must own the file and its folder" in done["reason"]
    assert cache.setting("maxmemory") == ("0", "")
    cache.shell("systemd-run -q --unit=bare redis-server --port 6380 --daemonize no; "
                "for k in $(seq 100); do redis-cli -p 6380 ping && break; sleep .05; done")  # fmt: skip
    try:
        done = bench.one("redis_config", name="maxmemory", value="64mb", login_port=6380)
        assert "runs without a configuration file, so nothing would outlive a restart" in done["reason"]
        done = bench.one("redis_config", name="maxmemory", value="64mb", login_port=6380, persist=False)
        assert done["status"] == "changed"
    finally:
        cache.shell("systemctl stop bare")


def test_idle_clients_go_and_nobody_else(bench: Bench, cache: Cache, replica: Cache) -> None:
    with cache.clients("PING", "PING", "SUBSCRIBE news", "BLPOP jobs 0", "MULTI", "CLIENT SETNAME keep-me"):
        cache.shell("sleep 2")  # clients grow idle by the second
        seen = bench.one("redis_clients", idle="1s")["result"]
        assert {each["never"] for each in seen["clients"]} >= {
            "it is a subscriber", "it waits in a blocking command", "it is in a transaction",
        }  # fmt: skip
        done = bench.one("redis_clients", close=True, idle="1s", address="127.0.0.1:*", name="")
        assert done["result"]["closed"] == 2, done
        left = cache.cli("client", "list")
        for word in ("cmd=subscribe", "cmd=blpop", "cmd=multi", "name=keep-me", "flags=S"):
            assert word in left
        again = bench.one("redis_clients", close=True, idle="1s", name="")
        assert again["status"] == "ok"
        # Not idle for so long: nobody.
        assert bench.one("redis_clients", close=True, idle="1h")["status"] == "ok"
    assert "link_status:up" in replica.cli("info", "replication")


def test_keys_of_a_pattern_go_and_no_others(bench: Bench, cache: Cache, replica: Cache) -> None:
    cache.fill("cache:#", 3000)
    cache.fill("user:#", 500)
    cache.cli("set", "cache", "no colon")
    cache.cli("expire", "user:1", "1000")
    cache.shell("head -c 100000 /dev/zero | tr '\\0' x | redis-cli -x set user:big > /dev/null")
    seen = bench.one("redis_keys")["result"]
    assert (seen["keys"], seen["scanned"], seen["complete"]) == (3502, 3502, True)
    assert (seen["big"][0]["key"], seen["big"][0]["length"]) == ("user:big", 100000)
    assert seen["without_ttl"]["count"] == 3501
    assert {each["pattern"] for each in seen["groups"]} == {"cache:*", "user:*", "(others)"}
    assert bench.one("redis_keys", sample=500)["result"]["complete"] is False

    refused = bench.one("redis_keys", on="c2", state="absent", pattern="cache:*")
    assert f"is a replica of {cache.address}:6379: what is written here comes from there" in refused["reason"]
    task = {"redis_keys": {"state": "absent", "pattern": "cache:*"}}
    planned = bench.tasks(task, flags=("--check",))
    assert planned.report["changes"][0]["items"][0]["reason"].startswith("3,000 keys of 3,502; ")
    assert cache.keys("cache:*") == 3000
    done = bench.tasks(task).report["tasks"][0]
    assert (done["status"], done["result"]["deleted"]) == ("changed", 3000), done
    assert (cache.keys("cache:*"), cache.keys("user:*"), cache.cli("get", "cache")) == (0, 501, "no colon")
    again = bench.tasks(task).report["tasks"][0]
    assert (again["status"], again["kept"]) == ("ok", [{"item": "cache:*", "reason": "no key fits"}])
    assert (
        bench.operator.here("run", "c1", "-m", "redis_keys", "-a", "state=absent pattern=?*", "--yes").code
        == 5
    )
    # All that is left has an e: who writes that means no group of keys.
    task["redis_keys"]["pattern"] = "*e*"
    done = bench.tasks(task).report["tasks"][0]
    [kept] = done["kept"]
    assert (done["status"], kept["item"]) == ("ok", "*e*")
    assert kept["reason"].startswith("it fits 502 keys, which is every key of this database: name what they begin with")
    assert cache.keys("*") == 502
    # Nor do two that share them: user:* and cache.
    task["redis_keys"]["pattern"] = ["[a-m]*e", "[n-z]*:*"]
    done = bench.tasks(task).report["tasks"][0]
    says = "name what they begin with; redis_flush empties a database"
    assert {each["item"]: each["reason"] for each in done["kept"]} == {
        "[a-m]*e": f"it fits 1 keys of 502, and with [n-z]*:* it may be every key: {says}",
        "[n-z]*:*": f"it fits 501 keys of 502, and with [a-m]*e it may be every key: {says}",
    }
    assert (done["status"], cache.keys("*")) == ("ok", 502)
    # One that says what keys begin with means these, and be they all.
    cache.cli("del", "cache")
    task["redis_keys"]["pattern"] = "user:*"
    assert bench.tasks(task).report["tasks"][0]["result"]["deleted"] == 501


def test_a_database_is_emptied_only_by_its_number(bench: Bench, cache: Cache, replica: Cache) -> None:
    cache.fill("shop:#", 5)
    cache.shell("redis-cli -n 3 set junk 1 > /dev/null")
    assert bench.operator.here("run", "c1", "-m", "redis_flush", "--yes").code == 5
    refused = bench.tasks({"redis_flush": {"db": 3}}, flags=())
    assert (refused.code, cache.cli("-n", "3", "dbsize")) == (3, "1")
    assert "every key of database 3 of redis:6379" in refused.stderr
    assert "is a replica" in bench.one("redis_flush", on="c2", db=3)["reason"]
    assert bench.one("redis_flush", db=3)["result"]["deleted"] == 1
    assert (cache.cli("-n", "3", "dbsize"), cache.cli("dbsize")) == ("0", "5")
    assert bench.one("redis_flush", db=3)["reason"] == "it is empty already"


def test_a_save_is_waited_for(bench: Bench, cache: Cache) -> None:
    cache.fill("shop:#", 5)
    assert bench.one("redis_save", if_older="1m")["status"] in ("changed", "ok")
    assert bench.one("redis_save")["status"] == "changed"
    assert cache.shell("stat -c %s /var/lib/redis/dump.rdb") != "0"
    assert bench.one("redis_save", if_older="1m")["reason"].startswith("saved ")
    cache.shell("chown root /var/lib/redis; chmod 700 /var/lib/redis")
    failed = bench.one("redis_save")
    assert "the save failed: the server's log says why" in failed["reason"]
    info = bench.one("redis_info")["result"]
    assert [each["code"] for each in info["refuses"]] == ["MISCONF"]
    assert "MISCONF" in bench.one("redis_ping", write=True)["reason"]


def test_logging_in_with_a_password_an_account_or_none(
    bench: Bench, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.clean("requirepass some-secret", "user app on >app-secret ~* +@all")
    assert (
        "asks for a password: set login_password (redis_login_password)" in bench.one("redis_ping")["reason"]
    )
    wrong = {"redis_ping": {"login_password": "not-this"}}
    run = bench.tasks(wrong, wrong, wrong)
    assert all("one attempt was made" in task["reason"] for task in run.report["tasks"])
    calls = cache.shell("REDISCLI_AUTH=some-secret redis-cli info commandstats | grep cmdstat_auth")
    assert "failed_calls=1" in calls
    for params in ({"login_password": "some-secret"}, {"login_user": "app", "login_password": "app-secret"}):
        assert bench.one("redis_ping", **params)["result"]["ping"] == "PONG"
    changed = bench.tasks({"redis_config": {"name": "timeout", "value": 5, "login_password": "some-secret"}})
    assert changed.report["changes"]
    assert bench.rollback(changed).code == 0
    monkeypatch.setenv("REDISCLI_AUTH", "some-secret")
    done = bench.one("redis_info", host=True)
    assert done["status"] == "ok"
    for secret in ("some-secret", "app-secret", "not-this"):
        assert secret not in json.dumps(done)
        assert secret.encode() not in bench.operator.journal()
    told = bench.one("redis_servers")["result"]["server"]
    assert told["config"]["password"] is True
    assert "some-secret" not in json.dumps(told)


def test_a_socket_a_renamed_command_and_one_that_is_disabled(bench: Bench, cache: Cache) -> None:
    cache.clean("unixsocket /run/redis/redis-server.sock", "port 0", 'rename-command CONFIG "hidden-config"',
                'rename-command FLUSHDB ""')  # fmt: skip
    assert bench.one("redis_ping")["result"]["ping"] == "PONG"  # the usual sockets, after the port
    assert (
        bench.one("redis_ping", login_unix_socket="/run/redis/redis-server.sock")["result"]["ping"] == "PONG"
    )
    done = bench.one("redis_config", name="timeout", value=5)
    assert "does not know CONFIG: rename-command has renamed or disabled it" in done["reason"]
    assert bench.one("redis_flush", db=0)["status"] == "failed"
    renamed = {"CONFIG": "hidden-config"}
    assert bench.one("redis_config", name="timeout", value=5, renamed_commands=renamed)["status"] == "changed"
    assert bench.one("redis_servers")["result"]["servers"][0]["config"]["renamed"] == ["CONFIG", "FLUSHDB"]


def test_tls_checks_the_certificate_through_the_tunnel(bench: Bench, cache: Cache, tmp_path: Path) -> None:
    cache.shell(CERTIFICATES)
    cache.clean("tls-port 6390", "tls-cert-file /etc/redis/tls/redis.crt", "tls-key-file /etc/redis/tls/redis.key",
                "tls-ca-cert-file /etc/redis/tls/ca.crt", "tls-auth-clients no")  # fmt: skip
    for name in ("ca", "other"):
        (tmp_path / f"{name}.crt").write_text(cache.shell(f"cat /etc/redis/tls/{name}.crt"))
    good = {
        "login_port": 6390,
        "tls": True,
        "ca_certs": str(tmp_path / "ca.crt"),
        "tls_name": "cache.example",
    }
    assert bench.one("redis_ping", **good)["result"]["ping"] == "PONG"
    assert bench.one("redis_info", **good, host=True)["status"] == "ok"
    wrong = bench.one("redis_ping", **{**good, "ca_certs": str(tmp_path / "other.crt")})
    assert "is not good for cache.example" in wrong["reason"]
    name = bench.one("redis_ping", **{**good, "tls_name": "shop.example"})
    assert "is not good for shop.example" in name["reason"]
    assert (
        bench.one("redis_ping", **{**good, "tls_name": "x", "validate_certs": False})["result"]["ping"]
        == "PONG"
    )
    plain = bench.one("redis_ping", **{**good, "login_port": 6379})
    assert "does it talk TLS there?" in plain["reason"]
    other = bench.one("redis_ping", login_port=6390)
    assert "want TLS (redis_tls)?" in other["reason"] or "ended the conversation" in other["reason"]
    gone = bench.one("redis_ping", **{**good, "ca_certs": "/nowhere"})
    assert "/nowhere of this machine, which TLS needs, cannot be read: No such file" in gone["reason"]
