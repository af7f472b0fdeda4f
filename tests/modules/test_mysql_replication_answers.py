"""Replicas of servers that are not at hand: MySQL 5.7, 8.0 and 8.4, MariaDB 10.3 and 11, by what they answer."""

from __future__ import annotations

import re
from typing import Any

import pytest

from remedy.agent.kinds import Failed
from remedy.modules.controller import _skipping, _workers, mysql_replication
from remedy.modules.controller._failing import Failing, failing
from remedy.modules.controller._replication import (
    Channel,
    behind_by,
    channels,
    intervals,
    lacking,
    words_of,
)

UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"

# As the servers of these versions answer; columns that nothing reads are left out.
MYSQL_57 = {
    "Slave_IO_State": "Waiting for master to send event",
    "Master_Host": "10.0.0.1",
    "Master_Port": 3306,
    "Master_Log_File": "mysql-bin.000007",
    "Read_Master_Log_Pos": 9000,
    "Relay_Log_File": "relay.000002",
    "Relay_Log_Pos": 367,
    "Relay_Master_Log_File": "mysql-bin.000007",
    "Exec_Master_Log_Pos": 1200,
    "Slave_IO_Running": "Yes",
    "Slave_SQL_Running": "No",
    "Seconds_Behind_Master": None,
    "SQL_Delay": 0,
    "Last_IO_Errno": 0,
    "Last_IO_Error": "",
    "Last_SQL_Errno": 1062,
    "Last_SQL_Error": "Could not execute Write_rows event on table shop.kv; Duplicate entry '2' for key 'PRIMARY', "
    "Error_code: 1062; handler error HA_ERR_FOUND_DUPP_KEY; the event's master log mysql-bin.000007, end_log_pos 1455",
    "Master_Server_Id": 1,
    "Slave_SQL_Running_State": "",
    "Retrieved_Gtid_Set": "",
    "Executed_Gtid_Set": "",
    "Auto_Position": 0,
    "Channel_Name": "",
}
MYSQL_80 = {
    **{
        re.sub("Master", "Source", re.sub("Slave", "Replica", name)): value
        for name, value in MYSQL_57.items()
    },
    "Last_SQL_Error": "Coordinator stopped because there were error(s) in the worker(s). The most recent failure: "
    f"Worker 1 failed executing transaction '{UUID}:6' at master log binlog.000001, end_log_pos 1620. See log",
    "Retrieved_Gtid_Set": f"{UUID}:1-8",
    "Executed_Gtid_Set": f"{UUID}:1-5:7",
    "Auto_Position": 1,
}
MARIADB_11 = {
    **MYSQL_57,
    "Connection_name": "east",
    "Last_SQL_Error": "Error 'Duplicate entry '22' for key 'PRIMARY'' on query. Default database: ''. "
    "Query: 'insert into shop.kv values (22,\"a\")'",
    "Using_Gtid": "Slave_Pos",
    "Gtid_IO_Pos": "7-13-3,0-13-13",
    "Gtid_Slave_Pos": "0-13-13,7-13-1",
    "Relay_Log_Pos": 4,
}
for absent in ("Retrieved_Gtid_Set", "Executed_Gtid_Set", "Auto_Position", "Channel_Name"):
    del MARIADB_11[absent]


def event(position: int, kind: str, end: int, info: str) -> dict[str, Any]:
    return {
        "Log_name": "r",
        "Pos": position,
        "Event_type": kind,
        "Server_id": 1,
        "End_log_pos": end,
        "Info": info,
    }


def events(gtids: list[str], kind: str = "Gtid") -> list[dict[str, Any]]:
    rows = [event(4, "Format_desc", 120, "Server ver"), event(120, "Rotate", 0, "mysql-bin.000007;pos=4")]
    for number, gtid in enumerate(gtids):
        at = 1000 + 500 * number
        rows += [
            event(at, kind, at + 80, gtid),
            event(at + 80, "Query", at + 150, "BEGIN"),
            event(at + 150, "Table_map", at + 200, "table_id: 109 (shop.kv)"),
            event(at + 200, "Write_rows", at + 455, f"table_id: 109 number {number}"),
            event(at + 455, "Xid", at + 486, "COMMIT"),
        ]
    return rows


