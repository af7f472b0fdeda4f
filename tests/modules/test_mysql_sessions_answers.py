"""Connections, variables and queries on servers that are not at hand: MySQL 5.7 to 9, MariaDB 10.3 and 11."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remedy.agent.kinds import Failed
from remedy.errors import InputError
from remedy.modules import find
from remedy.modules.controller import _sessions, _variables, mysql_sessions, mysql_variables
from remedy.modules.controller._capacity import Capacity, computed
from remedy.modules.controller._doors import doors, supported
from remedy.modules.controller.mysql_info import refused, target
from remedy.modules.controller.mysql_query import reads
from remedy.modules.controller.mysql_sessions import Kill
from remedy.modules.controller.mysql_variables import Variable
from remedy.modules.parameters import check
from remedy.modules.target import _mysql_options
from remedy.modules.target.mysql_option import same

PROCESS = [{"Grants for root@localhost": "GRANT SELECT, PROCESS, SUPER ON *.* TO `root`@`localhost`"}]
# Rows as the servers wrote them; MySQL has NULL where MariaDB has an empty text.
MYSQL_57 = [
    {"Id": 3, "User": "repl", "Host": "10.0.0.2:4000", "db": None, "Command": "Binlog Dump", "Time": 90000,
     "State": "Master has sent all binlog to slave; waiting for more updates", "Info": None},
    {"Id": 4, "User": "shop", "Host": "10.0.0.5:5100", "db": "shop", "Command": "Sleep", "Time": 812, "State": "",
     "Info": None},
    {"Id": 5, "User": "shop", "Host": "10.0.0.5:5101", "db": "shop", "Command": "Sleep", "Time": 400, "State": "",
     "Info": None},
    {"Id": 6, "User": "root", "Host": "localhost", "db": None, "Command": "Query", "Time": 0, "State": "starting",
     "Info": "SHOW FULL PROCESSLIST"},
]  # fmt: skip
MYSQL_9 = [
    {"Id": 5, "User": "event_scheduler", "Host": "localhost", "db": None, "Command": "Daemon", "Time": 999,
     "State": "Waiting on empty queue", "Info": None},
    {"Id": 8, "User": "system user", "Host": "", "db": None, "Command": "Query", "Time": 77,
     "State": "Replica has read all relay log; waiting for more updates", "Info": None},
    {"Id": 9, "User": "system user", "Host": "connecting host", "db": None, "Command": "Connect", "Time": 999,
     "State": "Waiting for source to send event", "Info": None},
    {"Id": 12, "User": "repl", "Host": "10.0.0.2:4000", "db": None, "Command": "Binlog Dump GTID", "Time": 500,
     "State": "Source has sent all binlog to replica; waiting for more updates", "Info": None},
    {"Id": 13, "User": "shop", "Host": "[fd00::5]:5100", "db": "shop", "Command": "Sleep", "Time": 812, "State": "",
     "Info": None},
]  # fmt: skip
MARIADB_11 = [
    {"Id": 2, "User": "system user", "Host": "", "db": None, "Command": "Slave_SQL", "Time": 50,
     "State": "Slave has read all relay log; waiting for more updates", "Info": None, "Progress": 0.0},
    {"Id": 7, "User": "shop", "Host": "10.0.0.5:5100", "db": "shop", "Command": "Sleep", "Time": 812, "State": "",
     "Info": None, "Progress": 0.0},
    {"Id": 9, "User": "shop", "Host": "10.0.0.5:5102", "db": "shop", "Command": "Killed", "Time": 900,
     "State": "Reset for next command", "Info": None, "Progress": 0.0},
]  # fmt: skip


class Server:
    """A server that answers what was recorded; what it was told otherwise stands in `told`."""

    reached = "/run/mysqld/mysqld.sock"

    def __init__(self, version: str, processes: list[dict[str, Any]], **answers: Any) -> None:
        self.version = version
        self.id = 6
        self.told: list[str] = []
        self.processes_now = [dict(row) for row in processes]
        self.transactions = answers.get("transactions", [])
        self.answers = answers.get("answers", {})

    def rows(self, sql: str, *, seconds: float = 10, args: Any = None) -> list[dict[str, Any]]:
        if sql == "SHOW GRANTS":
            return PROCESS
        if "session_connect_attrs" in sql:
            raise Failed("performance_schema is off")
        if "INNODB_TRX" in sql:
            return list(self.transactions)
        if "UNIX_TIMESTAMP() AS now" in sql:
            return [{"now": 1_000_000}]
        if sql == "SHOW FULL PROCESSLIST":
            return self.processes_now
        self.told.append(sql if args is None else sql % args)
        return list(self.answers.get(sql, []))

    def processes(self) -> list[dict[str, Any]]:
        return self.processes_now

    def end(self, id: int, *, query: bool) -> None:
        assert not query
        self.told.append(f"KILL {id}")
        self.processes_now = [row for row in self.processes_now if row["Id"] != id]


class Site:
    """A host that answers what target modules would say."""

    check = False

    def __init__(self, answers: dict[str, Any] | None = None) -> None:
        self.answers = answers or {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.warned: list[str] = []
        self.warn = self.warned.append

    def ask(self, module: str, **params: Any) -> dict[str, Any]:
        self.asked.append((module, params))
        found: dict[str, Any] = self.answers[module]
        return found

    def stopping(self) -> bool:
        return False


Opened = Callable[[Server, Any], None]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Let modules have a server without a login."""

    def use(server: Server, module: Any) -> None:
        monkeypatch.setattr(module, "opened", lambda site, params, **_: server)

    return use


