"""Events as the engine tells them, with what a test does not care about filled in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from remedy.events import Changed, Event, Intent, RunEnded, RunStarted, TaskDone
from remedy.journal import Journal


def started(run: str, **given: Any) -> RunStarted:
    about: dict[str, Any] = {
        "run": run,
        "playbook": "playbooks/disk-full.yml",
        "inventory": "prod",
        "mode": "apply",
        "user": "ada",
        "hosts": ["db1", "db2"],
        "arguments": ["play", "disk-full"],
    }
    return RunStarted(**{**about, **given})


def ended(run: str, outcome: str = "ok", exit_code: int = 0) -> RunEnded:
    return RunEnded(run=run, outcome=outcome, exit_code=exit_code, seconds=1.5)


def intent(**given: Any) -> Intent:
    about: dict[str, Any] = {
        "host": "db1",
        "change": "1.1",
        "play": "Disk full",
        "section": "tasks",
        "task": "Write it",
        "position": "site.yml:7:5",
        "module": "copy",
        "kind": "resource",
        "object": "file:/etc/motd",
        "before": {"sha1": "old"},
        "want": {"sha1": "new"},
        "kept": {"path": "/etc/motd", "entries": [{"content": b"old\x00\xff"}]},
        "irreversible": None,
        "params": {"dest": "/etc/motd", "content": "new"},
        "become": {"user": "root", "method": "sudo"},
        "notify": [],
    }
    return Intent(**{**about, **given})


def changed(**given: Any) -> Changed:
    about: dict[str, Any] = {
        "host": "db1",
        "change": "1.1",
        "play": "Disk full",
        "section": "tasks",
        "task": "Write it",
        "module": "copy",
        "kind": "resource",
        "object": "file:/etc/motd",
        "before": {"sha1": "old"},
        "after": {"sha1": "new"},
        "diff": "",
        "reversible": True,
        "reason": "",
        "seconds": 0.1,
    }
    return Changed(**{**about, **given})


def done(**given: Any) -> TaskDone:
    about: dict[str, Any] = {
        "host": "db1",
        "play": "Disk full",
        "section": "tasks",
        "task": "Write it",
        "position": "site.yml:7:5",
        "module": "copy",
        "status": "changed",
        "reason": "",
        "seconds": 0.1,
        "result": {"changed": True},
    }
    return TaskDone(**{**about, **given})


def back(run: str) -> dict[str, Any]:
    """Return what a rollback of a run says of itself."""
    return {"mode": "rollback", "arguments": ["rollback", run]}


def undid(object: str = "file:/etc/motd", *, after: Any = None, status: str = "changed") -> list[Event]:
    """Return what a rollback tells of one change that it took back, or tried to."""
    about: dict[str, Any] = {"section": "rollback", "task": "undo: Write it"}
    after = {"sha1": "old"} if after is None else after
    return [
        intent(change="undo1", object=object, position="rollback", **about),
        changed(change="undo1", object=object, after=after, **about),
        done(status=status, position="rollback", **about),
    ]


def write(state: Path, run: str, events: Iterable[Event], *, end: bool = True, **about: Any) -> Path:
    """Write the journal of a whole run and return its folder."""
    folder = state / "runs" / run
    journal = Journal(folder)
    journal(started(run, **about))
    for event in events:
        journal(event)
    if end:
        journal(ended(run))
    journal.close()
    return folder
