"""Past runs as `remedy history` shows them, for people and for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remedy.cli.telling import as_json
from remedy.events import Approved, Changed, Intent, RunStarted, TaskDone
from remedy.journal import RunRecord, RunSummary
from remedy.report import JsonReport
from remedy.report.sections import by_whom
from remedy.report.text import count, duration, pad, safe, size

if TYPE_CHECKING:
    from remedy.history.queries import Kept, Past

_ITEMS = 20


def runs_as_text(runs: Sequence[Past], project: Path, origin: str) -> str:
    """Return a line for each run; those of another project, state folder or machine say which."""
    rows = [
        (
            each.run.id,
            _when(each.run.started),
            each.run.mode,
            safe(Path(each.run.playbook).stem),
            safe(each.run.user),
            count(each.run.hosts, "host"),
            ", ".join([_outcome(each.run), *_found(each), _changes(each.run)]),
            ", ".join(safe(f"{host}: {status}") for host, status in each.hosts.items()),
            "; ".join(_elsewhere(each, project, origin)),
        )
        for each in runs
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    filled = [number for number, width in enumerate(widths) if width]
    lines = ("  ".join(pad(row[number], widths[number]) for number in filled).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


def runs_as_json(runs: Sequence[Past]) -> str:
    """Return the runs as a document, newest first; the fields are RunSummary's, with what else the history knows."""
    rows = [
        {
            **asdict(each.run),
            "folder": str(each.run.folder),
            "project": each.run.project and str(each.run.project),
            "origin": each.origin,
            "findings": each.findings,
            "unresolved": each.unresolved,
            "asked": each.hosts,
            "gone": each.gone and each.gone.isoformat(),
            "trouble": each.trouble,
        }
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
    """Return what a run was, what it found, what failed, and every object it changed.

    `every`: all items of a sweep, not the largest 20.
    """
    run = record.summary
    started = next((event for event in record.events if isinstance(event, RunStarted)), None)
    took = "" if run.seconds is None else f" after {duration(run.seconds)}"
    lines = [
        f"{record.id}: {run.mode}, {_outcome(run)}{took}, {_changes(run)}",
        f"  playbook   {run.playbook}",
        f"  inventory  {run.inventory}",
        *([f"  project    {run.project}"] if run.project else []),
        f"  by         {run.user}, {_when(run.started)}",
        *([f"  schedule   {started.schedule}"] if started is not None and started.schedule else []),
        f"  hosts      {', '.join(started.hosts if started is not None else ())}",
        f"  journal    {record.folder}",
        *_approved(record, every=every),
        *_troubles(run_as_document(record)),
        *_objects(record, every=every),
    ]
    return "\n".join(map(safe, lines))


def kept_as_json(kept: Kept) -> str:
    """Return what is left of a run whose journal is gone, in the shape of its report: what is not known is null."""
    run = kept.past.run
    ended = None if run.seconds is None else run.started + run.seconds
    return as_json(
        {
            "schema": "remedy.report/1",
            "run": {
                **{name: getattr(run, name) for name in ("id", "playbook", "inventory", "mode")},
                "started": _instant(run.started),
                "finished": None if ended is None else _instant(ended),
                **{name: getattr(run, name) for name in ("seconds", "outcome", "exit_code", "user")},
                "schedule": None,
                "approvals": None,
                "journal": None,
                "origin": kept.past.origin,
                "gone": kept.past.gone and kept.past.gone.isoformat(),
            },
            "hosts": {each["host"]: each for each in kept.hosts},
            "findings": [
                {**each, "id": each["finding"], "raised": each["raised"].isoformat()} for each in kept.findings
            ],
            "changes": [{**each, "time": each["time"].isoformat()} for each in kept.changes],
            "tasks": None,
        }
    )


def kept_as_text(kept: Kept) -> str:
    """Return what is left of a run whose journal is gone."""
    past, run = kept.past, kept.past.run
    took = "" if run.seconds is None else f" after {duration(run.seconds)}"
    if past.gone is not None:
        since = f"gone (missed since {_when(past.gone.timestamp())}): this is what the history has kept of it"
    else:
        since = f"{run.folder} on {past.origin.partition(':')[0]}"
    lines = [
        f"{run.id}: {run.mode}, {_outcome(run)}{took}, {_changes(run)}",
        f"  playbook   {run.playbook}",
        f"  inventory  {run.inventory}",
        *([f"  project    {run.project}"] if run.project else []),
        f"  by         {run.user}, {_when(run.started)}",
        f"  hosts      {', '.join(each['host'] for each in kept.hosts)}",
        f"  journal    {since}",
        *map(_finding, kept.findings),
        *(_kept_change(each) for each in kept.changes),
    ]
    return "\n".join(map(safe, lines))


def _kept_change(row: Mapping[str, Any]) -> str:
    foreseen = "would change " if row["predicted"] else ""
    freed = f", {size(row['bytes_freed'])} freed" if row["bytes_freed"] and not row["predicted"] else ""
    return f"  {foreseen}{row['host']}: {row['task']}: {row['object']}{freed}"


def _approved(record: RunRecord, *, every: bool) -> Iterator[str]:
    """Yield on whose word what was destroyed or interrupted, where that needed one."""
    given = by_whom([event for event in record.events if isinstance(event, Approved)])
    for leave, steps in given.items():
        yield f"  approved   {leave}"
        shown = steps if every else steps[:_ITEMS]
        yield from (f"      {step}" for step in shown)
        if len(shown) < len(steps):
            yield f"      ... and {len(steps) - len(shown)} more (-v lists them)"


def _troubles(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a run's report says of findings, hosts that were left out, and tasks that failed."""
    yield from map(_finding, document["findings"])
    for name, host in document["hosts"].items():
        if host["message"]:
            yield f"  {name} was left out ({host['reason']}): {_one_line(host['message'])}"
    for task in document["tasks"]:
        if task["status"] in ("failed", "unknown"):
            yield f"  {task['status']} {task['host']}: {task['task']}: {_one_line(task['reason'])}"


def _one_line(text: str | None) -> str:
    return " / ".join(line.strip() for line in (text or "").splitlines() if line.strip())


def _finding(row: Mapping[str, Any]) -> str:
    resolved = {True: " (resolved)", False: " (not resolved)"}.get(row["resolved"], "")
    return f"  {row['host']}: {row['severity']} {row['title']}{resolved}"


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


def _instant(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _found(past: Past) -> list[str]:
    left = f" ({past.unresolved} left)" if past.unresolved and past.run.mode == "apply" else ""
    return [f"{count(past.findings, 'finding')}{left}"] if past.findings else []


def _elsewhere(past: Past, project: Path, origin: str) -> Iterator[str]:
    """Yield where a run is from, if not from here, and what has become of its journal."""
    machine, _, state = past.origin.partition(":")
    here = origin.partition(":")[0]
    if machine != here:
        yield f"on {safe(machine)}"
    elif past.origin != origin:
        yield f"journal in {safe(state)}"
    if past.run.project not in (None, project):
        yield f"in {safe(str(past.run.project))}"
    if past.gone is not None:
        yield "journal gone"
    elif past.trouble is not None:
        yield "journal damaged"


def _outcome(run: RunSummary) -> str:
    return run.outcome if run.exit_code is None else f"{run.outcome} ({run.exit_code})"


def _changes(run: RunSummary) -> str:
    return f"{run.predicted} pending" if run.mode == "check" else count(run.changes, "change")