class Recorded:
    """A server that answers what was recorded for the statements that begin so, and nothing else."""

    def __init__(self, version: str, answers: dict[str, Any]) -> None:
        self.version = version
        self.answers = answers
        self.asked: list[str] = []

    def rows(self, sql: str, *, seconds: float = 10) -> list[dict[str, Any]]:
        self.asked.append(sql)
        for begins, rows in self.answers.items():
            if sql.startswith(begins):
                if isinstance(rows, Failed):
                    raise rows
                return list(rows)
        raise AssertionError(f"nobody recorded: {sql}")


def one(server: Recorded) -> Channel:
    (found,) = channels(server, server.version)
    return found


NOBODY = "SELECT LAST_ERROR_MESSAGE"


def test_what_a_replica_of_57_says() -> None:
    log = {
        "SHOW RELAYLOG EVENTS IN 'relay.000002' FROM 367": events(["x", "y"], "Anonymous_Gtid"),
        NOBODY: [],
    }
    server = Recorded("5.7.44-log", {"SHOW SLAVE STATUS": [MYSQL_57], **log})
    channel = one(server)
    assert channel.cause()[0] == "error"
    assert (channel.lag, channel.gtid, channel.missing, channel.behind) == (None, False, None, True)
    stopped = failing(server, words_of(server.version), channel)
    assert stopped is not None
    assert (stopped.number, stopped.gtid) == (1062, "")
    assert stopped.found is not None
    assert stopped.found.place == "relay.000002:1000"
    assert "Table_map: table_id: 109 (shop.kv)" in stopped.found.lines()
    assert _skipping.way(words_of(server.version), stopped) == "counter"


def test_what_was_applied_since_the_last_checkpoint_is_not_what_failed() -> None:
    """Positions of a server with workers are its last checkpoint's: the first transaction there is long applied."""
    said = "Worker 1 failed executing transaction 'ANONYMOUS' at source log {}, end_log_pos {}; Duplicate entry '2'"
    log = [
        *events(["w", "x"], "Anonymous_Gtid"),
        event(2000, "Rotate", 2047, "relay.000003;pos=4"),
        event(4, "Rotate", 0, "mysql-bin.000008;pos=4"),
        *events(["y", "z"], "Anonymous_Gtid")[2:],
    ]

    def stopped(file: str, end: int) -> Failing:
        answers = {"SHOW SLAVE STATUS": [MYSQL_57], "SHOW RELAYLOG EVENTS": log}
        server = Recorded("5.7.44", {**answers, NOBODY: [{"said": said.format(file, end)}]})
        found = failing(server, words_of(server.version), one(server))
        assert found is not None
        return found

    second = stopped("mysql-bin.000007", 1955)
    assert second.found is not None
    assert "Write_rows: table_id: 109 number 1" in second.found.lines()
    assert second.name == "mysql-bin.000007:1986"
    later = stopped("mysql-bin.000008", 1455)
    assert later.found is not None
    assert (later.found.source, later.name) == ("mysql-bin.000008", "mysql-bin.000008:1486")
    unseen = stopped("mysql-bin.000009", 1455)
    assert (unseen.found, unseen.name) == (None, "")


def test_a_worker_of_80_names_the_transaction_and_others_went_on() -> None:
    gtid = "SET @@SESSION.GTID_NEXT= '{}'"
    log = events([gtid.format(f"{UUID}:{n}") for n in (5, 6, 7)])
    said = (
        f"Worker 1 failed executing transaction '{UUID}:6' at master log binlog.000001; Duplicate entry '2'"
    )
    server = Recorded(
        "8.0.36", {"SHOW REPLICA STATUS": [MYSQL_80], "SHOW RELAYLOG EVENTS": log, NOBODY: [{"said": said}]}
    )
    channel = one(server)
    assert (channel.gtid, channel.missing) == (True, 2)
    stopped = failing(server, words_of(server.version), channel)
    assert stopped is not None
    assert (stopped.gtid, stopped.error) == (f"{UUID}:6", said)
    assert stopped.found is not None
    assert "Write_rows: table_id: 109 number 1" in stopped.found.lines()
    assert _skipping.way(words_of(server.version), stopped) == "empty"


