"""Which run a rollback means that names none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from remedy.errors import InputError
from remedy.journal.history import RUNS, list_runs, named_few
from remedy.journal.record import read_run
from remedy.journal.summary import RunSummary
from remedy.journal.undo import UndoPlan, undo_plan

_FEW = 3


class Undoable(NamedTuple):
    """A run with something to take back; newer runs that were to change something: `passed`, `elsewhere`.

    The latter were started in another project than the one that was asked for.
    """

    run: RunSummary
    plan: UndoPlan
    passed: tuple[RunSummary, ...]
    elsewhere: tuple[RunSummary, ...]


def newest_undoable(state: Path, project: Path | None = None) -> Undoable:
    """Return the newest run, itself no rollback, with a change that can be taken back and has not been.

    `project` (its root): only runs that were started there; None: whichever. InputError where there is none. A run that
    was cut off counts with what it may have changed.
    """
    runs = list_runs(state)
    passed: list[RunSummary] = []
    elsewhere: list[RunSummary] = []
    for run in runs:
        if run.mode not in ("apply", "rollback"):
            continue
        if project is not None and run.project != project:
            if run.mode == "apply" and run.may_have_changed:
                elsewhere.append(run)
            continue
        if run.mode == "apply" and run.may_have_changed:
            plan = undo_plan(read_run(run.folder))
            if any(step.undone_by is None for steps in plan.hosts.values() for step in steps):
                return Undoable(run, plan, tuple(passed), tuple(elsewhere))
        passed.append(run)
    hint = f"the newest runs: {named_few(runs)}" if runs else "there are no runs yet"
    if elsewhere:
        hint = f"name one of other projects, where it is meant: {told_with_project(elsewhere)}"
    whose = f" of the project {project}" if project is not None and runs else ""
    raise InputError(f"no run{whose} in {state / RUNS} has anything that can be taken back", hint=hint)


def told_with_project(runs: Sequence[RunSummary]) -> str:
    """Return the first few runs, each with the project it was started in."""
    more = f" and {len(runs) - _FEW} more" if len(runs) > _FEW else ""
    return ", ".join(f"{run.id} ({run.project or 'project not known'})" for run in runs[:_FEW]) + more
