"""Which runbooks have a drill, and when each last passed: from the reports in the state folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remedy.drill.file import load_drill
from remedy.drill.record import SCHEMA
from remedy.drill.state import FOLDER
from remedy.errors import InputError
from remedy.playbook import load as load_playbook
from remedy.project import Project

_NEVER_BEGAN = (3, 5)  # exit codes: refused, or told something wrong; nothing was rehearsed


@dataclass(frozen=True, kw_only=True)
class Row:
    """A runbook with one of its drills, None where it has none; times as ISO 8601 in UTC, None for never.

    `error` says what is wrong with a file that cannot be read: a drill's, whose runbook is None then, or a runbook's.
    """

    runbook: str | None
    drill: str | None
    title: str | None = None
    last_run: str | None = None
    outcome: str | None = None
    last_passed: str | None = None
    time_to_detect: float | None = None
    time_to_heal: float | None = None
    error: str | None = None


def matrix(project: Project) -> list[Row]:
    """Return every runbook of the project and the package with its drills; what cannot be read has its `error`."""
    drills: dict[str, list[tuple[str, str]]] = {}
    broken: list[Row] = []
    for found in project.drills():
        try:
            drill = load_drill(found.path, project=project)
        except InputError as error:
            broken.append(Row(runbook=None, drill=found.name, error=str(error)))
            continue
        drills.setdefault(drill.runbook, []).append((drill.name, drill.title))
    past = _past(project.state / FOLDER)
    rows: list[Row] = []
    for runbook in dict.fromkeys([*_runbooks(project, broken), *sorted(drills)]):
        for name, title in drills.get(runbook, ()):
            rows.append(_row(runbook, name, title, past.get(name, [])))
        if runbook not in drills:
            rows.append(Row(runbook=runbook, drill=None))
    return rows + broken


def _runbooks(project: Project, broken: list[Row]) -> Iterator[str]:
    for found in project.playbooks():
        try:
            playbook = load_playbook(found.path, project=project)
        except InputError as error:
            broken.append(Row(runbook=found.name, drill=None, error=str(error)))
            continue
        if any(play.diagnose for play in playbook.plays):
            yield found.name


def _row(runbook: str, name: str, title: str, past: list[dict[str, Any]]) -> Row:
    """Return the row of a drill; `past` are its records, oldest first."""
    last = past[-1] if past else {}
    passed: dict[str, Any] = next((one for one in reversed(past) if one.get("outcome") == "passed"), {})
    return Row(
        runbook=runbook,
        drill=name,
        title=title,
        last_run=last.get("started"),
        outcome=last.get("outcome"),
        last_passed=passed.get("started"),
        time_to_detect=last.get("time_to_detect"),
        time_to_heal=last.get("time_to_heal"),
    )


def _past(folder: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for path in folder.glob("*/drill.json") if folder.is_dir() else ():
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # what cannot be read is no proof
        if isinstance(document, dict) and document.get("schema") == SCHEMA:
            for one in document.get("drills", ()):
                if one.get("outcome") != "not run" and one.get("exit_code") not in _NEVER_BEGAN:
                    found.setdefault(str(one.get("name")), []).append(one)
    for records in found.values():
        records.sort(key=lambda one: str(one.get("started")))
    return found
