"""Tell which statements cost a MySQL or MariaDB server most, from its statement digests (performance_schema).

A digest is a statement without its values. They are counted where performance_schema and its digests are on: MySQL
by default, MariaDB only where the option files say performance_schema=ON; otherwise `enabled` is false and `reason`
says what is missing. Returns `statements`, the costliest first by `order` (statement, db, digest, calls, seconds,
average, longest, rows_examined, rows_sent, without_index: how often no index was used, sample: with values, MySQL
from 8.0, first, last), and `full_scans`, those of them that read without an index. What remedy itself asks is left
out.
"""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import Failed, Param, Probe
from remedy.modules.controller._doors import opened
from remedy.modules.controller._mysql import LOGIN_PARAMS, LOGIN_VARIABLES, Session, is_mariadb, number_of

_ORDERS = {"seconds": "SUM_TIMER_WAIT", "average": "AVG_TIMER_WAIT", "calls": "COUNT_STAR",
           "rows": "SUM_ROWS_EXAMINED", "scans": "SUM_NO_INDEX_USED"}  # fmt: skip
_PICO = 1e12

PARAMS = (
    Param("order", default="seconds", choices=tuple(_ORDERS), help="What the costliest are judged by."),
    Param("db", help="Only statements of this database."),
    Param("average", "float", default=0.0, help="Only those that take so many seconds on average."),
    Param("limit", "int", default=10, help="So many at most."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- mysql_digest: {average: 0.5, limit: 5}
  register: digests
"""


def check_params(params: dict[str, Any]) -> str | None:
    if isinstance(params["limit"], int) and not 1 <= params["limit"] <= 1000:
        return "limit must be 1 to 1000"
    return None


def kind(params: dict[str, Any]) -> type[Probe]:
    return Digest


class Digest(Probe):
    """Reads them."""

    def read(self) -> dict[str, Any]:
        """Return the costliest statements."""
        server = opened(self.host, self.params, looks=True)
        why = missing(server)
        if why:
            return {"enabled": False, "reason": why, "statements": [], "full_scans": []}
        found = [statement(row) for row in server.rows(*_question(server.version, self.params))]
        scans = [each for each in found if each["without_index"]]
        return {"enabled": True, "reason": "", "statements": found, "full_scans": scans}


def missing(server: Session) -> str:
    """Return why there are no digests, "" where there are."""
    on = server.rows("SHOW GLOBAL VARIABLES LIKE 'performance_schema'")
    if not on or str(on[0]["Value"]).upper() != "ON":
        return (
            "performance_schema is off: set performance_schema=ON in the option files and restart the server"
        )
    try:
        rows = server.rows(
            "SELECT ENABLED AS enabled FROM performance_schema.setup_consumers WHERE NAME = 'statements_digest'"
        )
    except Failed as failed:
        return f"the account may not read performance_schema: {failed.message}"
    if not rows or str(rows[0]["enabled"]).upper() != "YES":
        return "the consumer statements_digest is off: UPDATE performance_schema.setup_consumers"
    return ""


def _question(version: str, params: dict[str, Any]) -> tuple[str]:
    """Return the statement; what comes from parameters is a number, a choice, or quoted here."""
    sample = "QUERY_SAMPLE_TEXT" if not is_mariadb(version) and number_of(version) >= (8, 0) else "NULL"
    where = [
        "(SCHEMA_NAME IS NULL OR SCHEMA_NAME NOT IN ('performance_schema', 'information_schema', 'mysql', 'sys'))",
        "DIGEST_TEXT IS NOT NULL",
        f"AVG_TIMER_WAIT >= {float(params['average']) * _PICO:.0f}",
    ]
    if params["db"]:
        quoted = str(params["db"]).replace("\\", "\\\\").replace("'", "''")
        where.append(f"SCHEMA_NAME = '{quoted}'")
    return (
        f"SELECT DIGEST_TEXT AS statement, SCHEMA_NAME AS db, DIGEST AS digest, COUNT_STAR AS calls, "
        f"SUM_TIMER_WAIT AS total, AVG_TIMER_WAIT AS average, MAX_TIMER_WAIT AS longest, "
        f"SUM_ROWS_EXAMINED AS examined, SUM_ROWS_SENT AS sent, SUM_NO_INDEX_USED AS scans, "
        f"FIRST_SEEN AS first, LAST_SEEN AS last, {sample} AS sample "
        f"FROM performance_schema.events_statements_summary_by_digest WHERE {' AND '.join(where)} "
        f"ORDER BY {_ORDERS[params['order']]} DESC LIMIT {int(params['limit'])}",
    )


def statement(row: dict[str, Any]) -> dict[str, Any]:
    """Return one statement from a row; times come in picoseconds."""
    return {
        "statement": str(row["statement"]),
        "db": str(row["db"] or ""),
        "digest": str(row["digest"] or ""),
        "calls": int(row["calls"]),
        "seconds": round(int(row["total"]) / _PICO, 3),
        "average": round(int(row["average"]) / _PICO, 4),
        "longest": round(int(row["longest"]) / _PICO, 3),
        "rows_examined": int(row["examined"]),
        "rows_sent": int(row["sent"]),
        "without_index": int(row["scans"]),
        "first": str(row["first"]),
        "last": str(row["last"]),
        "sample": str(row["sample"] or ""),
    }
