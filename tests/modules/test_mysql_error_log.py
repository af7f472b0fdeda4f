"""Error logs as MySQL 5.7 to 9 and MariaDB write them: which errors, when, of which tables, by whom."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from remedy.modules.controller.mysql_errors import PATTERNS, Found, numbers, tables_of
from remedy.modules.target._mysql_log import MysqlLog, moment

LINES = {
    # MySQL 8 and 9
    "2024-05-01T10:00:00.123456Z 8 [ERROR] [MY-010584] [Repl] Replica SQL for channel '': Worker 1 failed executing "
    "transaction 'a:7'; Could not execute Write_rows event on table shop.orders; Duplicate entry '7' for key "
    "'orders.PRIMARY', Error_code: 1062; handler error HA_ERR_FOUND_DUPP_KEY, Error_code: MY-001062": ["1062"],
    "2024-05-01T10:00:00.123456Z 8 [ERROR] [MY-010584] [Repl] Replica I/O for channel '': Error connecting to source "
    "'repl@db1:3306'. This was attempt 1/10, with a delay of 60 seconds between attempts. Message: "
    "Can't connect to MySQL server on 'db1:3306' (111), Error_code: MY-002003": ["2003"],
    "2024-05-01T10:00:00.000000+02:00 9 [ERROR] [MY-010045] [Server] Event Scheduler: [root@localhost][shop.nightly] "
    "Table 'shop.customers' doesn't exist": ["1146"],
    # MySQL 5.7
    "2024-05-01T10:00:00.123456Z 4 [ERROR] Slave SQL for channel '': Could not execute Write_rows event on table "
    "shop.orders; Duplicate entry '7' for key 'PRIMARY', Error_code: 1062": ["1062"],
    # MariaDB
    "2024-05-01  9:00:00 12 [ERROR] Event Scheduler: [root@localhost][shop.nightly] Duplicate entry '1' for key "
    "'PRIMARY'": ["1062"],
    "2024-05-01 19:00:00 5 [ERROR] Slave I/O: error connecting to master 'repl@db1:3306' - retry-time: 60  "
    "message: Can't connect to server on 'db1' (111), Internal MariaDB error code: 2003": ["2003"],
    "2024-05-01 19:00:00 5 [Warning] Aborted connection 5 to db: 'shop' (Too many connections)": ["1040"],
    "2024-05-01 19:00:00 5 [Note] Server socket created on IP: '0.0.0.0', port: '1040'.": [],
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_a_line_tells_its_errors_and_its_time(line: str) -> None:
    assert numbers(line) == LINES[line]
    assert moment(line) is not None


def test_times_are_read_with_their_zone() -> None:
    assert moment("2024-05-01T10:00:00.5Z x") == 1714557600.0
    assert moment("2024-05-01T12:00:00.5+02:00 x") == 1714557600.0
    local = time.mktime((2024, 5, 1, 9, 0, 0, 0, 0, -1))
    assert moment("2024-05-01  9:00:00 12 [ERROR]") == local
    assert moment("Version: '10.11'  socket: ...") is None


def test_tables_and_whether_replication_says_it() -> None:
    found = Found()
    for line in LINES:
        for number in numbers(line):
            found.add(number, line, last=float(moment(line) or 0))
    told = found.told()
    assert told["1062"]["count"] == 3
    assert told["1062"]["tables"] == ["orders"]
    assert told["1062"]["replication"]
    assert told["1146"]["tables"] == ["shop.customers"]
    assert not told["1146"]["replication"]
    assert told["2003"]["replication"]
    assert tables_of("INSERT INTO `shop`.`orders` VALUES (1)") == ["shop.orders"]
    found.add("1146", "now")
    assert found.told()["1146"]["last"] is None, "now"


def test_only_the_last_while_of_a_file_is_told(tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    old, new = (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - ago)) for ago in (7200, 60))
    log.write_text(
        f"{old} 1 [ERROR] Duplicate entry '1' for key 'old'\n{new} 2 [ERROR] Duplicate entry '2' for key 'new'\n"
        f"{new} 3 [Note] nothing\n"
    )
    params: dict[str, Any] = {
        "path": str(log),
        "unit": None,
        "since": 3600,
        "patterns": list(PATTERNS.values()),
    }
    told = MysqlLog(params, None).read()
    assert [line["text"][-5:] for line in told["lines"]] == ["'new'"]
    gone = MysqlLog({**params, "path": os.fspath(tmp_path / "none")}, None).read()
    assert (gone["lines"], "No such file" in gone["why"]) == ([], True)
