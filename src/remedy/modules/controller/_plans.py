"""What EXPLAIN says of a statement: the tables that it reads as a whole, and the index that would spare that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from remedy.agent.kinds import Failed
from remedy.modules.controller._mysql import Session, is_mariadb

_SECONDS = 5
_EXPLAINED = re.compile(r"\s*\(*\s*(SELECT|WITH|UPDATE|DELETE)\b", re.IGNORECASE)
_WHOLE = ("ALL", "index")
# `db`.`table`.`column` as MySQL writes it, table.column as MariaDB does, and what it is compared with.
_COMPARED = re.compile(
    r"(?:`?(?P<db>\w+)`?\.)?`?(?P<table>\w+)`?\.`?(?P<column>\w+)`?\s*"
    r"(?P<how><=>|>=|<=|<>|!=|=|<|>|\bis null\b|\bin\b|\bbetween\b|\blike\b)\s*(?P<right>\S*)",
    re.IGNORECASE,
)
_EQUAL = ("=", "<=>", "in", "is null")
_NEVER = ("<>", "!=")
_MOST = 4


@dataclass(frozen=True)
class Scan:
    """A table that a statement reads as a whole: so many rows, and the columns by which it then chooses."""

    db: str
    table: str
    rows: int
    columns: tuple[str, ...]

    @property
    def advice(self) -> str:
        """The statement that would create an index, "" where no column is known."""
        if not self.columns:
            return ""
        columns = ", ".join(f"`{name}`" for name in self.columns)
        name = f"{self.table}_{'_'.join(self.columns)}"[:60]
        where = f"`{self.db}`.`{self.table}`" if self.db else f"`{self.table}`"
        return f"CREATE INDEX `{name}` ON {where} ({columns})"

    def told(self) -> dict[str, Any]:
        """Return what a task returns of it."""
        return {
            "db": self.db,
            "table": self.table,
            "rows": self.rows,
            "columns": list(self.columns),
            "advice": self.advice,
        }


def scans(server: Session, query: str, db: str) -> tuple[list[Scan], str]:
    """Return the tables that a statement reads as a whole, or why that is not known."""
    bare = query.strip().rstrip(";")
    if not _EXPLAINED.match(bare) or ";" in bare:
        return [], "not a single SELECT, UPDATE or DELETE"
    try:
        if db:
            server.rows(f"USE `{db.replace('`', '``')}`")
        rows = _bounded(server, f"EXPLAIN FORMAT=JSON {bare}")
    except Failed as failed:
        return [], failed.message
    return of_plan(json.loads(str(next(iter(rows[0].values())))), bare, db), ""


def of_plan(plan: Mapping[str, Any], query: str, db: str) -> list[Scan]:
    """Return the tables that are read as a whole, the largest first."""
    if "query_plan" in plan:
        found = list(_second(plan["query_plan"], "", db))
        return sorted(found, key=lambda each: -each.rows)
    found = []
    for table in _tables(plan):
        if str(table.get("access_type")) not in _WHOLE:
            continue
        alias = str(table.get("table_name") or "")
        if not alias or alias.startswith("<"):
            continue  # a derived table
        rows = int(table.get("rows_examined_per_scan") or table.get("rows") or 0)
        home, name = _named(alias, query)
        condition = str(table.get("attached_condition") or "")
        found.append(Scan(home or db, name, rows, _columns(condition, alias)))
    return sorted(found, key=lambda each: -each.rows)


def _second(node: Any, condition: str, db: str) -> Iterator[Scan]:
    """Yield the tables of a plan as MySQL writes it from 9 on: a filter stands above what it filters."""
    if isinstance(node, list):
        for part in node:
            yield from _second(part, condition, db)
    if not isinstance(node, Mapping):
        return
    if node.get("access_type") == "filter":
        condition = f"{condition} {node.get('condition') or ''}"
    if "table_name" in node and (
        node.get("access_type") == "table" or node.get("index_access_type") == "index_scan"
    ):
        rows, name = int(float(node.get("estimated_rows") or 0)), str(node["table_name"])
        columns = _columns(condition, str(node.get("alias") or name))
        yield Scan(str(node.get("schema_name") or db), name, rows, columns)
    for part in node.values():
        if isinstance(part, list):
            yield from _second(part, condition, db)


def _bounded(server: Session, sql: str) -> list[dict[str, Any]]:
    """Run an EXPLAIN that the server ends itself: it may run a subquery whose value it needs."""
    if is_mariadb(server.version):
        return server.rows(f"SET STATEMENT max_statement_time = {_SECONDS} FOR {sql}", seconds=_SECONDS * 3)
    server.rows(f"SET SESSION max_execution_time = {_SECONDS * 1000}")
    try:
        return server.rows(sql, seconds=_SECONDS * 3)
    finally:
        with suppress(Failed):
            server.rows("SET SESSION max_execution_time = DEFAULT")


def _tables(plan: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(plan, Mapping):
        if "table_name" in plan and "access_type" in plan:
            yield plan
        for part in plan.values():
            yield from _tables(part)
    elif isinstance(plan, list):
        for part in plan:
            yield from _tables(part)


def _named(alias: str, query: str) -> tuple[str, str]:
    """Return (database, table) behind an alias, as the statement names them."""
    known = re.search(
        rf"(?:\b(?:from|join|update)\b|,)\s*(?:`?(\w+)`?\.)?`?(\w+)`?\s+(?:as\s+)?`?{re.escape(alias)}`?\b",
        query,
        re.IGNORECASE,
    )
    if known and known[2].lower() not in ("from", "join"):
        return known[1] or "", known[2]
    direct = re.search(rf"`?(\w+)`?\.`?{re.escape(alias)}`?\b(?!\s*\.)", query, re.IGNORECASE)
    return (direct[1] if direct else ""), alias


def _columns(condition: str, alias: str) -> tuple[str, ...]:
    """Return the columns that a condition compares: those for equality first, and one for a range after them."""
    equal: list[str] = []
    ranged: list[str] = []
    for each in _COMPARED.finditer(condition):
        if each["table"].lower() != alias.lower() or each["how"].lower() in _NEVER:
            continue
        (equal if each["how"].lower() in _EQUAL else ranged).append(each["column"])
    chosen = list(dict.fromkeys(equal))
    chosen += [name for name in dict.fromkeys(ranged) if name not in chosen][:1]
    return tuple(chosen[:_MOST])
