"""Run SQL on PostgreSQL.

With `reads: true` it is one SELECT, SHOW or EXPLAIN (no ANALYZE) in a read-only transaction, a Probe that may stand in
`diagnose`. Otherwise it is a command of yours: changed where the server says that rows were written or something was
made. `positional_args` fill %s, `named_args` fill %(name)s; without them a percent sign is one. Several statements,
parted by semicolons, are one transaction, and cannot have arguments. Where the answer never comes it fails, and says
that nobody knows whether it took effect: it is not tried again.

Returns `query`, `query_result` (rows, each a dict), `rowcount` and `statusmessage`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from remedy.agent.kinds import REQUIRED, Command, Failed, Param, Probe
from remedy.modules.controller import _accounts
from remedy.modules.controller._postgres import LOGIN_PARAMS, LOGIN_VARIABLES, Session, opened, plain, quoted
from remedy.modules.controller._reading import objection

FREE_FORM = "query"
PARAMS = (
    Param("query", default=REQUIRED, help="The statement."),
    Param("positional_args", "list", help="What fills %s."),
    Param("named_args", "dict", help="What fills %(name)s."),
    Param("reads", "bool", default=False, help="It only reads; refused otherwise."),
    Param("session_role", help="A role to become after the login (SET ROLE), for this task alone."),
    Param("search_path", "list", elements="str", help="Schemas where names are looked for, for this task alone; else "
          "the database's own."),
    Param("autocommit", "bool", default=False, help="Allowed, and without effect: one statement is in no transaction "
          "but its own, as VACUUM wants it."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- postgresql_query:
    query: SELECT count(*) AS orders FROM shop.orders WHERE made > %s
    positional_args: ["2024-01-01"]
    login_db: shop
    reads: true
  register: found
- postgresql_query: {query: "ALTER ROLE app CONNECTION LIMIT 50"}
"""

_READS = ("SELECT", "SHOW", "EXPLAIN", "BEGIN", "COMMIT", "ROLLBACK", "SET", "RESET", "DISCARD", "FETCH")
_COUNTED = ("INSERT", "UPDATE", "DELETE", "MERGE")


def check_params(params: dict[str, Any]) -> str | None:
    if params["positional_args"] and params["named_args"]:
        return "positional_args and named_args exclude each other"
    if params["reads"] and (why := objection(str(params["query"]))):
        return f"the query does not only read: {why}"
    return None


def kind(params: dict[str, Any]) -> type[Probe | Command]:
    return Reading if params.get("reads") else Statement


def _ask(server: Session, params: dict[str, Any], seconds: float) -> dict[str, Any]:
    sql = str(params["query"])
    given = params["named_args"] or params["positional_args"] or None
    rows = server.rows(sql, given, seconds=seconds)
    return {
        "query": sql,
        "query_result": [plain(row) for row in rows],
        "rowcount": max(server.count, 0),
        "statusmessage": server.status,
    }


def _trusting(server: Session, params: dict[str, Any]) -> None:
    """Let names mean what the task says, and take the role that it wants."""
    server.trust_names(True)
    if params["search_path"]:
        path = ", ".join(quoted(str(each)) for each in params["search_path"])
        server.rows("SELECT pg_catalog.set_config('search_path', %s, false)", [path])
    if params["session_role"]:
        server.rows(f"SET ROLE {quoted(str(params['session_role']))}")


class Reading(Probe):
    def read(self) -> dict[str, Any]:
        """Return the rows."""
        server = opened(self.host, self.params)
        left = self.host.left()
        server.rows("BEGIN READ ONLY")
        try:
            _trusting(server, self.params)  # until the rollback
            return _ask(server, self.params, self.deadline if left is None else max(1.0, left))
        finally:
            with suppress(Failed):  # the first failure says more
                server.rows("ROLLBACK")


class Statement(Command):
    def run(self) -> dict[str, Any]:
        """Run it."""
        server = opened(self.host, self.params)
        left = self.host.left()
        try:
            _trusting(server, self.params)
            told = _ask(server, self.params, 86400.0 if left is None else max(1.0, left))
        finally:
            try:
                if self.params["session_role"]:
                    server.rows("RESET ROLE")
                server.trust_names(False)
            except Failed:
                server.close()  # the next task gets another: this one is in a failed transaction, or another role's
            _accounts.changed(self.host, [str(self.params["query"])])
        verb, _, rest = str(told["statusmessage"]).partition(" ")
        wrote = verb not in _READS
        if verb in _COUNTED:
            wrote = rest.split()[-1:] != ["0"]
        return {**told, "rc": 0, "changed": wrote}
