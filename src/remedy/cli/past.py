"""Past runs as `remedy history` shows them, for people and for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from remedy.cli.telling import as_json
from remedy.events import Changed, Intent, RunStarted, TaskDone
from remedy.journal import RunRecord, RunSummary
from remedy.report import JsonReport
from remedy.report.text import count, duration, pad, safe, size

_ITEMS = 20


def runs_as_text(runs: Sequence[RunSummary], project: Path) -> str:
    """Return a line for each run; those of another project say which."""
    rows = [
        (
            each.id,
            _when(each.started),
            each.mode,
            safe(Path(each.playbook).stem),
            safe(each.user),
            count(each.hosts, "host"),
            f"{_outcome(each)}, {_changes(each)}",
            _elsewhere(each, project),
        )
        for each in runs
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(pad, row, widths)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


def runs_as_json(runs: Sequence[RunSummary]) -> str:
    """Return the runs as a document, newest first; the fields are RunSummary's, and `project`, its root."""
    rows = [
        {**asdict(each), "folder": str(each.folder), "project": each.project and str(each.project)}
        for each in runs
    ]
    return json.dumps({"schema": "remedy.history/1", "runs": rows}, indent=2)


def run_as_json(record: RunRecord) -> str:
    """Return a run's report once more, with who made it and where its journal is."""
    return as_json(run_as_document(record))


def run_as_document(record: RunRecord) -> dict[str, Any]:
    """Return a run's report, schema `remedy.report/1`, with who made it and where its journal is."""
    report = JsonReport()
    for event in record.events:
        report(event)
    document = report.document()
    summary = record.summary
    document["run"].update(outcome=summary.outcome, user=summary.user, journal=str(record.folder))
    return document


def run_as_text(record: RunRecord, *, every: bool) -> str:
    """Return what a run was and every object it changed; `every`: all items of a sweep, not the largest 20."""
    run = record.summary
    hosts = next((event.hosts for event in record.events if isinstance(event, RunStarted)), [])
    took = "" if run.seconds is None else f" after {duration(run.seconds)}"
    lines = [
        f"{record.id}: {run.mode}, {_outcome(run)}{took}, {_changes(run)}",
        f"  playbook   {run.playbook}",
        f"  inventory  {run.inventory}",
        *([f"  project    {run.project}"] if run.project else []),
        f"  by         {run.user}, {_when(run.started)}",
        f"  hosts      {', '.join(hosts)}",
        f"  journal    {record.folder}",
        *_objects(record, every=every),
    ]
    return "\n".join(map(safe, lines))


def _objects(record: RunRecord, *, every: bool) -> Iterator[str]:
    for event in record.events:
        if not isinstance(event, Changed):
            continue
        foreseen = "would change " if event.predicted else ""
        freed = f", {size(event.bytes_freed)} freed" if event.bytes_freed and not event.predicted else ""
        back = "" if event.reversible or event.predicted else f" (cannot be taken back: {event.reason})"
        whose = f" (a task of {event.delegated_by})" if event.delegated_by else ""
        yield f"  {foreseen}{event.host}: {event.task}{whose}: {event.object}{freed}{back}"
        yield from _items(event.items, every=every)
    for intent in _open(record):
        yield f"  may have changed {intent.host}: {intent.task}: {intent.object} (its end is not known)"
        if intent.kind == "sweep" and isinstance(intent.want, list):
            yield from _items(intent.want, every=every)


def _items(items: Sequence[Mapping[str, Any]], *, every: bool) -> Iterator[str]:
    largest = sorted(items, key=lambda item: -(item.get("size") or 0))
    shown = largest if every else largest[:_ITEMS]
    sized = any(item.get("size") for item in items)
    for item in shown:
        reason = f"  {item['reason']}" if item.get("reason") else ""
        # What is ended rather than deleted (a session) has no size, and more to say of why.
        about = (
            f"{size(item.get('size') or 0):>10}  {item.get('item')}"
            if sized
            else f"{item.get('item')}{reason}"
        )
        yield f"      {about}"
    if len(shown) < len(largest):
        yield f"      ... and {len(largest) - len(shown)} more (-v lists them)"


def _open(record: RunRecord) -> list[Intent]:
    """Return the writes that were announced, and of which nothing more was heard."""
    waiting: dict[tuple[str, str], Intent] = {}
    for event in record.events:
        if isinstance(event, Intent):
            waiting[event.host, event.change] = event
        elif isinstance(event, Changed) and not event.predicted:
            waiting.pop((event.host, event.change), None)
        elif isinstance(event, TaskDone):
            place = event.host, event.section, event.task, event.position
            for key, each in list(waiting.items()):
                if (each.delegated_by or each.host, each.section, each.task, each.position) == place:
                    del waiting[key]
    return list(waiting.values())


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


def _elsewhere(run: RunSummary, project: Path) -> str:
    return f"in {safe(str(run.project))}" if run.project not in (None, project) else ""


def _outcome(run: RunSummary) -> str:
    return run.outcome if run.exit_code is None else f"{run.outcome} ({run.exit_code})"


def _changes(run: RunSummary) -> str:
    return f"{run.predicted} pending" if run.mode == "check" else count(run.changes, "change")
