"""Advise an index for statements on MySQL or MariaDB by EXPLAIN, or create one that the operator names.

With `explain` it only reads: each statement is explained, not run; `scans` are the tables that they read as a whole
(db, table, rows, columns, advice: the statement that would create the index, query, statement_db: where it runs), the
largest first, and `unknown` the statements that could not be explained, each with the reason. What `scans` returned
can be explained once more: a statement that an index serves by now is no longer among them.

With `table` and `columns` it creates the index unless one begins with those columns already. Online, so that the
table is read and written meanwhile (ALGORITHM=INPLACE LOCK=NONE): a server that cannot do that refuses, unless
`online` is false. The statement waits for the table's lock for at most `lock_wait` (behind one that waits everybody
else would), and a second session ends it by KILL QUERY after `deadline`; where no connection is free for that one, it
is not begun. A disk without room for another copy of the table's data is refused. A rollback drops the index.
With `reads: true` beside them it only looks: `missing` says whether it would create one, `name`, `table` and `columns`
which.
"""

from __future__ import annotations

import re
from typing import Any

from remedy.agent.kinds import Failed, Param, Probe, Resource
from remedy.modules.controller import _plans, _variables
from remedy.modules.controller._doors import opened
from remedy.modules.controller._guard import PATIENCE, Guard
from remedy.modules.controller._mysql import LOGIN_PARAMS, LOGIN_VARIABLES, login_of

