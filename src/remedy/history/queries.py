"""Asking the history database: runs by host, playbook, time and outcome, and one run with all that it keeps of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select

from remedy.errors import InputError, nearest
from remedy.history.database import Database
from remedy.history.filling import AT_ONCE
from remedy.history.tables import changes, findings, measures, run_hosts, runs
from remedy.journal import CUT_OFF, RunSummary, named_few

_OUTCOMES = ("ok", "failed", "refused", "unreachable", "interrupted", "running")
STATUSES = (*_OUTCOMES, "changed", "pending", "findings", "unresolved", "cut-off")
"""What runs can be asked for by: an outcome, or what there was in them."""
_SHOWN = 8


class Asked(Struct, frozen=True, kw_only=True):
    """Which runs are asked for; names may have * and ?; several values of one kind are alternatives."""

    hosts: tuple[str, ...] = ()
    playbooks: tuple[str, ...] = ()
    since: datetime | None = None
    statuses: tuple[str, ...] = ()
    project: Path | None = None
    number: int | None = None


class Past(Struct, frozen=True, kw_only=True):
    """A run as the history knows it; `findings` and `unresolved` are counts.

    `hosts` are those that were asked for, each with how it fared; `gone` says since when its journal is missed,
    `trouble` why not all of the journal could be read.
    """

    number: int
    run: RunSummary
    origin: str
    findings: int
    unresolved: int
    hosts: dict[str, str]
    gone: datetime | None
    trouble: str | None


class Kept(Struct, frozen=True, kw_only=True):
    """What the history keeps of one run: rows of the tables, in their order."""

    past: Past
    hosts: list[dict[str, Any]]
    findings: list[dict[str, Any]]
    changes: list[dict[str, Any]]


def list_past(database: Database, asked: Asked) -> list[Past]:
    """Return the runs that are asked for, newest first; InputError for a host or playbook that no run knows."""
    with database.reading() as connection:
        hosts = _names(connection, "host", select(run_hosts.c.host).distinct(), asked.hosts)
        conditions = [_with_status(status, hosts) for status in asked.statuses]
        wanted = select(runs).order_by(runs.c.started.desc(), runs.c.run.desc())
        if conditions:
            wanted = wanted.where(or_(*conditions))
        if hosts is not None:
            wanted = wanted.where(_of_hosts(hosts))
        if asked.playbooks:
            wanted = wanted.where(_of_playbooks(connection, asked.playbooks))
        if asked.since is not None:
            wanted = wanted.where(runs.c.started >= asked.since)
        if asked.project is not None:
            wanted = wanted.where(runs.c.project == str(asked.project))
        if asked.number is not None:
            wanted = wanted.limit(asked.number)
        found = connection.execute(wanted).mappings().all()
        fared = _fared(connection, [row["id"] for row in found], hosts)
        return [_past(row, fared.get(row["id"], {})) for row in found]


def find_past(database: Database, name: str) -> Kept | None:
    """Return what is kept of the run with this id, or of the only one whose id begins so; InputError for several."""
    with database.reading() as connection:
        near = select(runs).where(runs.c.run.startswith(name, autoescape=True)).order_by(runs.c.run.desc())
        # SQLite does not tell small letters from capital ones there.
        found = [row for row in connection.execute(near).mappings() if name and row["run"].startswith(name)]
        found = [row for row in found if row["run"] == name] or found
        if not found:
            return None
        if len(found) > 1:
            few = named_few([_past(row, {}).run for row in found])
            raise InputError(f"'{name}' could be {len(found)} runs", hint=f"write more of one: {few}")
        number = found[0]["id"]
        return Kept(
            past=_past(found[0], {}),
            hosts=_rows(connection, run_hosts, number),
            findings=_rows(connection, findings, number),
            changes=_rows(connection, changes, number),
        )


class Point(NamedTuple):
    """A number that a run saw: of `name` and `object` as in history.measures; bytes or a count."""

    host: str
    name: str
    object: str
    time: datetime
    value: float


def measured(
    database: Database, names: Iterable[str], *, hosts: Iterable[str] = (), since: datetime | None = None
) -> list[Point]:
    """Return what was measured under these names, by host, name, object and time; without hosts of all."""
    columns = (measures.c.host, measures.c.name, measures.c.object, measures.c.time, measures.c.value)
    asked = select(*columns).where(measures.c.name.in_(list(names))).order_by(*columns[:4])
    if hosts := list(hosts):
        asked = asked.where(measures.c.host.in_(hosts))
    if since is not None:
        asked = asked.where(measures.c.time >= since)
    with database.reading() as connection:
        return [Point(*row) for row in connection.execute(asked)]


def _rows(connection: Connection, table: Any, number: int) -> list[dict[str, Any]]:
    order = [table.c.number] if table is changes else []
    found = connection.execute(select(table).where(table.c.run_id == number).order_by(*order)).mappings()
    return [{name: value for name, value in row.items() if name != "run_id"} for row in found]


# -- what runs are chosen by


def _names(
    connection: Connection, what: str, known: Select[Any], patterns: Iterable[str]
) -> list[str] | None:
    """Return the known names that match; None where nothing is asked."""
    patterns = list(patterns)
    if not patterns:
        return None
    names = [str(name) for name in connection.execute(known).scalars()]
    return _matching(what, patterns, names, lambda name: (name,))


def _of_playbooks(connection: Connection, patterns: Iterable[str]) -> ColumnElement[bool]:
    """Match playbooks by their name, or as they were written."""
    known = connection.execute(select(runs.c.name, runs.c.playbook).distinct()).all()
    both = {str(playbook): (str(name), str(playbook)) for name, playbook in known}
    return runs.c.playbook.in_(_matching("playbook", list(patterns), both, both.__getitem__))


def _matching(
    what: str, patterns: list[str], known: Iterable[str], called: Callable[[str], tuple[str, ...]]
) -> list[str]:
    known = list(known)
    found: dict[str, None] = {}
    for pattern in patterns:
        matches = [one for one in known if any(fnmatchcase(name, pattern) for name in called(one))]
        if not matches:
            hint = _near(what, pattern, known, called)
            raise InputError(f"no run of a {what} '{pattern}' is in the history", hint=hint)
        found.update(dict.fromkeys(matches))
    return list(found)


def _near(what: str, pattern: str, known: list[str], called: Callable[[str], tuple[str, ...]]) -> str:
    names = sorted({called(one)[0] for one in known})
    if not names:
        return "there are no runs yet"
    hint = nearest(pattern, names)
    few = hint.startswith("did you mean") or len(names) <= _SHOWN
    return hint if few else f"{len(names)} {what}s are known: {', '.join(names[:_SHOWN])}, ..."


def _of_hosts(hosts: list[str], condition: ColumnElement[bool] | None = None) -> ColumnElement[bool]:
    inside = select(run_hosts.c.run_id).where(run_hosts.c.host.in_(hosts))
    return runs.c.id.in_(inside if condition is None else inside.where(condition))


def _with_status(status: str, hosts: list[str] | None) -> ColumnElement[bool]:
    """Say whether a run has a status: with hosts, whether one of them fared so in it."""
    if status not in STATUSES:
        raise InputError(f"no status '{status}'", hint=nearest(status, STATUSES))
    if status in ("running", "interrupted"):
        return runs.c.outcome == status
    if status == "cut-off":
        return runs.c.outcome == CUT_OFF
    if hosts is not None:
        return _of_hosts(hosts, _of_host(status))
    whole: dict[str, ColumnElement[bool]] = {
        "changed": and_(runs.c.mode != "check", runs.c.changes > 0),
        "pending": and_(runs.c.mode == "check", runs.c.predicted > 0),
        "findings": runs.c.findings > 0,
        "unresolved": runs.c.unresolved > 0,
    }
    return whole.get(status, runs.c.outcome == status)


def _of_host(status: str) -> ColumnElement[bool]:
    hosts = run_hosts.c
    by_count = {"failed": hosts.failed, "findings": hosts.findings, "unresolved": hosts.unresolved}
    if status in by_count:
        return by_count[status] > 0
    if status == "changed":
        return and_(hosts.changed > 0, hosts.status != "pending")
    if status == "ok":
        return hosts.status.in_(("ok", "changed", "pending"))
    return hosts.status == status


def _fared(connection: Connection, numbers: list[int], hosts: list[str] | None) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for start in range(0, len(numbers) if hosts else 0, AT_ONCE):
        asked = (
            select(run_hosts.c.run_id, run_hosts.c.host, run_hosts.c.status)
            .where(run_hosts.c.run_id.in_(numbers[start : start + AT_ONCE]), run_hosts.c.host.in_(hosts or ()))
            .order_by(run_hosts.c.host)
        )
        for number, host, status in connection.execute(asked):
            found.setdefault(number, {})[host] = status
    return found


def _past(row: Any, fared: dict[str, str]) -> Past:
    return Past(
        number=row["id"],
        run=RunSummary(
            id=row["run"],
            folder=Path(row["origin"].partition(":")[2]) / "runs" / row["run"],
            started=row["started"].timestamp(),
            arguments=tuple(json.loads(row["arguments"])),
            sources=tuple(json.loads(row["sources"])),
            **{
                name: row[name]
                for name in (
                    *("playbook", "inventory", "mode", "user", "seconds", "outcome", "exit_code", "hosts"),
                    *("changes", "intents", "predicted", "started_in", "lent"),
                )
            },
        ),
        origin=row["origin"],
        findings=row["findings"],
        unresolved=row["unresolved"],
        hosts=fared,
        gone=row["gone"],
        trouble=row["trouble"],
    )
