"""Run statements on MySQL or MariaDB, each with its arguments quoted by the client.

Names and parameters are those of community.mysql.mysql_query. One SELECT, SHOW or EXPLAIN (no ANALYZE), alone, without
INTO and without locks, is a probe: it runs in a read-only transaction, which is rolled back, and may stand in diagnose.
`reads: true` demands that. Everything else is a command: it runs as it is, is skipped in check mode, and cannot be
taken back. Returns `query_result` (a list of rows for each statement, each row a mapping), `rowcount` (a list)
and `executed_queries`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from remedy.agent.kinds import REQUIRED, Command, Failed, Param, Probe
from remedy.modules.controller._doors import opened
from remedy.modules.controller._mysql import LOGIN_PARAMS, LOGIN_VARIABLES, Session

PARAMS = (
    Param("query", "raw", default=REQUIRED, help="A statement, or a list of them, with %s or %(name)s for arguments."),
    Param("positional_args", "list", help="The arguments for %s, in every statement the same."),
    Param("named_args", "dict", help="The arguments for %(name)s."),
    Param("single_transaction", "bool", default=False, help="All statements in one transaction, or none."),
    Param("login_db", help="The default database."),
    Param("reads", "bool", default=False, help="Refuse what does not only read: allowed in diagnose."),
    Param("timeout", "duration", default=30, help="How long one statement may take; then the connection is closed."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- mysql_query:
    query: SELECT state, COUNT(*) AS jobs FROM report_tasks WHERE updated < NOW() - INTERVAL %s HOUR GROUP BY state
    positional_args: [2]
    login_db: kpi
  register: stuck
- mysql_query:
    query:
      - UPDATE orders SET state = 'open' WHERE id = %(order)s
      - DELETE FROM locks WHERE order_id = %(order)s
    named_args: {order: 17}
    single_transaction: true
"""

# What only reads, judged by words outside of texts, names in backquotes and comments.
_READS = re.compile(r"\s*\(*\s*(SELECT|SHOW|EXPLAIN|DESCRIBE|DESC|WITH|TABLE|VALUES)\b", re.IGNORECASE)
_WRITES = re.compile(
    r"\b(INTO|ANALYZE|INSERT|UPDATE|DELETE|REPLACE|FOR\s+UPDATE|FOR\s+SHARE|LOCK\s+IN\s+SHARE\s+MODE|CALL|"
    r"GET_LOCK|RELEASE_LOCK|RELEASE_ALL_LOCKS|SLEEP|BENCHMARK|NEXTVAL|SETVAL|LASTVAL|NEXT\s+VALUE|"
    r"MASTER_POS_WAIT|SOURCE_POS_WAIT|LOAD_FILE)\b|:=",
    re.IGNORECASE,
)
_HARMLESS = re.compile(r"^\s*SHOW\b", re.IGNORECASE)
_QUOTED = re.compile(
    r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`(?:[^`]|``)*`|#[^\n]*|--[ \t\n][^\n]*|/\*(?![!M]).*?\*/",
    re.DOTALL,
)


def check_params(params: dict[str, Any]) -> str | None:
    if params["positional_args"] and params["named_args"]:
        return "give positional_args or named_args, not both"
    if not statements(params["query"]) or not all(
        isinstance(each, str) for each in statements(params["query"])
    ):
        return "query must be a statement or a list of statements"
    if params["reads"] and not reads(params["query"]):
        return "with reads: true it takes one SELECT, SHOW or EXPLAIN (no ANALYZE), without INTO and without locks"
    return None


def kind(params: dict[str, Any]) -> type[Probe] | type[Command]:
    return Read if params.get("reads") is True or reads(params.get("query")) else Run


def statements(query: Any) -> list[Any]:
    """Return the statements of the parameter."""
    return list(query) if isinstance(query, list | tuple) else [query] if query else []


def reads(query: Any) -> bool:
    """Say whether it is one statement that only reads."""
    found = statements(query)
    if len(found) != 1 or not isinstance(found[0], str):
        return False
    bare = _QUOTED.sub(" ", found[0]).strip().rstrip(";")
    if ";" in bare or "/*" in bare or not _READS.match(bare):
        return False
    return bool(_HARMLESS.match(bare)) or not _WRITES.search(bare)


class Read(Probe):
    """Reads."""

    def read(self) -> dict[str, Any]:
        """Return the rows, read in a read-only transaction."""
        server = opened(self.host, self.params, looks=True)
        _enter(server, self.params)
        server.rows("START TRANSACTION READ ONLY")
        try:
            return _ran(server, self.params)
        finally:
            if server.alive:
                server.rows("ROLLBACK")


class Run(Command):
    """Runs."""

    interruptible = False

    def run(self) -> dict[str, Any]:
        """Run all; raises Failed with the server's own words."""
        server = opened(self.host, self.params)
        _enter(server, self.params)
        if not self.params["single_transaction"]:
            return {"rc": 0, **_ran(server, self.params)}
        server.rows("START TRANSACTION")
        try:
            found = _ran(server, self.params)
            server.rows("COMMIT")
        except Failed:
            if server.alive:
                server.rows("ROLLBACK")
            raise
        return {"rc": 0, **found}


def _enter(server: Session, params: dict[str, Any]) -> None:
    if params["login_db"]:
        server.rows(f"USE `{str(params['login_db']).replace('`', '``')}`")


def _ran(server: Session, params: dict[str, Any]) -> dict[str, Any]:
    args: Any = params["positional_args"] or params["named_args"] or None
    if isinstance(args, list):
        args = tuple(args)
    found, counts = [], []
    for query in statements(params["query"]):
        try:
            rows = server.rows(query, seconds=float(params["timeout"]), args=args)
        except Failed as failed:
            raise _ended(server, params, failed) if failed.cause == "timeout" else failed from None
        found.append([{str(name): _plain(value) for name, value in row.items()} for row in rows])
        counts.append(server.changed)
    return {"query_result": found, "rowcount": counts, "executed_queries": statements(params["query"])}


def _ended(server: Session, params: dict[str, Any], failed: Failed) -> Failed:
    """End a statement that took too long: the server would go on with it, though nobody listens any more."""
    try:
        opened(server.site, params).end(server.id, query=False)  # another session: this one is given up
    except Failed as error:
        return Failed(f"{failed.message}; it may run still: {error.message}", cause="timeout")
    return Failed(f"{failed.message}; it was ended (KILL {server.id})", cause="timeout")


def _plain(value: object) -> object:
    """Return a value as JSON has it."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime | date | timedelta):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "surrogateescape")
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        return str(value)
    return value
