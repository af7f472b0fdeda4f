"""What servers that are not at hand answer: MySQL 5.7 to 9, MariaDB 11; who keeps which binary logs."""

from __future__ import annotations

from typing import Any

import pytest

from remedy.agent.kinds import Failed
from remedy.modules.controller._binlogs import Binlog, judge
from remedy.modules.controller._mysql import client_options
from remedy.modules.controller._replicas import (
    Answer,
    Replica,
    find_replicas,
    forgotten,
    listing,
    may_look,
    position,
    status_of,
)

NOW = 1_000_000.0
FILES = [Binlog(f"binlog.00000{n}", 1 << 20, 1 << 20, NOW - (10 - n) * 86400) for n in range(1, 8)]
PARAMS = {"keep": 86400, "keep_files": 2, "backed_up_until": None}

MYSQL_84 = {
    "Replica_IO_State": "Waiting for source to send event",
    "Source_Host": "db1",
    "Source_Log_File": "binlog.000007",
    "Relay_Source_Log_File": "binlog.000004",
    "Replica_IO_Running": "Yes",
    "Replica_SQL_Running": "Yes",
    "Last_SQL_Error": "",
    "Source_Server_Id": 1,
}
MYSQL_57 = {
    "Slave_IO_State": "",
    "Master_Host": "db1",
    "Master_Log_File": "binlog.000007",
    "Relay_Master_Log_File": "binlog.000003",
    "Slave_IO_Running": "Connecting",
    "Slave_SQL_Running": "No",
    "Last_SQL_Error": "Duplicate entry '1' for key 'PRIMARY'",
    "Master_Server_Id": 1,
}


class Recorded:
    """A server that answers what was recorded, and nothing else."""

    def __init__(self, **answers: list[dict[str, Any]]) -> None:
        self._answers = {name.replace("_", " "): rows for name, rows in answers.items()}

    def rows(self, sql: str, *, seconds: float = 10) -> list[dict[str, Any]]:
        return self._answers[sql]


@pytest.mark.parametrize(
    ("version", "lists", "tells"),
    [
        ("5.7.44-log", "SHOW SLAVE HOSTS", "SHOW SLAVE STATUS"),
        ("8.0.21", "SHOW SLAVE HOSTS", "SHOW SLAVE STATUS"),
        ("8.0.22", "SHOW REPLICAS", "SHOW REPLICA STATUS"),
        ("9.7.0", "SHOW REPLICAS", "SHOW REPLICA STATUS"),
        ("10.3.39-MariaDB-0+deb10u2", "SHOW SLAVE HOSTS", "SHOW ALL SLAVES STATUS"),
        ("11.4.2-MariaDB-log", "SHOW SLAVE HOSTS", "SHOW ALL SLAVES STATUS"),
    ],
)
def test_statements_are_chosen_by_the_servers_version(version: str, lists: str, tells: str) -> None:
    assert (listing(version), status_of(version)) == (lists, tells)


def test_a_position_is_what_is_applied_not_what_is_received() -> None:
    assert position(Answer("db2", 2, "8.4.0", [MYSQL_84]), 1) == ("binlog.000004", "it has come so far")
    needs, why = position(Answer("db2", 2, "5.7.44", [MYSQL_57]), 1)
    assert needs == "binlog.000003"
    assert why == "its IO and SQL thread is stopped: Duplicate entry '1' for key 'PRIMARY'"
    assert position(Answer("db2", 2, "8.4.0", [{**MYSQL_84, "Source_Server_Id": 9}]), 1)[0] is None
    assert position(Answer("db2", 2, "8.4.0", [{**MYSQL_84, "Relay_Source_Log_File": ""}]), 1)[0] is None
    assert position(Answer("db2", 2, "8.4.0", []), 1) == (
        None,
        "it is no replica (any more): it has no replication status",
    )


