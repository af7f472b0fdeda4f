"""Run statements on MySQL or MariaDB, each with its arguments quoted by the client.

Names and parameters are those of community.mysql.mysql_query. One SELECT, SHOW or EXPLAIN (no ANALYZE), alone, without
INTO and without locks, is a probe: it runs in a read-only transaction, which is rolled back, and may stand in diagnose.
`reads: true` demands that. Everything else is a command: it runs as it is, is skipped in check mode, and cannot be
taken back. Where its answer never comes it fails, and says that nobody knows whether it took effect: it is not tried
again. What a session keeps ends with its task: a transaction that is open is rolled back, and SET, USE, locks and
temporary tables do not reach the next one. Returns `query_result` (a list of rows for each statement, each row a
mapping), `rowcount` (a list) and `executed_queries`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from remedy.agent.kinds import REQUIRED, Command, Failed, Param, Probe
from remedy.modules.controller import _accounts
from remedy.modules.controller._doors import opened
from remedy.modules.controller._mysql import LOGIN_PARAMS, LOGIN_VARIABLES, Session
from remedy.modules.controller._site import Site

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
# What acts as a function, in a read-only transaction too: also in SHOW ... WHERE, and with its name in quotes.
_ACTS = re.compile(
    r"\b(GET_LOCK|RELEASE_LOCK|RELEASE_ALL_LOCKS|SLEEP|BENCHMARK|NEXTVAL|SETVAL|LASTVAL|LOAD_FILE|"
    r"(?:MASTER|SOURCE)_POS_WAIT|MASTER_GTID_WAIT|WAIT_FOR_EXECUTED_GTID_SET|WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS|"
    r"group_replication_(?!get_)\w+|asynchronous_connection_failover_\w+|service_(?:get|release)_\w*locks|"
    r"version_tokens_\w+|keyring_key_\w+|audit_log_\w+|\w*firewall_\w+|spider_\w+|sys_(?:exec|eval|set))\s*\(",
    re.IGNORECASE,
)
# What outlives its statement in the session; of SET all that is not GLOBAL or PERSIST and one variable alone.
_LASTS = re.compile(
    r"\s*(USE|BEGIN|START\s+TRANSACTION|XA|LOCK|BACKUP|FLUSH|HANDLER|PREPARE|EXECUTE|CALL|DO|"
    r"CREATE\s+(OR\s+REPLACE\s+)?TEMPORARY|"
    r"SET(?!\s+(@@)?(GLOBAL|PERSIST|PERSIST_ONLY)\b[^,]*$))\b|.*(/\*|;|:=|\bGET_LOCK\b|\bINTO\s+@)",
    re.IGNORECASE | re.DOTALL,
)
_HARMLESS = re.compile(r"^\s*SHOW\b", re.IGNORECASE)
_ESCAPES, _PLAIN = r"(?:[^{0}\\]|\\.|{0}{0})*", r"(?:[^{0}]|{0}{0})*"


def _parts(single: str, double: str) -> re.Pattern[str]:
    texts = f"'{single.format(chr(39))}'|{chr(34)}{double.format(chr(34))}{chr(34)}"
    # A remark goes to the end of its own line, and two hyphens begin one before a space, a tab or a line's end.
    remarks = r"#[^\n]*|--(?=[\x01-\x20\x7f]|\Z)[^\n]*|/\*(?![!M]).*?\*/"
    return re.compile(f"`(?:[^`]|``)*`|{texts}|{remarks}", re.DOTALL)


# What a backslash means depends on sql_mode (NO_BACKSLASH_ESCAPES, ANSI_QUOTES): it must read in every way.
_QUOTED = (_parts(_ESCAPES, _ESCAPES), _parts(_PLAIN, _PLAIN), _parts(_ESCAPES, _PLAIN))


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
    return "\0" not in found[0] and all(_only_reads(found[0], parts) for parts in _QUOTED)


def _only_reads(query: str, parts: re.Pattern[str]) -> bool:
    bare = parts.sub(" ", query).strip().rstrip(";")
    if ";" in bare or "/*" in bare or not _READS.match(bare):
        return False
    if _ACTS.search(parts.sub(_called, query)):
        return False
    return bool(_HARMLESS.match(bare)) or not _WRITES.search(bare)


def _called(part: re.Match[str]) -> str:
    """Return a name without its quotes, for a function may be called so; nothing for all else."""
    name = part[0][1:-1]
    return f" {name} " if part[0][0] in "`\"" and re.fullmatch(r"\w+", name) else " "


class Read(Probe):
    """Reads."""

    def read(self) -> dict[str, Any]:
        """Return the rows, read in a read-only transaction."""
        server = _entered(self.host, self.params, looks=True)
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
        server = _entered(self.host, self.params)
        try:
            found = self._whole(server) if self.params["single_transaction"] else _ran(server, self.params)
        finally:  # of several statements some may have taken effect
            _accounts.changed(self.host, statements(self.params["query"]))
            if any(lasts(str(each)) for each in statements(self.params["query"])):
                server.close()  # the next task gets another
        return {"rc": 0, **found}

    def _whole(self, server: Session) -> dict[str, Any]:
        server.rows("START TRANSACTION")
        try:
            found = _ran(server, self.params)
            server.rows("COMMIT")
        except Failed:
            if server.alive:
                server.rows("ROLLBACK")
            raise
        return found


def lasts(query: str) -> bool:
    """Say whether a statement may leave something in its session: a variable, a lock, an open transaction."""
    return any(_LASTS.match(parts.sub(" ", query).strip().rstrip(";")) for parts in _QUOTED)


def _entered(site: Site, params: dict[str, Any], *, looks: bool = False) -> Session:
    """Return the run's session in the task's database: in none, where the task names none."""
    server = opened(site, params, looks=looks)
    wanted = str(params["login_db"] or "")
    if server.database and not wanted:  # there is no statement for that
        server.close()
        server = opened(site, params, looks=looks)
    if wanted:
        server.rows(f"USE `{wanted.replace('`', '``')}`")
        server.database = wanted
    return server


def _ran(server: Session, params: dict[str, Any]) -> dict[str, Any]:
    args: Any = params["positional_args"] or params["named_args"] or None
    if isinstance(args, list):
        args = tuple(args)
    found, counts = [], []
    for query in statements(params["query"]):
        try:
            rows = server.rows(query, seconds=_patience(server, params), args=args)
        except Failed as failed:
            raise _ended(server, params, failed) if failed.cause == "timeout" else failed from None
        found.append([{str(name): _plain(value) for name, value in row.items()} for row in rows])
        counts.append(server.changed)
    return {"query_result": found, "rowcount": counts, "executed_queries": statements(params["query"])}


def _patience(server: Session, params: dict[str, Any]) -> float:
    """Return the seconds for a statement: the parameter's, or what the task's own `timeout` leaves."""
    left = server.site.left()
    return float(params["timeout"]) if left is None else max(1.0, min(float(params["timeout"]), left))


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
