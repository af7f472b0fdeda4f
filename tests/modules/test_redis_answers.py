"""What servers that are not at hand answer (Redis 4, 5, 6, 8, Valkey), and what is refused, over a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.modules.redis_wire import Answers, Refused, Site, Wire

from remedy.agent.kinds import Failed
from remedy.modules import check, find
from remedy.modules.controller import redis_clients, redis_config, redis_info, redis_keys
from remedy.modules.controller._redis import Session, session
from remedy.modules.controller._redis_facts import told
from remedy.modules.controller._redis_scan import too_wide
from remedy.modules.controller._redis_settings import after_restart, drift, plain
from remedy.modules.controller._redis_words import fields, refusal

REDIS_5 = "# Server\r\nredis_version:5.0.14\r\nredis_mode:standalone\r\nprocess_id:7\r\nrun_id:abc\r\nconfig_file:\r\n"
REDIS_8 = REDIS_5.replace("5.0.14", "8.0.3")
VALKEY = (
    "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\nserver_mode:standalone\r\n"
    "process_id:7\r\nrun_id:abc\r\nconfig_file:/etc/valkey/valkey.conf\r\n"
)
MEMORY_5 = "used_memory:900\r\nused_memory_rss:2000\r\nmaxmemory:1000\r\nmaxmemory_policy:noeviction\r\n"
GREETING: Answers = {"CLIENT SETNAME": "OK", "CLIENT ID": 5, "PING": "PONG", "TIME": ["1000", "0"]}
LOGIN = {
    **dict.fromkeys(("login_user", "login_password", "login_host", "login_unix_socket", "ca_certs")),
    **{"login_port": 6379, "tls": False, "renamed_commands": None, "tls_name": None},
}

Opens = Callable[..., tuple[Session, Wire, Site]]


@pytest.fixture
def opens() -> Iterator[Opens]:
    """Open a session on a recorded server: opens({answers}, login_user="app")."""
    sites: list[Site] = []

    def start(answers: Any, **params: Any) -> tuple[Session, Wire, Site]:
        wire = Wire(answers if callable(answers) else {**GREETING, **answers})
        site = Site(wire)
        sites.append(site)
        return session(site, {**LOGIN, **params}), wire, site  # type: ignore[arg-type]

    yield start
    for site in sites:
        site.close()


def refused(answers: Any, **params: Any) -> Failed:
    wire = Wire(answers if callable(answers) else {**GREETING, **answers})
    with pytest.raises(Failed) as caught:
        session(Site(wire), {**LOGIN, **params})  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize(
    ("server", "product", "version", "number"),
    [
        (REDIS_5, "Redis", "5.0.14", (5, 0, 14)),
        (REDIS_8, "Redis", "8.0.3", (8, 0, 3)),
        (VALKEY, "Valkey", "8.1.1", (7, 2, 4)),
    ],
)
def test_a_server_is_known_by_what_it_calls_itself(
    opens: Opens, server: str, product: str, version: str, number: tuple[int, ...]
) -> None:
    made, wire, _ = opens({"INFO server": server})
    assert (made.product, made.version, made.number, made.id) == (product, version, number, 5)
    # One flight; nothing that a server of 5 does not know.
    assert wire.asked == [["CLIENT", "SETNAME", "remedy"], ["CLIENT", "ID"], ["INFO", "server"]]


def test_one_older_than_5_is_refused_before_anything_is_asked_of_it() -> None:
    failed = refused({"INFO server": REDIS_5.replace("5.0.14", "4.0.9")})
    assert failed.message.startswith("Redis 4.0.9 at 127.0.0.1:6379 of c1 is older than Redis 5")
    assert "nothing was changed" in failed.message
    assert failed.result["redis_error"] == "OLD"


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        (
            "WRONGPASS invalid username-password pair or user is disabled.",
            "WRONGPASS",
            "one attempt was made",
        ),
        ("ERR invalid password", "WRONGPASS", "one attempt was made"),
        ("ERR wrong number of arguments for 'auth' command", "NOACL", "login_user needs Redis 6"),
    ],
)
def test_a_login_that_is_refused_is_tried_once_in_a_run(text: str, code: str, hint: str) -> None:
    wire = Wire({**GREETING, "AUTH": Refused(text), "INFO": Refused("NOAUTH Authentication required.")})
    site, params = Site(wire), {**LOGIN, "login_password": "wrong", "login_user": "app"}
    for _ in range(3 if code == "WRONGPASS" else 1):
        with pytest.raises(Failed) as caught:
            session(site, params)  # type: ignore[arg-type]
        assert caught.value.result["redis_error"] == code
        assert hint in caught.value.message
        assert "wrong " not in caught.value.message.replace("is wrong", "").replace("wrong number", "")
    assert site.reached == 1
    assert [words for words in wire.asked if words[0] == "AUTH"] == [["AUTH", "app", "wrong"]]
    assert "wrong" in site.hidden


def test_a_password_that_nobody_asks_for_is_no_obstacle_but_told(opens: Opens) -> None:
    text = "ERR Client sent AUTH, but no password is set"
    _, _, site = opens({"AUTH": Refused(text), "INFO server": REDIS_5}, login_password="x")
    assert "asks for no password, though one is given" in site.warned[0]


def test_one_that_is_full_says_so_and_hangs_up() -> None:
    told: list[str] = []

    def full(words: list[str]) -> Any:
        told.append(words[0])
        return Refused("ERR max number of clients reached") if len(told) == 1 else SystemExit

    failed = refused(full)
    assert failed.result["redis_error"] == "MAXCLIENTS"
    assert (
        "lets nobody in: ERR max number of clients reached; every connection that maxclients"
        in failed.message
    )


def test_one_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remedy.modules.controller._redis._GREETING", 0.2)
    failed = refused(lambda words: TimeoutError)
    assert (failed.cause, failed.result["redis_error"]) == ("timeout", "TIMEOUT")
    assert "gave no answer within 0.2 s; whether it took effect is not known: CLIENT SETNAME" in failed.message


def test_one_that_goes_in_the_middle_leaves_the_outcome_open(opens: Opens) -> None:
    made, _, _ = opens({"INFO server": REDIS_5, "FLUSHDB ASYNC": SystemExit})
    with pytest.raises(Failed) as caught:
        made.ask("FLUSHDB", "ASYNC")
    assert caught.value.message.endswith("whether it took effect is not known: FLUSHDB ASYNC")
    assert caught.value.result["redis_error"] == "CLOSED"
    assert not made.alive


def test_renamed_commands_are_asked_by_their_new_names(opens: Opens) -> None:
    made, wire, _ = opens(
        {"INFO server": REDIS_5, "SETTINGS GET": ["maxmemory", "0"], "COMMAND INFO": [None, ["x"]]},
        renamed_commands={"config": "SETTINGS"},
    )
    assert made.config("maxmemory") == {"maxmemory": "0"}
    with pytest.raises(Failed, match=r"does not know FLUSHDB: rename-command .* name it in renamed_commands"):
        made.need("FLUSHDB", "CONFIG")
    assert wire.asked[-1] == ["COMMAND", "INFO", "FLUSHDB", "SETTINGS"]


def test_a_command_that_is_disabled_is_said_by_name(opens: Opens) -> None:
    made, _, _ = opens({"INFO server": REDIS_8})
    with pytest.raises(Failed, match="does not know CONFIG: rename-command has renamed or disabled it"):
        made.ask("CONFIG", "GET", "maxmemory")
    assert made.config("maxmemory") == {}
    assert made.lacks("CONFIG") == []  # COMMAND itself is disabled: nobody knows


def test_words_of_a_server_become_codes() -> None:
    for text, code in (
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
        ("MISCONF Redis is configured to save RDB snapshots, but ...", "MISCONF"),
        ("READONLY You can't write against a read only replica.", "READONLY"),
        ("LOADING Redis is loading the dataset in memory", "LOADING"),
        ("ERR max number of clients + cluster connections reached", "MAXCLIENTS"),
        # In 7.0 it says "no password is set", too, as one does that is given a password and asks for none.
        (
            "DENIED Redis is running in protected mode because protected mode is enabled and no password is set for "
            "the default user. In this mode connections are only accepted from the loopback interface.",
            "DENIED",
        ),
        (
            "ERR AUTH <password> called without any password configured for the default user. Are you sure?",
            "NOPASSWORD",
        ),
        ("NOPERM User app has no permissions to run the 'config|get' command", "NOPERM"),
    ):
        assert refusal(text, "SET", "Redis at x").result["redis_error"] == code


def test_facts_of_5_come_from_its_settings(opens: Opens) -> None:
    info = (
        REDIS_5
        + MEMORY_5
        + "role:master\r\nconnected_clients:95\r\nrdb_last_save_time:400\r\nrdb_last_bgsave_status:err\r\n"
        "rdb_changes_since_last_save:3\r\ndb0:keys=7,expires=2,avg_ttl=0\r\naof_enabled:0\r\n"
    )
    settings = {"maxclients": "100", "save": "900 1", "stop-writes-on-bgsave-error": "yes", "dir": "/data"}
    answers = {f"CONFIG GET {name}": [name, value] for name, value in settings.items()}
    _made, _wire, site = opens({"INFO server": REDIS_5, "INFO": info, "CONFIG GET": [], **answers})
    params = {**LOGIN, "host": False, "filter": None}
    found = redis_info.Info(params, site).read()
    assert found["clients"] == {"connected": 95, "blocked": None, "max": 100, "percent": 95.0, "rejected": None,
                                "timeout": None}  # fmt: skip
    assert found["persistence"]["last_save_age"] == 600
    assert [each["code"] for each in found["refuses"]] == ["MISCONF"]
    assert found["memory"]["percent"] == 90.0
    assert found["keyspace"] == {"db0": {"keys": 7, "expires": 2, "avg_ttl": 0}}
    assert (found["role"], found["config_file"], found["ping"]) == ("master", None, True)


def test_facts_of_a_replica_and_of_one_that_loads() -> None:
    lines = {"role": "slave", "master_host": "10.0.0.1", "master_port": "6379", "master_link_status": "up"}
    found = told(lines, {}, None)
    assert found["role"] == "replica"
    assert found["refuses"] == [{"code": "READONLY", "text": "it is a replica of 10.0.0.1:6379"}]
    assert told({"loading": "1", "role": "master"}, {}, None)["refuses"] == []
    primary = {"role": "master", "slave0": "ip=10.0.0.2,port=6379,state=online,offset=14,lag=1"}
    assert told(primary, {}, None)["replication"]["replicas"] == [
        {"address": "10.0.0.2:6379", "state": "online", "lag": 1}
    ]
    full = {"role": "master", "used_memory": "100", "maxmemory": "90", "maxmemory_policy": "noeviction"}
    assert [each["code"] for each in told(full, {}, None)["refuses"]] == ["OOM"]
    assert told({**full, "mem_not_counted_for_evict": "20"}, {}, None)["refuses"] == []


LIST_5 = (
    "id=3 addr=10.0.0.1:5000 fd=8 name= age=900 idle=800 flags=N db=0 sub=0 psub=0 multi=-1 qbuf=0 obl=0 oll=0 "
    "omem=0 events=r cmd=get\n"
    "id=4 addr=10.0.0.2:5000 fd=9 name=worker age=900 idle=700 flags=b db=0 sub=0 psub=0 multi=-1 "
    "cmd=blpop\n"
    "id=6 addr=10.0.0.3:5000 fd=9 name= age=900 idle=900 flags=P db=0 sub=1 psub=0 multi=-1 cmd=subscribe\n"
    "id=7 addr=10.0.0.4:6379 fd=9 name= age=900 idle=900 flags=S db=0 sub=0 psub=0 multi=-1 cmd=replconf\n"
    "id=8 addr=10.0.0.5:5000 fd=9 name= age=900 idle=600 flags=x db=0 sub=0 psub=0 multi=2 cmd=set\n"
    "id=5 addr=127.0.0.1:5000 fd=9 name=remedy age=1 idle=0 flags=N db=0 sub=0 psub=0 multi=-1 cmd=client\n"
)


def closing(**params: Any) -> dict[str, Any]:
    return {**LOGIN, "close": True, "idle": 300, "name": None, "address": None, "user": None, "most": None,
            "until": None, **params}  # fmt: skip


def test_only_ordinary_idle_clients_are_closed_each_looked_at_again(opens: Opens) -> None:
    lines = [LIST_5]
    base = {"INFO server": REDIS_5, "COMMAND INFO": [["client"]], "CONFIG GET": ["maxclients", "100"]}

    def answer(words: list[str]) -> Any:
        if words[:2] == ["CLIENT", "LIST"]:
            return lines[0]
        if words[:2] == ["CLIENT", "KILL"]:
            return 1
        return {**GREETING, **base}.get(" ".join(words[:2])) or {**GREETING, **base}.get(words[0])

    _, wire, site = opens(answer)
    sweep = redis_clients.Close(closing(), site)
    items = {item.id: item for item in sweep.find()}
    assert [name for name, item in items.items() if item.take] == ["10.0.0.1:5000"]
    reasons = {name: item.reason for name, item in items.items() if not item.take}
    assert reasons == {
        "10.0.0.2:5000": "it waits in a blocking command",
        "10.0.0.3:5000": "it is a subscriber",
        "10.0.0.4:6379": "it is a replica",
        "10.0.0.5:5000": "it is in a transaction",
    }
    one = items["10.0.0.1:5000"]
    for change, why in (
        (("idle=800", "idle=1"), "it has asked something 1 s ago"),
        (("id=3 addr=10.0.0.1", "id=3 addr=10.9.9.9"), "it is another client by now"),
        (("age=900 idle=800", "age=10 idle=800"), "it is another client by now"),
        (("id=3 ", "id=30 "), "it is gone"),
        (("flags=N db=0 sub=0", "flags=P db=0 sub=1"), "it is a subscriber"),
    ):
        lines[0] = LIST_5.replace(*change, 1)
        assert sweep.drain(one) == why
    lines[0] = LIST_5
    assert sweep.drain(one) == 0
    assert wire.asked[-1] == ["CLIENT", "KILL", "ID", "3", "TYPE", "normal", "SKIPME", "yes"]


@pytest.mark.parametrize(
    "pattern",
    ["*", "**", "?*", "*?*", "[a-z]*", "[^x]*", "", "???", "[*", r"[^\]]*", "[^!-]z]*", "*[^^]", "[^", "[a-"],
)
def test_patterns_that_would_match_all_keys_are_refused(pattern: str) -> None:
    assert too_wide(pattern)
    assert redis_keys.check_params(
        {"state": "absent", "pattern": [pattern], "sample": 1, "largest": 1, "login_db": 0}
    )


@pytest.mark.parametrize("pattern", ["cache:*", "\\**", "[a]x*", "*e*", "ü*"])
def test_patterns_that_name_something_are_not(pattern: str) -> None:
    assert too_wide(pattern) is None


def test_values_are_compared_as_redis_means_them() -> None:
    assert plain("maxmemory", "512mb") == str(512 << 20)
    assert plain("maxmemory", "1g") == "1000000000"
    assert plain("maxmemory", "100") == "100"
    assert plain("save", "900 1  300   10") == "900 1 300 10"
    assert plain("appendonly", "YES") == "yes"
    assert after_restart("maxmemory", {}, "77") == "0"
    assert after_restart("hz", {}, "77") == "77"
    live = {"maxmemory": "100", "timeout": "0", "hz": "10", "requirepass": "x", "maxclients": "10000"}
    assert drift(live, {"maxmemory": "90", "hz": "20"}) == [
        {"name": "hz", "live": "10", "file": "20"},
        {"name": "maxmemory", "live": "100", "file": "90"},
    ]


@pytest.mark.parametrize(
    ("module", "params", "text"),
    [
        ("redis_config", {"name": "maxmemory", "value": "much"}, "expected a number of bytes: 512mb, 2gb"),
        (
            "redis_config",
            {"name": "maxmemory-policy", "value": "lru"},
            "expected one of noeviction, allkeys-lru",
        ),
        ("redis_config", {"name": "requirepass", "value": "x"}, "is a secret, which would stand in reports"),
        ("redis_clients", {"close": True}, "close needs idle, at least 1s"),
        ("redis_keys", {"state": "absent"}, "state: absent needs a pattern"),
        ("redis_keys", {"state": "absent", "pattern": "*"}, "redis_flush empties a whole database"),
        ("redis_keys", {"sample": 0}, "sample: at least 1"),
        ("redis_flush", {}, "name the database"),
        ("redis_flush", {"db": 0, "all": True}, "name the database"),
        ("redis_flush", {"db": -1}, "db: 0 or more"),
        ("redis_servers", {"port": 70000}, "port: expected 1 to 65535"),
        ("connection_close", {"port": 0}, "port: expected 1 to 65535"),
        ("connection_close", {"port": 1, "most": 0}, "most: at least 1"),
        ("fault_redis_clients", {"maxclients": 5}, "maxclients: expected 10 to 5000"),
        ("fault_redis_memory", {"maxmemory": "1K"}, "maxmemory: at least 1048576 bytes"),
    ],
)
def test_values_out_of_range_are_told(module: str, params: dict[str, Any], text: str) -> None:
    from remedy.errors import InputError

    with pytest.raises(InputError) as caught:
        check(find(module), params, None, templates_allowed=False)
    assert text in str(caught.value)


def test_what_evicts_or_destroys_says_so() -> None:
    assert redis_config.kind({"name": "maxmemory-policy", "value": "allkeys-lru"}).destructive
    assert not redis_config.kind({"name": "maxmemory-policy", "value": "noeviction"}).destructive
    assert not redis_config.kind({"name": "maxmemory", "value": "1gb"}).destructive
    assert find("redis_flush").kind({}).destructive
    assert redis_clients.kind({"close": False}).kind == "probe"
    assert fields("db0:keys=1,expires=0".partition(":")[2]) == {"keys": "1", "expires": "0"}
