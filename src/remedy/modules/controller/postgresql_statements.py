"""Tell which statements cost a PostgreSQL server most, from pg_stat_statements.

Returns `installed` (false: the extension is not made in login_db; `loaded` says whether the server has it at hand),
and `statements`, the most expensive first (db, user, query, calls, total and mean in milliseconds, rows, share: percent
of all time).
"""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import Param, Probe
from remedy.modules.controller._postgres import LOGIN_PARAMS, LOGIN_VARIABLES, opened, plain, quoted

PARAMS = (
    Param("limit", "int", default=10, help="So many."),
    Param("mean", "duration", default=0, help="Only those that take so long on average."),
    *LOGIN_PARAMS,
)
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- postgresql_statements: {limit: 5, mean: 500ms}
"""


def kind(params: dict[str, Any]) -> type[Probe]:
    return Statements


class Statements(Probe):
    def read(self) -> dict[str, Any]:
        """Return the statements."""
        server = opened(self.host, self.params)
        there = server.rows(
            "SELECT n.nspname AS schema FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
            "WHERE e.extname = 'pg_stat_statements'"
        )
        loaded = bool(server.rows("SELECT 1 FROM pg_settings WHERE name = 'pg_stat_statements.max'"))
        if not there or not loaded:
            return {"installed": bool(there), "loaded": loaded, "statements": []}
        rows = server.rows(
            sql(server.major, there[0]["schema"]), [self.params["mean"] * 1000, self.params["limit"]], seconds=30
        )
        return {"installed": True, "loaded": True, "statements": [plain(row) for row in rows]}


def sql(major: int, schema: str) -> str:
    """Return the statement: columns were renamed in version 13."""
    total, mean = ("total_exec_time", "mean_exec_time") if major >= 13 else ("total_time", "mean_time")
    return (
        "SELECT d.datname AS db, pg_get_userbyid(s.userid) AS user, "
        "left(regexp_replace(s.query, '\\s+', ' ', 'g'), 300) AS query, "
        f" s.calls, round(s.{total}::numeric, 1) AS total, round(s.{mean}::numeric, 2) AS mean, s.rows, "
        f"round((100 * s.{total} / NULLIF(sum(s.{total}) OVER (), 0))::numeric, 1) AS share "
        f"FROM {quoted(schema)}.pg_stat_statements s LEFT JOIN pg_database d ON d.oid = s.dbid "
        f"WHERE s.{mean} >= %s ORDER BY s.{total} DESC LIMIT %s"
    )
