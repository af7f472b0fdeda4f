"""VACUUM or ANALYZE a table of PostgreSQL.

Where another such operation runs already, nothing is begun. It waits `lock_timeout` at most for the table's lock.
`full: true` writes the table anew: nobody reads or writes it meanwhile, and it takes its size once more on the disk;
refused where that is not free. It counts only when the server says that it was done. Returns `table`, `bytes_freed`,
`dead` (rows, before and after).
"""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import REQUIRED, Action, Failed, Param
from remedy.modules.controller._pg_heavy import alone, need_room, size_of, table_of
from remedy.modules.controller._postgres import LOGIN_PARAMS, LOGIN_VARIABLES, opened, quoted

PARAMS = (
    Param("table", default=REQUIRED, help="The table, with its schema where that is not on the path."),
    Param("vacuum", "bool", default=True, help="false: ANALYZE alone."),
    Param("analyze", "bool", default=True, help="Bring its statistics up to date."),
    Param("full", "bool", default=False, help="Write it anew; it is locked meanwhile."),
    Param("lock_timeout", "duration", default=5, help="How long to wait for the lock."),
    *LOGIN_PARAMS,
)
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- postgresql_vacuum: {table: public.orders, login_db: shop}
- postgresql_vacuum: {table: orders, vacuum: false, login_db: shop}
"""


def check_params(params: dict[str, Any]) -> str | None:
    if not params["vacuum"] and (not params["analyze"] or params["full"]):
        return "vacuum: false leaves ANALYZE: analyze must be true, and full false"
    return None


def kind(params: dict[str, Any]) -> type[Action]:
    return Full if params.get("full") else Vacuum


class Vacuum(Action):
    """The usual one, beside which the table is read and written."""

    interruptible = False
    deadline = 6 * 3600
    happened = "vacuumed"

    def key(self) -> str:
        """Return the table."""
        return f"postgresql:{self.params['login_port']}:{self.params['login_db']}:{self.params['table']}"

    def ready(self) -> str | None:
        """Raise Failed where it cannot be done."""
        server = opened(self.host, self.params)
        table = table_of(server, self.params["table"])
        if server.rows("SELECT pg_is_in_recovery() AS yes")[0]["yes"]:
            raise Failed("a standby cannot VACUUM: do it on the primary")
        if self.params["full"]:
            with alone(server, float(self.params["lock_timeout"])):
                need_room(self.host, server, size_of(server, table), f"VACUUM FULL of {self.params['table']}")
        return None

    def state(self) -> dict[str, Any]:
        """Return how often it was done, and how it is."""
        server = opened(self.host, self.params)
        rows = server.rows(
            "SELECT vacuum_count AS vacuumed, analyze_count AS analyzed, n_dead_tup AS dead "
            "FROM pg_stat_user_tables WHERE relid = to_regclass(%s)",
            [self.params["table"]],
        )
        return dict(rows[0]) if rows else {}

    def do(self) -> dict[str, Any]:
        """Do it."""
        server = opened(self.host, self.params)
        table = table_of(server, self.params["table"])
        before = self.state()
        words = [word.upper() for word in ("full", "analyze") if self.params[word]]
        what = f"VACUUM{' (' + ', '.join(words) + ')' if words else ''}" if self.params["vacuum"] else "ANALYZE"
        left = self.host.left()
        with alone(server, float(self.params["lock_timeout"])):
            size = size_of(server, table)
            server.rows(
                f"{what} {quoted(table['schema'])}.{quoted(table['name'])}",
                seconds=float(self.deadline) if left is None else max(1.0, left),
            )
            freed = size - size_of(server, table)
        return {
            "table": f"{table['schema']}.{table['name']}",
            "bytes_freed": max(0, freed),
            "dead": [before.get("dead"), self.state().get("dead")],
        }

    def proof(self, before: dict[str, Any]) -> dict[str, Any]:
        """Return how it is now; the server counts what it has done a moment later."""
        server = opened(self.host, self.params)
        name = "vacuumed" if self.params["vacuum"] and not self.params["full"] else "analyzed"
        if before.get(name) is None or (name == "analyzed" and not self.params["analyze"]):
            return self.state()
        for _ in range(50):
            after = self.state()
            if after.get(name, 0) > before[name]:
                return after
            server.rows("SELECT pg_sleep(0.1), pg_stat_clear_snapshot()")
        raise Failed(f"the server does not say that {self.params['table']} was {name}")


class Full(Vacuum):
    """The one that locks."""

    disruptive = True

    def key(self) -> str:
        """Return the table, and what is interrupted."""
        return f"{super().key()} (written anew; nobody reads or writes it meanwhile)"
