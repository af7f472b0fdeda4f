"""mysql_query without a server: how long a statement may take."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from remedy.modules.controller.mysql_query import _patience, lasts


@pytest.mark.parametrize(("own", "left", "seconds"), [(30, None, 30), (30, 2.0, 2), (2, 30.0, 2), (30, 0.0, 1)])
def test_a_statement_may_take_what_it_says_and_what_its_task_has_left(
    own: float, left: float | None, seconds: float
) -> None:
    server = SimpleNamespace(site=SimpleNamespace(left=lambda: left))
    assert _patience(server, {"timeout": own}) == seconds  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "query",
    [
        "USE shop",
        "begin",
        "START TRANSACTION",
        "SET sql_log_bin = 0",
        "SET SESSION sql_mode = ''",
        "SET GLOBAL a = 1, SESSION b = 2",
        "SET @mine = 1",
        "SET NAMES latin1",
        "-- a remark\nSET autocommit = 0",
        "/*!50000 SET sql_log_bin = 0 */",
        "SELECT @mine := 1",
        "SELECT GET_LOCK('a', 1)",
        "SELECT id INTO @mine FROM t",
        "EXECUTE IMMEDIATE 'SET SESSION sql_mode = 1'",
        "BACKUP STAGE START",
        "CREATE TEMPORARY TABLE t (id INT)",
        "CREATE OR REPLACE TEMPORARY TABLE t (id INT)",
        "LOCK TABLES shop.kv WRITE",
        "FLUSH TABLES WITH READ LOCK",
        "XA START 'a'",
    ],
)
def test_what_may_outlive_its_statement_ends_the_session(query: str) -> None:
    assert lasts(query)


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO t VALUES ('SET; GET_LOCK')",
        "INSERT INTO t VALUES ('into @x')",
        "UPDATE t SET a = 1",
        "SET GLOBAL max_connections = 200",
        "SET @@GLOBAL.max_connections = 200",
        "SET PERSIST max_connections = 200;",
        "DELETE FROM `use`",
        "CREATE TABLE t (id INT)",
        "GRANT SELECT ON shop.* TO a@b",
    ],
)
def test_all_else_stays_in_the_runs_own_session(query: str) -> None:
    assert not lasts(query)