def kill(server: Server, opened: Opened, **params: Any) -> Kill:
    opened(server, mysql_sessions)
    complete = check(find("mysql_sessions"), params, None, templates_allowed=False)
    return Kill(complete, Site())


@pytest.mark.parametrize(
    ("version", "rows", "ended"),
    [("5.7.44-log", MYSQL_57, [4, 5]), ("9.1.0", MYSQL_9, [13]), ("11.4.2-MariaDB", MARIADB_11, [7])],
)
def test_never_the_servers_own_replication_or_our_own(
    version: str, rows: list[dict[str, Any]], ended: list[int], opened: Opened
) -> None:
    sweep = kill(Server(version, rows), opened, ids=list(range(99)))
    taken = [item.identity[0] for item in sweep.find() if item.take]
    assert taken == ended, "the oldest first"


def test_criteria_combine_with_and(opened: Opened) -> None:
    server = Server("5.7.44", MYSQL_57)
    for params, ended in [
        ({"age": "10m", "users": ["shop"]}, [4]),
        ({"users": ["shop"], "hosts": ["10.0.0.5"], "dbs": ["shop"], "idle": True}, [4, 5]),
        ({"users": ["shop"], "hosts": ["10.0.0.6"]}, []),
        ({"idle": False, "users": ["shop"]}, []),
        ({"ids": [5], "commands": ["Sleep"]}, [5]),
        ({"users": ["shop"], "keep_users": ["shop"]}, []),
        ({"users": ["shop"], "limit": 1}, [4]),
        ({"query": "no such words", "users": ["shop"]}, []),
    ]:
        found = kill(server, opened, **params).find()
        assert [item.identity[0] for item in found if item.take] == ended, params


@pytest.mark.parametrize(
    ("criteria", "wrong"),
    [({"user": ["shop"]}, "'user' is none: expected some of users"), ({"users": []}, "users is empty"),
     ({"users": [""]}, "users is empty"), ({"query": "("}, "query is no regular expression"),
     ({}, "without a criterion")],
)  # fmt: skip
def test_a_slip_in_criteria_ends_nobody(criteria: dict[str, Any], wrong: str) -> None:
    with pytest.raises(InputError, match=wrong):
        check(find("mysql_sessions"), {"criteria": criteria, "age": 0}, None, templates_allowed=False)
    with pytest.raises(InputError, match="dbs is empty, and would match every session"):
        check(find("mysql_sessions"), {"idle": True, "dbs": []}, None, templates_allowed=False)