def test_of_several_domains_the_quoted_one_failed() -> None:
    log = events(["GTID 0-13-13", "BEGIN GTID 7-13-1", "BEGIN GTID 7-13-2", "BEGIN GTID 0-13-14"])
    log.insert(14, event(2170, "Query", 2180, 'insert into shop.kv values (22,"a")'))
    server = Recorded(
        "11.4.2-MariaDB", {"SHOW ALL SLAVES STATUS": [MARIADB_11], "SHOW RELAYLOG 'east' EVENTS": log}
    )
    channel = one(server)
    assert (channel.name, channel.missing) == ("east", 2)
    stopped = failing(server, words_of(server.version), channel)
    assert stopped is not None
    assert stopped.gtid == "7-13-2"


def test_what_cannot_be_told_is_not_guessed() -> None:
    """Two domains wait, and the error quotes neither: nothing is skipped."""
    row = {**MARIADB_11, "Last_SQL_Error": "Error 'Duplicate entry' on query. Query: 'insert something else'"}
    log = events(["BEGIN GTID 7-13-2", "BEGIN GTID 0-13-14"])
    server = Recorded("11.4.2-MariaDB", {"SHOW ALL SLAVES STATUS": [row], "SHOW RELAYLOG": log})
    stopped = failing(server, words_of(server.version), one(server))
    assert stopped is not None
    assert (stopped.found, stopped.why) == (None, "the relay log does not show the transaction that failed")
    blind = Recorded(
        "5.7.44", {"SHOW SLAVE": [MYSQL_57], "SHOW RELAYLOG": Failed("Access denied (1227)"), NOBODY: []}
    )
    stopped = failing(blind, words_of(blind.version), one(blind))
    assert stopped is not None
    assert stopped.told()["note"] == "the relay log cannot be shown: Access denied (1227)"


def test_a_long_relay_log_is_read_in_parts_and_the_next_file_too() -> None:
    first = events([f"GTID 0-1-{n}" for n in range(1, 150)])
    rest = events(["GTID 0-1-150"])
    row = {**MARIADB_11, "Connection_name": "", "Gtid_Slave_Pos": "0-1-149", "Gtid_IO_Pos": "0-1-150"}

    class Parts(Recorded):
        def rows(self, sql: str, *, seconds: float = 10) -> list[dict[str, Any]]:
            found = re.search(r"IN '(relay\.\d+)' FROM (\d+) LIMIT (\d+)", sql)
            if found is None:
                return super().rows(sql)
            log = first if found[1] == "relay.000002" else rest
            return [each for each in log if each["Pos"] >= int(found[2])][: int(found[3])]

    server = Parts("10.11.6-MariaDB", {"SHOW ALL": [row]})
    stopped = failing(server, words_of(server.version), one(server))
    assert stopped is not None
    assert stopped.found is not None
    assert (stopped.gtid, stopped.found.place) == ("0-1-150", "relay.000003:1000")


