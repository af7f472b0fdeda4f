"""A journal as rows of the history database."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from remedy.errors import RemedyError
from remedy.events import TaskDone
from remedy.history.measures import measures_of
from remedy.journal import FILE, Summing, is_active, lines_of
from remedy.report import Counts, Story

Row = dict[str, Any]


class Rows(NamedTuple):
    """What the tables hold of one run, without its number there."""

    run: Row
    hosts: list[Row]
    findings: list[Row]
    changes: list[Row]
    measures: list[Row]


def rows_of(folder: Path, origin: str) -> Rows | None:
    """Return the rows of the run in a folder, as far as its journal goes; None where that does not say which run it is.

    Raises OSError where the journal cannot be read, RemedyError with the file's name likewise.
    """
    size = (folder / FILE).stat().st_size  # before it is read: what comes later counts as not read yet
    summing, story, measured = Summing(), Story(), _Measured()
    trouble = None
    try:
        for line in lines_of(folder):
            if line is not None:
                summing(line.event)
                story(line.event)
                if isinstance(line.event, TaskDone):
                    measured(line.event)
    except RemedyError as error:
        if summing.started is None:
            raise
        trouble = str(error)
    if summing.started is None:
        return None
    # Asked only of a journal that has lines and no end: to ask is to lock it, and a run that begins locks its own.
    summary = summing.summary(folder, running=summing.ended is None and is_active(folder))
    if summary is None:
        return None
    run = {
        "run": summary.id,
        "origin": origin,
        "playbook": summary.playbook,
        "name": Path(summary.playbook).stem,
        "inventory": summary.inventory,
        "mode": summary.mode,
        "user": summary.user,
        "arguments": json.dumps(summary.arguments),
        "sources": json.dumps(summary.sources),
        "started_in": summary.started_in,
        "project": None if summary.project is None else str(summary.project),
        "started": moment(summary.started),
        "seconds": summary.seconds,
        "outcome": summary.outcome,
        "exit_code": summary.exit_code,
        "hosts": summary.hosts,
        "changes": summary.changes,
        "predicted": summary.predicted,
        "intents": summary.intents,
        "lent": summary.lent,
        "findings": len(story.findings),
        "unresolved": sum(not each.resolved for each in story.findings.values()),
        "journal_bytes": size,
        "trouble": trouble,
        "gone": None,
    }
    hosts = [_host(story, name, counts) for name, counts in story.recap.hosts.items()]
    return Rows(run, hosts, _findings(story), _changes(story), measured.rows)


def moment(seconds: float) -> datetime:
    """Return a time since the epoch in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def _host(story: Story, name: str, counts: Counts) -> Row:
    left_out = story.left_out.get(name)
    found = [each for each in story.findings.values() if each.raised.host == name]
    return {
        "host": name,
        "status": _status(story, name, counts),
        "reason": None if left_out is None else left_out.reason,
        "message": None if left_out is None else left_out.message,
        "ok": counts.ok,
        "changed": counts.changed,
        "failed": counts.failed,
        "skipped": counts.skipped,
        "rescued": counts.rescued,
        "ignored": counts.ignored,
        "findings": len(found),
        "unresolved": sum(not each.resolved for each in found),
    }


def _status(story: Story, name: str, counts: Counts) -> str:
    if counts.failed:
        return "failed"
    left_out = story.left_out.get(name)
    if left_out is not None:
        return "refused" if left_out.refused else "unreachable"
    if counts.changed:
        return "pending" if story.mode == "check" else "changed"
    return "ok" if counts.ok or counts.skipped or counts.rescued else "none"


def _findings(story: Story) -> list[Row]:
    return [
        {
            "host": each.raised.host,
            "play": each.raised.play,
            "finding": each.raised.id,
            "severity": each.raised.severity,
            "title": each.raised.title,
            "raised": moment(each.raised.time),
            "resolved": each.resolved,
        }
        for each in story.findings.values()
    ]


def _changes(story: Story) -> list[Row]:
    return [
        {
            "number": number,
            "host": each.host,
            "task": each.task,
            "module": each.module,
            "kind": each.kind,
            "object": each.object,
            "happened": each.happened,
            "time": moment(each.time),
            "seconds": each.seconds,
            "bytes_freed": each.bytes_freed,
            "reversible": each.reversible,
            "predicted": each.predicted,
        }
        for number, each in enumerate(story.told_changes(), 1)
    ]


class _Measured:
    """Keeps of each number of a run the first and, where it differs, the last: before the fix and after it."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str, str], Row] = {}
        self._last: dict[tuple[str, str, str], Row] = {}

    def __call__(self, done: TaskDone) -> None:
        for name, about, value in measures_of(done):
            key = done.host, name, about
            row = {
                "host": done.host,
                "name": name,
                "object": about,
                "value": value,
                "time": moment(done.time),
            }
            if key not in self._first:
                self._first[key] = row
            else:
                self._last[key] = row

    @property
    def rows(self) -> list[Row]:
        """The rows, in the order in which they were first seen."""
        found = []
        for key, first in self._first.items():
            found.append(first)
            if key in self._last and self._last[key]["value"] != first["value"]:
                found.append(self._last[key])
        return found