def test_criteria_may_come_as_a_mapping(opened: Opened) -> None:
    found = kill(
        Server("8.4.0", MYSQL_57), opened, criteria={"users": "shop", "dbs": ["shop"]}, age="10m"
    ).find()
    assert [item.identity[0] for item in found if item.take] == [4]


def test_a_session_with_undo_work_stays_and_says_how_much(opened: Opened) -> None:
    transactions = [{"id": 4, "modified": 1200, "locked": 9, "state": "RUNNING", "seconds": 800}]
    server = Server("8.4.0", MYSQL_57, transactions=transactions)
    first = kill(server, opened, idle=True, age="5m").find()[0]
    assert not first.take
    assert first.reason == (
        "it is in a transaction of 800 s with 1200 changed rows to roll back: "
        "it stays unless in_transaction allows it (in a runbook mysql_end_transactions or mysql_kill_transactions)"
    )
    first = kill(server, opened, idle=True, in_transaction=True).find()[0]
    assert first.take
    assert first.reason == "idle for 812 s; in a transaction of 800 s with 1200 changed rows to roll back"
    only = kill(server, opened, idle_in_transaction=True, in_transaction=True).find()
    assert [item.identity[0] for item in only] == [4]


def test_who_has_done_something_since_is_not_ended(opened: Opened) -> None:
    server = Server("8.4.0", MYSQL_57)
    sweep = kill(server, opened, idle=True, age="5m")
    first, second = sweep.find()
    server.processes_now[1].update(Time=0, Command="Query", Info="SELECT 1")
    assert sweep.drain(first) == "it has done something since: it is in Query for 0 s: SELECT 1"
    assert sweep.drain(second) == 0
    assert sweep.drain(second) == "it has ended by itself"
    assert server.told == ["KILL 5"]


def test_an_id_that_another_one_has_now_is_not_ended(opened: Opened) -> None:
    server = Server("8.4.0", MYSQL_57)
    sweep = kill(server, opened, idle=True, age="5m")
    first, _ = sweep.find()
    server.processes_now[1].update(Host="10.0.0.9:1")
    assert str(sweep.drain(first)).startswith("it has done something since")
    assert server.told == []


@pytest.mark.parametrize("module", ["mysql_sessions", "postgresql_sessions"])
@pytest.mark.parametrize(
    ("given", "wrong"),
    [({"query": ""}, "query is empty"), ({"users": [], "age": 60}, "users is empty"),
     ({"age": 0}, "without a criterion"), ({"age": "-5m"}, "age cannot be less than 0"),
     ({"age": float("nan")}, "it must be a duration")],
)  # fmt: skip
def test_what_would_match_every_session_is_no_criterion(module: str, given: dict[str, Any], wrong: str) -> None:
    with pytest.raises(InputError, match=wrong):
        check(find(module), given, None, templates_allowed=False)


def test_every_state_holds_an_empty_text() -> None:
    with pytest.raises(InputError, match="states is empty"):
        check(find("mysql_sessions"), {"states": [""]}, None, templates_allowed=False)


def test_without_a_criterion_or_the_privilege_it_refuses() -> None:
    with pytest.raises(InputError, match="without a criterion it would end every session"):
        check(find("mysql_sessions"), {}, None, templates_allowed=False)
    blind = Server("8.4.0", [])
    blind.rows = lambda sql, **_: [{"g": "GRANT USAGE ON *.* TO `x`@`%`"}]  # type: ignore[method-assign]
    with pytest.raises(Failed, match="GRANT PROCESS"):
        _sessions.clients(blind)


HOST = {
    "pid": 7,
    "options": {"max_connections": None},
    "sets": {"max_connections": None},
    "memory": {"total": 8 << 30},
}