@pytest.mark.parametrize(
    ("change", "cause", "says"),
    [
        ({}, "nothing", "it has applied all it has received"),
        ({"Slave_SQL_Running": "No"}, "stopped", "its SQL thread is stopped"),
        (
            {"Slave_SQL_Running": "No", "Slave_IO_Running": "No"},
            "stopped",
            "its IO and SQL thread is stopped",
        ),
        (
            {"Slave_IO_Running": "Connecting", "Last_IO_Errno": 2003},
            "connection",
            "the source does not answer",
        ),
        ({"Slave_IO_Running": "No", "Last_IO_Errno": 1236}, "connection", "build the replica anew"),
        ({"Slave_IO_Running": "Connecting", "Last_IO_Errno": 1045}, "connection", "replication account"),
        ({"SQL_Delay": 3600, "Exec_Master_Log_Pos": 1}, "delay", "a delayed replica"),
        ({"Exec_Master_Log_Pos": 1}, "load", "it receives faster than it applies"),
        (
            {"Exec_Master_Log_Pos": 1, "Slave_SQL_Running_State": "Waiting for table metadata lock"},
            "lock",
            "Waiting for table metadata lock",
        ),
        (
            {"Slave_IO_State": "Waiting for the slave SQL thread to free enough relay log space"},
            "space",
            "disk-full",
        ),
        ({"Slave_SQL_Running": "No", "Last_SQL_Errno": 1114}, "space", "disk-full"),
    ],
)
def test_what_holds_it_up(change: dict[str, Any], cause: str, says: str) -> None:
    well = {
        "Slave_SQL_Running": "Yes",
        "Last_SQL_Errno": 0,
        "Last_SQL_Error": "",
        "Exec_Master_Log_Pos": 9000,
    }
    told = one(Recorded("5.7.44", {"SHOW SLAVE STATUS": [{**MYSQL_57, **well, **change}]})).cause()
    assert told[0] == cause
    assert says in told[1]


def test_gtids_are_counted() -> None:
    assert lacking(f"{UUID}:1-8,\n{UUID[:-1]}3:5", f"{UUID}:1-3:5-6") == 4
    assert lacking("", f"{UUID}:1-3") == 0
    assert lacking(f"{UUID}:1-3:tag:1-4", f"{UUID}:1-3:tag:1-2") == 2
    assert intervals(f"{UUID}:1:tag:2") == {UUID: [(1, 1)], f"{UUID}:tag": [(2, 2)]}
    assert behind_by("0-1-10,2-3-4", "0-1-7") == 7
    assert behind_by("", "0-1-7") == 0


@pytest.mark.parametrize(
    ("version", "start", "counter", "names"),
    [
        (
            "5.7.44",
            "START SLAVE SQL_THREAD FOR CHANNEL 'c'",
            "sql_slave_skip_counter",
            "slave_parallel_workers",
        ),
        (
            "8.0.22",
            "START REPLICA SQL_THREAD FOR CHANNEL 'c'",
            "sql_slave_skip_counter",
            "slave_parallel_workers",
        ),
        (
            "8.0.36",
            "START REPLICA SQL_THREAD FOR CHANNEL 'c'",
            "sql_replica_skip_counter",
            "replica_parallel_workers",
        ),
        (
            "9.7.4",
            "START REPLICA SQL_THREAD FOR CHANNEL 'c'",
            "sql_replica_skip_counter",
            "replica_parallel_workers",
        ),
        ("10.3.39-MariaDB", "START SLAVE 'c' SQL_THREAD", "sql_slave_skip_counter", "slave_parallel_threads"),
        ("11.4.2-MariaDB", "START SLAVE 'c' SQL_THREAD", "sql_slave_skip_counter", "slave_parallel_threads"),
    ],
)
def test_words_are_the_servers_own(version: str, start: str, counter: str, names: str) -> None:
    words = words_of(version)
    assert words.statement("START", "c", ["sql"]) == start
    assert words.skip_counter == counter
    assert _workers.names(words)[0] == names


@pytest.mark.parametrize("version", ["5.6.51", "10.2.44-MariaDB", "5.5.5-10.1.48-MariaDB"])
def test_a_server_too_old_is_refused(version: str) -> None:
    with pytest.raises(Failed, match="the oldest whose replication is known"):
        words_of(version)


def test_workers_of_57_need_a_log_to_keep_the_order_and_80_does_not() -> None:
    have = {
        "slave_parallel_workers": "0",
        "slave_parallel_type": "DATABASE",
        "slave_preserve_commit_order": "OFF",
    }
    with pytest.raises(Failed, match="needs log_bin and log_slave_updates"):
        _workers.wanted(words_of("5.7.44"), have, 4, None, {"log_bin": "ON", "log_slave_updates": "OFF"})
    logs = {"log_bin": "ON", "log_slave_updates": "ON"}
    assert _workers.wanted(words_of("5.7.44"), have, 4, None, logs) == {
        "slave_parallel_workers": "4",
        "slave_parallel_type": "LOGICAL_CLOCK",
        "slave_preserve_commit_order": "ON",
    }
    assert not _workers.persists(words_of("5.7.44"))
    assert _workers.persists(words_of("8.0.11"))
    with pytest.raises(Failed, match="parallel_mode is MariaDB's"):
        _workers.wanted(words_of("8.0.36"), {}, 4, "optimistic", {})


