"""Make or drop an index of PostgreSQL without stopping who writes (CONCURRENTLY).

`present` makes it of `columns` (names or expressions) of `table`; an index of this name that is there and valid is
left alone, whatever its columns are; one of this name on another table is refused. Names are read as SQL reads them
(Orders is orders, "Orders" is not), and an index lies in the schema of its table. One that is invalid, the leftover of
a build that failed, is dropped first. What a build that fails here leaves is dropped; where that cannot be done either
(whoever kept the build waiting keeps the drop waiting, too), the error says so, and how to drop it. `invalid_only` with
`absent` drops it only where it is such a leftover. Where another heavy operation runs nothing is begun; a lock is
waited for `lock_timeout` at most. A build takes about the table's size on the disk; refused where that is not free.
Indexes of constraints are not dropped. Undo drops what was made, and makes again what was dropped. Returns `name`,
`valid`, `definition`. With `reads: true` it only looks: `missing` says whether it would make the index; one that
somebody builds just now is not missing.
"""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import REQUIRED, Failed, Irreversible, Param, Probe, Resource
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
    Param("reads", "bool", default=False, help="Only look whether it is missing: allowed in diagnose."),
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
    if params["reads"] is True and params["state"] == "absent":
        return "reads asks whether an index is missing: it goes with state: present"
    return None


def kind(params: dict[str, Any]) -> type[Probe] | type[Resource]:
    return Look if params.get("reads") is True else Index


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
            "pg_constraint WHERE conindid = i.indexrelid) AS constraint, i.indrelid AS table, "
            "i.indrelid::regclass::text AS of FROM pg_index i WHERE i.indexrelid = to_regclass(%s)",
            [self._qualified()],
        )
        if rows and self.params["table"] and rows[0]["table"] != self._table()["oid"]:
            raise Failed(
                f"there is an index {self._qualified()} already, of the table {rows[0]['of']}: give another name than "
                f"{self.params['idxname']}; nothing was changed"
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
        table = self._table()
        # The index lies in its table's schema, and may not be named with one.
        name = self._parts()[-1]
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
            table = self._table()
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
            [self._qualified()],
        )

    def building(self) -> bool:
        """Return whether somebody builds it just now: an index of a build under way is invalid, too."""
        rows = self.server.rows(
            "SELECT EXISTS (SELECT FROM pg_index i JOIN pg_locks k ON k.relation = i.indrelid JOIN pg_stat_activity a "
            "USING (pid) WHERE i.indexrelid = to_regclass(%s) AND k.granted AND k.mode = 'ShareUpdateExclusiveLock' "
            "AND a.query ~* '(create|reindex).*(index|table|concurrently)') AS now",
            [self._qualified()],
        )
        return bool(rows[0]["now"])

    def _table(self) -> dict[str, Any]:
        return table_of(self.server, str(self.params["table"]))

    def _parts(self) -> list[str]:
        """Return the schema, where one is given, and the name, as SQL reads them; raises Failed for what is no name."""
        try:
            rows = self.server.rows("SELECT parse_ident(%s) AS parts", [self.params["idxname"]])
        except Failed as failed:
            if failed.result.get("sqlstate") != "22023":  # invalid_parameter_value
                raise
            rows = []
        if not rows or len(rows[0]["parts"]) > 2:
            raise Failed(f"{self.params['idxname']} is no name of an index: expected NAME or SCHEMA.NAME")
        return list(rows[0]["parts"])

    def _qualified(self) -> str:
        """Return the index's name with its table's schema, which need not be on the path."""
        if not self.params["table"]:
            return str(self.params["idxname"])
        *schema, name = self._parts()
        table = self._table()
        if schema and schema[0] != table["schema"]:
            raise Failed(
                f"{self.params['idxname']} cannot be an index of {self.params['table']}: an index lies in its table's "
                f"schema, which is {table['schema']}"
            )
        return f"{quoted(table['schema'])}.{quoted(name)}"

    def _drop(self) -> None:
        rows = self.server.rows("SELECT to_regclass(%s)::text AS name", [self._qualified()])
        if rows[0]["name"]:
            self.server.rows(f"DROP INDEX CONCURRENTLY IF EXISTS {rows[0]['name']}", seconds=600)


class Look(Probe):
    """Looks whether it is missing."""

    def read(self) -> dict[str, Any]:
        """Return whether it is missing; raises Failed where it cannot be made."""
        index = Index(self.params, self.host)  # type: ignore[no-untyped-call]
        have = index.read()
        return {"missing": index.wanted(have) != have and not index.building(), **index.returns(have, have)}