def variable(
    version: str, live: str, kept: str | None, opened: Opened, **params: Any
) -> tuple[Variable, Server]:
    buffers = {"sort_buffer_size": 1 << 18, "join_buffer_size": 1 << 18, "read_buffer_size": 1 << 17,
               "thread_stack": 1 << 20, "innodb_buffer_pool_size": 1 << 30, "open_files_limit": 10000,
               "table_open_cache": 4000}  # fmt: skip

    class Changing(Server):
        def rows(self, sql: str, *, seconds: float = 10, args: Any = None) -> list[dict[str, Any]]:
            if "SHOW GLOBAL VARIABLES" in sql:
                known = {**buffers, "max_connections": live}
                named = {name: value for name, value in known.items() if f"'{name}'" in sql}
                return [{"Variable_name": name, "Value": str(value)} for name, value in named.items()]
            if "persisted_variables" in sql:
                return [] if kept is None else [{"name": "max_connections", "value": kept}]
            if "@@datadir" in sql:
                return [{"datadir": "/var/lib/mysql/"}]
            if "variables_info" in sql:
                return [{"least": "1", "most": "100000"}]
            return super().rows(sql, seconds=seconds, args=args)

    server = Changing(version, [])
    opened(server, mysql_variables)
    given = {"variable": "max_connections", **params}
    complete = check(find("mysql_variables"), given, None, templates_allowed=False)
    return Variable(complete, Site({_variables.HOST: HOST, "mysql_option": {}})), server


def test_mysql_8_persists_by_itself_and_forgets_again(opened: Opened) -> None:
    module, server = variable("8.0.36", "151", None, opened, value=300, mode="persist")
    have = module.read()
    assert have == {"live": "151", "persisted": None}
    want = module.wanted(have)
    module.write(have, want)
    module.write(want, have)
    assert [sql for sql in server.told if sql.startswith(("SET", "RESET"))] == [
        "SET PERSIST_ONLY `max_connections` = 300",
        "SET GLOBAL `max_connections` = 300",
        "RESET PERSIST IF EXISTS `max_connections`",
        "SET GLOBAL `max_connections` = 151",
    ]


@pytest.mark.parametrize(
    ("value", "why"),
    [("+100000", "nothing was changed"), ("1e5", "expected a number"), ("1_0", "expected a number")],
)  # fmt: skip
def test_no_way_of_writing_a_number_gets_past_its_limits(value: str, why: str, opened: Opened) -> None:
    module, _ = variable("8.0.36", "151", None, opened, value=value, mode="persist")
    with pytest.raises(Failed, match=why):
        module.wanted(module.read())


@pytest.mark.parametrize("version", ["5.7.44-log", "10.3.39-MariaDB", "11.4.2-MariaDB"])
def test_others_have_a_drop_in(version: str, opened: Opened) -> None:
    module, server = variable(version, "151", None, opened, value="300", mode="persist")
    have = module.read()
    assert have == {"live": "151", "file": "differs"}
    module.write(have, module.wanted(have))
    asked = ("mysql_option", {"option": "max_connections", "value": "300", "datadir": "/var/lib/mysql/"})
    assert asked in module.host.asked
    assert "SET GLOBAL `max_connections` = 300" in server.told
    # A rollback takes the drop-in back first: then this reads as left.
    assert module.left({"live": "300", "file": "agrees"}) == {"live": "300", "file": "differs"}


def test_what_is_refused_is_refused_with_the_arithmetic(opened: Opened) -> None:
    cases = {
        200_000: "max_connections cannot be 200000: expected 1 to 100000; nothing was changed",
        5_000: (
            "max_connections 5000 is more than memory allows: 5000 connections of 1.62 MiB and 1 GiB for all are "
            "8.93 GiB, of 8 GiB the server may have 90% (7.2 GiB); at most 3906; nothing was changed"
        ),
    }
    for value, text in cases.items():
        module, server = variable("8.0.36", "151", None, opened, value=value, mode="persist")
        with pytest.raises(Failed) as refused:
            module.wanted(module.read())
        assert refused.value.message == text
        assert [sql for sql in server.told if sql.startswith("SET")] == []