def test_mariadbs_mode_is_changed_only_where_it_forbids_workers() -> None:
    words = words_of("10.11.6-MariaDB")
    for before, after in (
        ("OPTIMISTIC", "OPTIMISTIC"),
        ("NONE", "CONSERVATIVE"),
        ("MINIMAL", "CONSERVATIVE"),
    ):
        have = {"slave_parallel_threads": "0", "slave_parallel_mode": before}
        assert _workers.wanted(words, have, 4, None, {}) == {
            "slave_parallel_threads": "4",
            "slave_parallel_mode": after,
        }


@pytest.mark.parametrize(
    ("version", "workers", "using", "pos", "refused"),
    [
        ("10.11.6-MariaDB", "0", "No", "0-1-7,7-1-2", True),
        ("10.11.6-MariaDB", "0", "No", "0-1-7", False),
        ("10.11.6-MariaDB", "0", "No", "", False),
        ("10.11.6-MariaDB", "0", "Slave_Pos", "0-1-7,7-1-2", False),
        ("10.11.6-MariaDB", "2", "No", "0-1-7,7-1-2", False),  # they are at work already
        ("5.7.44", "0", "No", "", False),
    ],
)
def test_first_workers_of_mariadb_by_position_are_refused_where_it_knows_several_domains(
    version: str, workers: str, using: str, pos: str, refused: bool
) -> None:
    row = {**(MARIADB_11 if "Maria" in version else MYSQL_57), "Using_Gtid": using, "Gtid_Slave_Pos": pos}
    server = Recorded(version, {"SHOW": [row], "SELECT @@global.gtid_slave_pos": [{"pos": pos}]})
    have = {"slave_parallel_threads": workers}
    said = _workers.objection(server, words_of(version), [one(server)], have)
    assert (said is not None) is refused
    if said:
        assert "applies by position (east) and knows 2 GTID domains" in said


def test_gaps_may_be_before_a_transaction_without_gtid() -> None:
    shown = [
        {"Variable_name": "slave_parallel_workers", "Value": "4"},
        {"Variable_name": "slave_preserve_commit_order", "Value": "OFF"},
    ]
    log = {
        "SHOW RELAYLOG EVENTS": events(["x", "y"], "Anonymous_Gtid"),
        NOBODY: [],
        "SHOW GLOBAL VARIABLES": shown,
    }
    server = Recorded("5.7.44", {"SHOW SLAVE STATUS": [MYSQL_57], **log})
    channel = one(server)
    stopped = failing(server, words_of(server.version), channel)
    assert stopped is not None

    class Seen:
        words = words_of("5.7.44")
        session = server

    seen: Any = Seen()
    assert "there may be gaps" in str(_skipping.objection(seen, channel, stopped))
    shown[0]["Value"] = "0"
    assert _skipping.objection(seen, channel, stopped) is None


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"mode": "workers"}, "needs workers"),
        ({"mode": "workers", "workers": 0}, "expected 1 to 1024"),
        ({"mode": "skipevent"}, "needs errors"),
        ({"mode": "skipevent", "errors": [1146]}, "errors has 1146"),
        ({"mode": "startreplica", "threads": ["sq"]}, "expected io, sql or both"),
        ({"channel": "it's"}, "in no channel's name"),
    ],
)
def test_parameters_out_of_range_are_refused(params: dict[str, Any], says: str) -> None:
    every = {each.name: each.default for each in mysql_replication.PARAMS}
    assert says in str(mysql_replication.check_params({**every, **params}))
    assert mysql_replication.check_params(every) is None
