"""The run as one document for programs: schema `remedy.report/1`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from remedy.events import Approved, Changed, Event, TaskDone
from remedy.report.disks import NUMBERS, FileSystem, Room
from remedy.report.recap import Counts
from remedy.report.story import Finding, Story

SCHEMA = "remedy.report/1"


class JsonReport:
    """Gathers a run's events (a Sink) and returns them as a document; the caller writes it down."""

    def __init__(self) -> None:
        self._story = Story()
        self._tasks: list[dict[str, Any]] = []

    def __call__(self, event: Event) -> None:
        """Take an event."""
        self._story(event)
        if isinstance(event, TaskDone) and event.item is None:
            self._tasks.append(_task(event))

    def close(self) -> None:
        """Nothing is to be closed; a Console has the same method."""

    def document(self) -> dict[str, Any]:
        """Return the document; `started` and `finished` are ISO 8601 in UTC, null for what has not come.

        A finding's `resolved` is null where no diagnose has looked again.
        """
        story = self._story
        return {
            "schema": SCHEMA,
            "run": self._run(),
            "hosts": {name: self._host(name, counts) for name, counts in story.recap.hosts.items()},
            "findings": [_finding(finding) for finding in story.findings.values()],
            "changes": [_change(change) for change in story.told_changes()],
            "tasks": list(self._tasks),
        }

    def _run(self) -> dict[str, Any]:
        started, ended = self._story.started, self._story.ended
        return {
            "id": None if started is None else started.run,
            "playbook": None if started is None else started.playbook,
            "inventory": None if started is None else started.inventory,
            "mode": None if started is None else started.mode,
            "started": None if started is None else _instant(started.time),
            "finished": None if ended is None else _instant(ended.time),
            "seconds": None if ended is None else ended.seconds,
            "outcome": None if ended is None else ended.outcome,
            "exit_code": None if ended is None else ended.exit_code,
            "schedule": None if started is None else started.schedule or None,
            "approvals": [_approval(each) for each in self._story.approved],
        }

    def _host(self, name: str, counts: Counts) -> dict[str, Any]:
        left_out = self._story.left_out.get(name)
        trips = self._story.trips.get(name)
        return {
            "ok": counts.ok,
            "changed": counts.changed,
            "failed": counts.failed,
            "skipped": counts.skipped,
            "rescued": counts.rescued,
            "ignored": counts.ignored,
            "unreachable": counts.unreachable,
            "reason": None if left_out is None else left_out.reason,
            "message": None if left_out is None else left_out.message,
            "setup_trips": 0 if trips is None else trips.setup_trips,
            "round_trips": 0 if trips is None else trips.round_trips,
            "bytes_freed": self._story.freed(name),
            "filesystems": [_filesystem(each) for each in self._story.disks.of(name)],
        }


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _filesystem(each: FileSystem) -> dict[str, Any]:
    return {"mount": each.mount, "before": _room(each.before), "after": _room(each.after)}


def _room(room: Room | None) -> dict[str, Any] | None:
    return None if room is None else {name: getattr(room, name) for name in NUMBERS}


def _finding(finding: Finding) -> dict[str, Any]:
    raised = finding.raised
    names = ("host", "id", "severity", "title", "evidence", "advice")
    return {**{name: getattr(raised, name) for name in names}, "resolved": finding.resolved}


def _approval(approved: Approved) -> dict[str, Any]:
    said = {name: getattr(approved, name) or None for name in ("schedule", "kinds", "at_most", "until")}
    return {"time": _instant(approved.time), "play": approved.play, "by": approved.by, **said, "steps": approved.steps}


def _change(change: Changed) -> dict[str, Any]:
    names = ("host", "task", "module", "object", "before", "after", "diff", "reversible", "reason", "seconds")
    more = ("bytes_freed", "items", "happened")
    return {**{name: getattr(change, name) for name in (*names, *more)}, "delegated_by": change.delegated_by or None}


def _task(done: TaskDone) -> dict[str, Any]:
    names = ("host", "play", "section", "task", "module", "status", "reason", "seconds", "result", "kept")
    return {**{name: getattr(done, name) for name in names}, "delegated_to": list(done.delegated)}