def test_where_nothing_would_last_it_is_refused(opened: Opened) -> None:
    module, server = variable("10.11.6-MariaDB", "151", None, opened, value=200, mode="persist")
    module.host.answers[_variables.HOST] = {**HOST, "pid": None}
    with pytest.raises(Failed, match="process is not seen on this host"):
        module.wanted(module.read())
    assert [sql for sql in server.told if sql.startswith("SET")] == []
    live, _ = variable("10.11.6-MariaDB", "151", None, opened, value=200, mode="global")
    live.host.answers[_variables.HOST] = {**HOST, "pid": None}
    assert live.wanted(live.read()) == {"live": "200"}
    assert live.host.warned == ["the server runs elsewhere: nobody knows here whether its memory suffices"]


@pytest.mark.parametrize("version", ["5.6.51", "10.2.44-MariaDB", "5.5.68-MariaDB"])
def test_an_older_server_is_let_go_of(version: str) -> None:
    server: Any = Server(version, [])
    server.close = lambda: server.told.append("closed")
    with pytest.raises(
        Failed, match=r"expected MySQL 5\.7 or newer, or MariaDB 10\.3 or newer: nothing was changed"
    ):
        supported(server)
    assert server.told == ["closed"]
    for new in ("5.7.44-log", "8.0.36", "9.7.4-2", "10.3.39-MariaDB", "11.8.2-MariaDB"):
        server.version = new
        assert supported(server) is server


def test_files_bound_mysql_and_mariadb_differently() -> None:
    known = {"thread_stack": "1048576", "open_files_limit": "1024", "table_open_cache": "2000"}
    mysql = computed(known, "8.0.36", 8 << 30, 90)
    assert mysql.by_files == 214, "what MySQL lowers max_connections to with 1024 files"
    mariadb = computed({**known, "extra_max_connections": "1"}, "10.11.6-MariaDB", 8 << 30, 90)
    assert mariadb.by_files == 1024 - 30 - 1 - 400
    assert mysql.objection(214) is None
    assert (
        "215 and 810 for tables and the server itself are 1025, and open_files_limit is 1024; at most 214"
        in str(mysql.objection(215))
    )
    assert Capacity(1, 0, 100, 90, 10, 20).by_files == 0


def test_the_target_has_room_for_half_as_much_again_within_what_there_is() -> None:
    assert target(100, 151, 5000) == 230
    assert target(600, 151, 5000) == 900
    assert target(600, 151, 200) == 200
    assert target(600, 151, 100) == 151, "never lower than it is"


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [("ON", "1", True), ("0", "OFF", True), ("10.000000", "10", True), ("64M", "67108864", True), ("1", "2", False),
     (None, "1", False), (None, None, True)],
)  # fmt: skip
def test_values_that_mean_the_same(one: str | None, other: str | None, equal: bool) -> None:
    assert _variables.same(one, other) is equal
    assert same(one, other) is (equal and one is not None)


def test_another_door_is_one_of_the_same_server() -> None:
    first = {"pid": 7, "listens": ["/run/mysqld/mysqld.sock", ["0.0.0.0", 3306], ["::1", 33062], ["0.0.0.0", 33060]]}
    other = {"pid": 8, "listens": ["/run/other.sock", ["0.0.0.0", 3400]]}
    inside = {"pid": 9, "listens": ["/run/mysqld/mysqld.sock", ["0.0.0.0", 3500]], "container": True}
    servers = [inside, {**other, "container": False}, {**first, "container": False}]
    here = ("/run/mysqld/mysqld.sock", "10.0.0.1:3306")

    class Host(Site):
        """The host, whose own addresses are known there alone."""

        def ask(self, module: str, **params: Any) -> Any:
            if module == _variables.HOST:
                return {"pid": 7 if params["reached"] in here else None}
            return super().ask(module, **params)

    site: Any = Host({"mysql_servers": {"servers": servers}})
    assert doors(site, "10.0.0.2:3306") == [], "another host's server, of the same port"
    assert doors(site, "/run/mysqld/mysqld.sock") == [("127.0.0.1", 3306), ("::1", 33062)]
    assert doors(site, "10.0.0.1:3306") == [("::1", 33062)]
    assert doors(site, "127.0.0.1:3999") == []


