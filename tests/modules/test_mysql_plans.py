"""Indexes that EXPLAIN's plans call for, as MySQL 5.7 to 9 and MariaDB write them; digests of MySQL."""

from __future__ import annotations

from typing import Any

from remedy.modules.controller._plans import of_plan
from remedy.modules.controller.mysql_digest import _question, statement

MYSQL_8 = {
    "query_block": {
        "select_id": 1,
        "nested_loop": [
            {"table": {"table_name": "o", "access_type": "ALL", "rows_examined_per_scan": 90000, "filtered": "1.00",
                       "attached_condition": "((`shop`.`o`.`state` = 'open') and (`shop`.`o`.`created` > '2024') and "
                                             " (`shop`.`o`.`customer` = 17) and (`shop`.`o`.`note` <> 'x'))"}},
            {"table": {"table_name": "c", "access_type": "eq_ref", "key": "PRIMARY", "rows_examined_per_scan": 1}},
        ],
    }
}  # fmt: skip
MARIADB = {
    "query_block": {
        "select_id": 1,
        "nested_loop": [
            {"table": {"table_name": "events", "access_type": "ALL", "rows": 3000, "filtered": 100,
                       "attached_condition": "events.customer = 1 and sleep(1) = 0"}},
        ],
    }
}  # fmt: skip
MYSQL_57: dict[str, Any] = {
    "query_block": {
        "select_id": 1,
        "ordering_operation": {
            "using_filesort": True,
            "table": {"table_name": "jobs", "access_type": "ALL", "rows_examined_per_scan": 500,
                      "attached_condition": "(`kpi`.`jobs`.`state` in ('a','b'))"},
        },
    }
}  # fmt: skip

MYSQL_9 = {
    "query": "/* select#1 */ select count(0) AS `count(*)` from `d`.`events` `e` where ...",
    "query_plan": {
        "inputs": [
            {
                "inputs": [{"alias": "e", "operation": "Table scan on e", "table_name": "events", "schema_name": "d",
                            "access_type": "table", "used_columns": ["customer", "note"], "estimated_rows": 3000.0}],
                "condition": "((e.customer = 1) and (e.note > 5) and (sleep(1) = 0))",
                "access_type": "filter",
                "estimated_rows": 1.0,
            },
            {"access_type": "index", "index_access_type": "index_lookup", "table_name": "t", "estimated_rows": 1.0},
        ],
        "operation": "Aggregate: count(0)",
        "access_type": "aggregate",
    },
    "json_schema_version": "2.0",
}  # fmt: skip


def test_plans_of_mysql_9() -> None:
    (scan,) = of_plan(MYSQL_9, "SELECT COUNT(*) FROM events e WHERE customer = 1 AND note > 5", "other")
    assert (scan.db, scan.table, scan.rows, scan.columns) == ("d", "events", 3000, ("customer", "note"))


def test_equality_first_then_one_range_and_never_a_difference() -> None:
    query = "SELECT * FROM shop.orders AS o JOIN customers c ON c.id = o.customer WHERE o.state = 'open'"
    (scan,) = of_plan(MYSQL_8, query, "other")
    assert (scan.db, scan.table, scan.rows) == ("shop", "orders", 90000)
    assert scan.columns == ("state", "customer", "created")
    assert scan.advice == (
        "CREATE INDEX `orders_state_customer_created` ON `shop`.`orders` (`state`, `customer`, `created`)"
    )


def test_plans_of_mariadb_and_of_older_servers() -> None:
    (scan,) = of_plan(MARIADB, "SELECT COUNT(*) FROM events WHERE customer = 1 AND SLEEP(1) = 0", "drill")
    assert scan.advice == "CREATE INDEX `events_customer` ON `drill`.`events` (`customer`)"
    (scan,) = of_plan(MYSQL_57, "SELECT * FROM kpi.jobs WHERE state IN ('a','b') ORDER BY id", "")
    assert scan.advice == "CREATE INDEX `jobs_state` ON `kpi`.`jobs` (`state`)"


def test_a_table_without_a_condition_has_no_advice() -> None:
    plan = {"query_block": {"table": {"table_name": "t", "access_type": "ALL", "rows": 7}}}
    (scan,) = of_plan(plan, "SELECT * FROM t", "d")
    assert (scan.columns, scan.advice) == ((), "")
    derived = {"query_block": {"table": {"table_name": "<derived2>", "access_type": "ALL", "rows": 7}}}
    assert of_plan(derived, "SELECT * FROM (SELECT 1) x", "d") == []


def test_digests_have_samples_only_where_the_server_keeps_them() -> None:
    params = {"average": 0.5, "db": "it's", "order": "scans", "limit": 3}
    for version, sample in [("5.7.44", "NULL AS sample"), ("9.1.0", "QUERY_SAMPLE_TEXT AS sample"),
                            ("11.4.2-MariaDB", "NULL AS sample")]:  # fmt: skip
        (sql,) = _question(version, params)
        assert sample in sql
        assert "AVG_TIMER_WAIT >= 500000000000 " in sql
        assert "SCHEMA_NAME = 'it''s'" in sql
        assert sql.endswith("ORDER BY SUM_NO_INDEX_USED DESC LIMIT 3")
    told = statement({"statement": "SELECT ?", "db": None, "digest": "ab", "calls": 2, "total": 3_000_000_000_000,
                      "average": 1_500_000_000_000, "longest": 2_000_000_000_000, "examined": 10, "sent": 1, "scans": 2,
                      "first": "2024-01-01 00:00:00", "last": "2024-01-02 00:00:00", "sample": None})  # fmt: skip
    assert (told["seconds"], told["average"], told["longest"], told["without_index"]) == (3.0, 1.5, 2.0, 2)