PARAMS = (
    Param("explain", "list", elements="raw", help="Statements to explain: texts, or mappings "
          "(query or sample; statement_db or db)."),
    Param("table", help="The table that gets an index: TABLE or DB.TABLE."),
    Param("columns", "list", elements="str", help="Its columns in order; NAME(10) takes the first 10 characters."),
    Param("name", help="The index's name; else TABLE_COLUMNS."),
    Param("reads", "bool", default=False, help="Only look whether the index is missing: allowed in diagnose."),
    Param("login_db", help="The database, where neither table nor explain names one."),
    Param("online", "bool", default=True, help="Only if the table can be written meanwhile."),
    Param("lock_wait", "duration", default=5, help="How long to wait for the table's lock."),
    Param("deadline", "duration", default=3600, help="How long it may take before it is ended."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- mysql_index: {explain: ["SELECT * FROM orders WHERE customer = 17"], login_db: shop}
  register: plan
- mysql_index: {table: shop.orders, columns: [customer, created]}
"""

_NAME = r"[A-Za-z0-9_$]+"
_BESIDE = 64 << 20


def check_params(params: dict[str, Any]) -> str | None:
    if (params["explain"] is None) == (params["table"] is None):
        return "give explain, or table with columns"
    if params["table"] is None:
        return None
    if not params["columns"]:
        return "table needs columns"
    if not re.fullmatch(rf"{_NAME}(\.{_NAME})?", str(params["table"])):
        return f"table '{params['table']}': expected TABLE or DB.TABLE"
    if "." not in str(params["table"]) and not params["login_db"]:
        return "table names no database: write DB.TABLE, or set login_db"
    wrong = [each for each in params["columns"] if not re.fullmatch(rf"{_NAME}(\(\d+\))?", str(each))]
    if wrong:
        return f"column '{wrong[0]}': expected NAME or NAME(LENGTH)"
    if params["name"] is not None and not re.fullmatch(_NAME, str(params["name"])):
        return f"name '{params['name']}': expected letters, digits, _ and $"
    return None


def kind(params: dict[str, Any]) -> type[Probe] | type[Resource]:
    if params.get("table") is None:
        return Explain
    return Look if params.get("reads") is True else Index


class Explain(Probe):
    """Explains statements."""

    def read(self) -> dict[str, Any]:
        """Return what they read as a whole."""
        server = opened(self.host, self.params, looks=True)
        found, unknown, seen = [], [], set()
        for each in self.params["explain"]:
            about = each if isinstance(each, dict) else {"query": each}
            text = str(about.get("query") or about.get("sample") or "")
            home = str(about.get("statement_db", about.get("db")) or self.params["login_db"] or "")
            if (text, home) in seen:
                continue
            seen.add((text, home))
            scans, why = _plans.scans(server, text, home)
            found += [{**scan.told(), "query": text, "statement_db": home} for scan in scans]
            unknown += [{"query": text, "reason": why}] if why else []
        return {"scans": sorted(found, key=lambda scan: -scan["rows"]), "unknown": unknown}


class Index(Resource):
    """One index."""

    interruptible = False
    deadline = 7200

    @property
    def place(self) -> tuple[str, str]:
        db, _, table = str(self.params["table"]).rpartition(".")
        return db or str(self.params["login_db"]), table

    @property
    def columns(self) -> list[str]:
        return [str(each).lower() for each in self.params["columns"]]

    @property
    def name(self) -> str:
        bare = [re.sub(r"\(\d+\)", "", each) for each in self.columns]
        return str(self.params["name"] or "_".join([self.place[1], *bare])[:60])

    @property
    def table(self) -> str:
        return ".".join(f"`{part}`" for part in self.place)

    def key(self) -> str:
        """Return the index's place and name."""
        return f"mysql:index:{'.'.join(self.place)}.{self.name}"

    def read(self) -> dict[str, Any] | None:
        """Return its columns; None where there is no such index."""
        found = self._indexes().get(self.name.lower())
        return None if found is None else {"columns": found}

    def wanted(self, have: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return the index, or what is there where another one serves; raises Failed where its name is taken."""
        if have is not None and have["columns"] == self.columns:
            return have
        if have is not None:
            raise Failed(
                f"{'.'.join(self.place)} has an index {self.name} on {', '.join(have['columns'])}: "
                "give another name; nothing was changed"
            )
        if self._serving() is not None:
            return have
        return {"columns": self.columns}

    def write(self, have: dict[str, Any] | None, want: dict[str, Any] | None) -> None:
        """Create it, or drop it, watched from a second session."""
        how = " ALGORITHM=INPLACE LOCK=NONE" if self.params["online"] else ""
        if want is None:
            self._watched(f"ALTER TABLE {self.table} DROP INDEX `{self.name}`{how.replace(' ', ', ')}")
            return
        self._room()
        columns = ", ".join(re.sub(rf"^({_NAME})", r"`\1`", each) for each in want["columns"])
        self._watched(f"CREATE INDEX `{self.name}` ON {self.table} ({columns}){how}")

    def diff(self, have: dict[str, Any] | None, want: dict[str, Any] | None) -> dict[str, Any]:
        """Return both as statements."""
        before, after = (
            ""
            if each is None
            else f"INDEX {self.name} ON {'.'.join(self.place)} ({', '.join(each['columns'])})\n"
            for each in (have, want)
        )
        return {"before": before, "after": after}

    def why(self, have: dict[str, Any] | None) -> str:
        """Return which index serves already."""
        return f"the index {self._serving() or self.name} begins with {', '.join(self.columns)} already"

    def returns(self, have: dict[str, Any] | None, now: dict[str, Any] | None) -> dict[str, Any]:
        """Return its name and columns."""
        return {"name": self.name, "table": ".".join(self.place), "columns": self.columns}

    def _serving(self) -> str | None:
        count = len(self.columns)
        return next((name for name, held in self._indexes().items() if held[:count] == self.columns), None)

    def _indexes(self) -> dict[str, list[str]]:
        server = opened(self.host, self.params)
        known = server.rows(
            "SELECT TABLE_TYPE AS type FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
            args=self.place,
        )
        if not known:
            raise Failed(f"there is no table {'.'.join(self.place)}, or the account may not see it")
        if str(known[0]["type"]) != "BASE TABLE":
            raise Failed(f"{'.'.join(self.place)} is a {known[0]['type']}, not a table")
        found: dict[str, list[str]] = {}
        for row in server.rows(
            "SELECT INDEX_NAME AS name, COLUMN_NAME AS col, SUB_PART AS part FROM information_schema.STATISTICS "
            "WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY INDEX_NAME, SEQ_IN_INDEX",
            args=self.place,
        ):
            part = f"({row['part']})" if row["part"] else ""
            found.setdefault(str(row["name"]).lower(), []).append(
                f"{str(row['col'] or '(expression)').lower()}{part}"
            )
        return found

    def _room(self) -> None:
        server = opened(self.host, self.params)
        about = server.rows(
            "SELECT DATA_LENGTH AS bytes, @@datadir AS datadir FROM information_schema.TABLES "
            "WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
            args=self.place,
        )[0]
        free = _variables.host_of(self.host, server, str(about["datadir"])).get("free")
        needs = int(about["bytes"] or 0) + _BESIDE
        if free is not None and free < needs:
            raise Failed(
                f"no room for an index: the table has {int(about['bytes'] or 0) >> 20} MiB, as much and 64 MiB must be "
                f"free beside it, and {free >> 20} MiB are; nothing was changed",
                cause="disk_full",
            )

    def _watched(self, sql: str) -> None:
        """Run a statement that may take long; the run's session watches, and ends it after the deadline."""
        login = login_of(self.host, self.params)
        guard = Guard(self.host, login, opened(self.host, self.params, login=login), sql)
        limit = float(self.params["deadline"])
        try:
            guard.work.rows(f"SET SESSION lock_wait_timeout = {max(1, int(self.params['lock_wait']))}")
            late = guard.run(sql, limit)
            gone = not late or guard.end()
        except Failed as failed:
            number = int(failed.result.get("mysql_error") or 0)
            raise Failed(f"{failed.message}{self._hint(number)}", failed.cause, **failed.result) from None
        finally:
            guard.close()
        if not gone:
            raise Failed(
                f"{sql} {late}, and is still there {PATIENCE:g} s after KILL QUERY {guard.work.id}: "
                "look at the server's sessions",
                cause="timeout",
            )
        if late and guard.failed:  # else it was through in that very moment
            raise Failed(f"{sql} was ended by KILL QUERY: it {late}", cause="timeout")

    def _hint(self, number: int) -> str:
        """Return what to do about one of the server's errors."""
        offline = ": this server cannot do it online; online: false does it while nobody writes"
        lock = f": the table's lock was not to be had within {self.params['lock_wait']:g} s, a transaction holds it"
        return {1205: lock, 1845: offline, 1846: offline}.get(number, "")


class Look(Probe):
    """Looks whether the index is there."""

    def read(self) -> dict[str, Any]:
        """Return whether it is missing; raises Failed where it cannot be made."""
        index = Index(self.params, self.host)  # type: ignore[no-untyped-call]
        have = index.read()
        return {"missing": index.wanted(have) != have, **index.returns(have, have)}