def test_the_union_of_lists_threads_and_names_each_asked_once() -> None:
    server = Recorded(
        SHOW_REPLICAS=[
            {"Server_Id": 2, "Host": "db2", "Port": 3306, "Source_Id": 1, "Replica_UUID": "a"},
            {"Server_Id": 3, "Host": "", "Port": 3306, "Source_Id": 1, "Replica_UUID": "b"},
            {"Server_Id": 4, "Host": "", "Port": 3306, "Source_Id": 1, "Replica_UUID": "c"},
        ],
        SHOW_FULL_PROCESSLIST=[
            {"Id": 7, "User": "repl", "Host": "10.0.0.2:4000", "Command": "Binlog Dump GTID"},
            {"Id": 8, "User": "repl", "Host": "10.0.0.3:4001", "Command": "Binlog Dump"},
            {"Id": 9, "User": "cdc", "Host": "10.0.0.9:4002", "Command": "Binlog Dump"},
            {"Id": 10, "User": "app", "Host": "10.0.0.4:4003", "Command": "Query"},
        ],
    )
    asked: list[str] = []

    def ask(host: str, port: int) -> Answer:
        asked.append(f"{host}:{port}")
        numbers = {"db2": 2, "10.0.0.2": 2, "10.0.0.3": 3}
        if host not in numbers:
            raise Failed("no answer")
        return Answer(host, numbers[host], "8.4.0", [MYSQL_84])

    found = {each.name: each for each in find_replicas(server, "8.4.0", 1, ["db2:3306", "db7:3307"], ask)}
    assert asked == ["db2:3306", "db7:3307", "10.0.0.2:3306", "10.0.0.3:3306", "10.0.0.9:3306"]
    assert set(found) == {
        "db2:3306",
        "db7:3307",
        "the reader at 10.0.0.3",
        "the reader at 10.0.0.9",
        "the replica with server id 4",
    }
    assert [name for name, each in found.items() if each.needs is None] == [
        "db7:3307",
        "the reader at 10.0.0.9",
        "the replica with server id 4",
    ]
    stay, gone = forgotten(list(found.values()), ["db2", "db7", "10.0.0.9", "4"])
    assert [each.name for each in stay] == [
        "db2:3306",
        "the reader at 10.0.0.3",
    ]  # db2 answers: it is not forgotten
    assert len(gone) == 3


def test_an_account_that_sees_nobody_may_not_judge() -> None:
    all_of_it = [{"Grants for r@%": "GRANT SELECT, PROCESS, BINLOG ADMIN ON *.* TO `r`@`%`"}]
    may_look(Recorded(SHOW_GRANTS=all_of_it))
    with pytest.raises(Failed, match="GRANT PROCESS"):
        may_look(Recorded(SHOW_GRANTS=[{"Grants for r@%": "GRANT ALL PRIVILEGES ON `shop`.* TO `r`@`%`"}]))


def names(replicas: list[Replica], **params: Any) -> list[str]:
    verdicts = judge(FILES, NOW, {**PARAMS, **params}, replicas)
    taken = [verdict.take for verdict in verdicts]
    assert taken == sorted(taken, reverse=True), "PURGE goes in order"
    assert all(verdict.reason for verdict in verdicts)
    return [verdict.file.name[-1] for verdict in verdicts if verdict.take]


def test_what_may_go() -> None:
    at_4 = Replica("db2", "binlog.000004", "it has come so far", 2, reached=True)
    assert names([]) == ["1", "2", "3", "4", "5"]
    assert names([at_4]) == ["1", "2", "3"]
    assert names([at_4, Replica("db3", None, "it cannot be asked")]) == []
    assert names([Replica("db3", "mysql-bin.000009", "", 3, reached=True)]) == []
    assert names([], keep=5.5 * 86400) == ["1", "2", "3", "4"]
    assert names([], keep=100 * 86400) == []
    assert names([], keep_files=5) == ["1", "2"]
    assert names([], backed_up_until="binlog.000003") == ["1", "2"]
    assert names([], backed_up_until="1970-01-05T00:00:00") == ["1", "2"]
    with pytest.raises(Failed, match="neither a binary log of this server nor a time"):
        names([], backed_up_until="yesterday")


def test_an_option_file() -> None:
    text = (
        '# who\n[mysqld]\nuser = no\n[client]\nuser=root\npassword = "a b#c"\nskip-ssl\n!includedir /etc/x\n'
    )
    assert client_options(text) == {"user": "root", "password": "a b#c", "skip_ssl": ""}
    with pytest.raises(Failed, match="option file"):
        client_options("user = before any section\n")