@pytest.mark.parametrize(
    "query",
    ["SELECT 1", " (SELECT 'a;b' AS x) ", "SHOW CREATE TABLE t;", "EXPLAIN SELECT * FROM t",
     "show engine innodb status", "WITH x AS (SELECT 1) SELECT * FROM x", "SHOW VARIABLES LIKE 'log_slow%'",
     "SELECT `update` FROM t -- into nowhere\n", "SELECT 'it\\'s', \"sleep(1)\" --", "SHOW CREATE TABLE `sleep`"],
)  # fmt: skip
def test_what_only_reads(query: str) -> None:
    assert reads(query)


@pytest.mark.parametrize(
    "query",
    ["EXPLAIN ANALYZE SELECT 1", "SELECT 1 INTO OUTFILE '/tmp/x'", "SELECT 1 FOR UPDATE", "SELECT 1; DELETE FROM t",
     "SELECT GET_LOCK('a', 1)", "WITH x AS (SELECT 1) DELETE FROM t", "SELECT @a := 1", "SELECT /*! 1 INTO */ @x",
     "ANALYZE SELECT 1", "DELETE FROM t", ["SELECT 1", "SELECT 2"], "SELECT 1 /*M! FOR UPDATE */", "", None,
     "SELECT SLEEP(1000)", "SELECT 1 LOCK IN SHARE MODE", "SELECT 1 --\n INTO OUTFILE '/tmp/x'",
     "SELECT 1 # \0 INTO OUTFILE '/tmp/x'", "SELECT '\\' INTO OUTFILE '/tmp/x' -- '", "SHOW TABLES WHERE SLEEP(9)",
     'SELECT "a\\" INTO OUTFILE \'/tmp/x\' -- "', "SELECT `get_lock` /* */ ('a', 1)",
     "SELECT group_replication_set_as_primary('x')"],
)  # fmt: skip
def test_what_does_not_only_read(query: Any) -> None:
    assert not reads(query)


def test_option_files_are_read_as_the_server_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, main = tmp_path / "conf.d", tmp_path / "my.cnf"
    folder.mkdir()
    main.write_text(
        f"[mysqld]\nmax-connections = 100 # a comment\n!includedir {folder}\n[mysqld-10.11]\n"
        'loose_wait_timeout="60"\n'
        "[mysqldump]\nmax_connections=7\n[server]\nskip-name-resolve\n"
    )
    (folder / "a.cnf").write_text("[mariadb]\nmax_connections=200\n")
    (folder / "b.txt").write_text("[mysqld]\nmax_connections=300\n")
    monkeypatch.setattr(_mysql_options, "_USUAL", (str(main),))
    options = _mysql_options.Options(None, None)
    entries = options.entries()
    assert options.folders == [str(folder)]
    last = _mysql_options.last(entries, "max_connections")
    assert (last.value, last.place) == ("200", f"{folder}/a.cnf:2")
    assert _mysql_options.last(entries, "wait_timeout").value == "60"
    assert _mysql_options.last(entries, "name_resolve").value == "OFF"
    ours = str(folder / "zz-remedy.cnf")
    places = [each.place for each in options.entries(drop_in=ours)]
    assert places.index(ours) == 2, "after the folder's others, before the rest of the file that includes it"


@pytest.mark.parametrize(
    ("status", "mariadb", "told"),
    [
        # 10.11, measured: nine refused, one of them counted as such, and one login that failed.
        (
            {"Connection_errors_max_connections": "1", "Aborted_connects": "10", "Access_denied_errors": "1"},
            True,
            (1, 9),
        ),
        ({"Connection_errors_max_connections": "9", "Aborted_connects": "9"}, False, (9, 9)),  # 9.7, the same
        ({"Connection_errors_max_connections": "0", "Aborted_connects": "0"}, True, (0, 0)),
        ({"Aborted_connects": "4"}, True, None),
    ],
)
def test_refused_connections_are_told_as_far_as_the_server_counts_them(
    status: dict[str, str], mariadb: bool, told: tuple[int, int] | None
) -> None:
    found = refused(status, mariadb=mariadb)
    assert found == (None if told is None else {"least": told[0], "most": told[1]})
