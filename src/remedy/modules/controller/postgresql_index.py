"""Make or drop an index of PostgreSQL without stopping who writes (CONCURRENTLY).

`present` makes it of `columns` (names or expressions) of `table`; an index of this name that is there and valid is
left alone, whatever its columns are. One that is invalid, the leftover of a build that failed, is dropped first. What
a build that fails here leaves is dropped; where that cannot be done either (whoever kept the build waiting keeps the
drop waiting, too), the error says so, and how to drop it. `invalid_only` with `absent` drops it only where it is such
a leftover. Where another heavy operation runs nothing is begun; a lock is waited for `lock_timeout` at most. A build
takes about the table's size on the disk; refused where that is not free. Indexes of constraints are not dropped. Undo
drops what was made, and makes again what was dropped. Returns `name`, `valid`, `definition`.
"""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import REQUIRED, Failed, Irreversible, Param, Resource
from remedy.modules.controller._pg_heavy import alone, need_room, size_of, table_of
from remedy.modules.controller._postgres import LOGIN_PARAMS, LOGIN_VARIABLES, Session, opened, quoted

PARAMS = (
    Param("idxname", default=REQUIRED, aliases=("name",), help="The index, with its schema unless that is on the "
          "path."),
    Param("table", help="The table (present)."),
    Param("columns", "list", elements="str", aliases=("column",), help="Its columns or expressions (present)."),
    Param("idxtype", default="btree", aliases=("type",), choices=("btree", "hash", "gist", "spgist", "gin", "brin"),
          help="Its kind."),
    Param("unique", "bool", default=False, help="Whether values must be unique."),
    Param("cond", help="Only rows for which this holds."),
    Param("state", default="present", choices=("present", "absent"), help="Whether it should be there."),
    Param("invalid_only", "bool", default=False, help="Drop it only where it is invalid."),
    Param("lock_timeout", "duration", default=10, help="How long to wait for locks, and for older transactions."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = LOGIN_VARIABLES
_TRIES = 3
EXAMPLES = """
- postgresql_index: {name: orders_made, table: orders, columns: [made], login_db: shop}
- postgresql_index: {name: public.orders_made_ccnew, state: absent, invalid_only: true, login_db: shop}
"""


def check_params(params: dict[str, Any]) -> str | None:
    if params["state"] == "present" and not (params["table"] and params["columns"]):
        return "an index that should be present needs a table and columns"
    if params["invalid_only"] and params["state"] != "absent":
        return "invalid_only is for state: absent"
    return None


def kind(params: dict[str, Any]) -> type[Resource]:
    return Index


class Index(Resource):
    """The state: `valid`; None: there is none."""

    interruptible = False
    deadline = 6 * 3600
    _definition: str | None = None
    _constraint = False

    def key(self) -> str:
        """Return the index."""
        return (
            f"postgresql:{self.params['login_port']}:{self.params['login_db']}:index:{self.params['idxname']}"
        )

    @property
    def server(self) -> Session:
        return opened(self.host, self.params)

    def read(self) -> dict[str, Any] | None:
        """Return whether it is there, and valid."""
        rows = self.server.rows(
            "SELECT i.indisvalid AS valid, pg_get_indexdef(i.indexrelid) AS definition, EXISTS (SELECT FROM "
            "pg_constraint WHERE conindid = i.indexrelid) AS constraint FROM pg_index i "
            "WHERE i.indexrelid = to_regclass(%s)",
            [self.params["idxname"]],
        )
        self._definition = rows[0]["definition"] if rows else None
        self._constraint = bool(rows and rows[0]["constraint"])
        return {"valid": bool(rows[0]["valid"])} if rows else None

    def wanted(self, have: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return what should be there."""
        if self.params["state"] == "present":
            return {"valid": True}
        if have is None or (self.params["invalid_only"] and have["valid"]):
            return have
        if self._constraint:
            text = "belongs to a constraint: drop that (ALTER TABLE ... DROP CONSTRAINT)"
            raise Failed(f"{self.params['idxname']} {text}")
        return None

    def keep(self, have: dict[str, Any] | None) -> dict[str, Any] | Irreversible:
        """Return how it was made."""
        if have is not None and not have["valid"]:
            return Irreversible("an invalid index is of no use, and is not made again")
        return {"state": have, "definition": self._definition}

    def write(self, have: dict[str, Any] | None, want: dict[str, Any] | None) -> None:
        """Drop it, make it, or both."""
        with alone(self.server, float(self.params["lock_timeout"])):
            if have is not None:
                self._drop()
            if want is not None:
                self._make(self._statement())

    def undo(self, kept: dict[str, Any]) -> None:
        """Drop what was made; make again what was dropped."""
        with alone(self.server, float(self.params["lock_timeout"])):
            if kept["state"] is None:
                self._drop()
            else:
                self._make(str(kept["definition"]).replace("INDEX ", "INDEX CONCURRENTLY ", 1))

    def diff(self, have: dict[str, Any] | None, want: dict[str, Any] | None) -> dict[str, Any]:
        """Return how it was, and will be, made."""
        before = f"{self._definition}{'' if have and have['valid'] else ' (invalid)'}\n" if have else ""
        after = "" if want is None else f"{self._statement() if self.params['table'] else self._definition}\n"
        return {"before": before, "after": after}

    def why(self, have: dict[str, Any] | None) -> str:
        """Return why nothing is to be done."""
        return "there is no such index" if have is None else "it is there, and valid"

    def returns(self, have: dict[str, Any] | None, now: dict[str, Any] | None) -> dict[str, Any]:
        """Return what there is."""
        return {
            "name": self.params["idxname"],
            "valid": bool(now and now["valid"]),
            "definition": self._definition,
        }

    def _statement(self) -> str:
        table = table_of(self.server, str(self.params["table"]))
        # The index lies in its table's schema, and may not be named with one.
        name = str(self.params["idxname"]).rpartition(".")[2]
        columns = ", ".join(
            quoted(column) if column.replace("_", "a").isalnum() else f"({column})"
            for column in self.params["columns"]
        )
        return (
            f"CREATE {'UNIQUE ' if self.params['unique'] else ''}INDEX CONCURRENTLY {quoted(name)} ON "
            f"{quoted(table['schema'])}.{quoted(table['name'])} USING {self.params['idxtype']} ({columns})"
            f"{' WHERE ' + self.params['cond'] if self.params['cond'] else ''}"
        )

    def _make(self, statement: str) -> None:
        if self.params["table"]:
            table = table_of(self.server, str(self.params["table"]))
            if table["kind"] == "p":
                raise Failed(
                    f"{self.params['table']} is partitioned: make the index on each partition (CONCURRENTLY)"
                )
            need_room(
                self.host, self.server, size_of(self.server, table), f"an index on {self.params['table']}"
            )
        left = self.host.left()
        try:
            self.server.rows(statement, seconds=float(self.deadline) if left is None else max(1.0, left))
        except Failed as failed:
            self._clean_up(failed)
            raise

    def _clean_up(self, failed: Failed) -> None:
        """Drop the invalid index that a build has left; tell in the failure where that does not succeed."""
        if failed.result.get("sqlstate") == "42P07":
            return  # somebody else makes one of this name: it is not ours
        name, why = self.params["idxname"], ""
        for _ in range(_TRIES):
            try:
                rows = self._leftover()
                if not rows:
                    return
                name = rows[0]["name"]
                self.server.rows(f"DROP INDEX CONCURRENTLY IF EXISTS {name}", seconds=600)
            except Failed as more:
                why = more.message
        failed.message += (
            f"; it may have left the invalid index {name}, which costs each write, and which could not be dropped in "
            f"{_TRIES} tries ({why}): DROP INDEX CONCURRENTLY IF EXISTS {name};"
        )

    def _leftover(self) -> list[dict[str, Any]]:
        return self.server.rows(
            "SELECT indexrelid::regclass::text AS name FROM pg_index WHERE NOT indisvalid "
            "AND indexrelid = to_regclass(%s)",
            [self._built()],
        )

    def _built(self) -> str:
        """Return the name of the index that is built, with its table's schema: that need not be on the path."""
        name = str(self.params["idxname"])
        if not self.params["table"] or "." in name:
            return name
        return f"{quoted(table_of(self.server, str(self.params['table']))['schema'])}.{quoted(name)}"

    def _drop(self) -> None:
        rows = self.server.rows("SELECT to_regclass(%s)::text AS name", [self.params["idxname"]])
        if rows[0]["name"]:
            self.server.rows(f"DROP INDEX CONCURRENTLY IF EXISTS {rows[0]['name']}", seconds=600)
