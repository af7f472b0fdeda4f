"""Which run a rollback means that names none."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from remedy.errors import InputError
from remedy.journal.history import RUNS, list_runs, named_few
from remedy.journal.record import read_run
from remedy.journal.summary import RunSummary
from remedy.journal.undo import UndoPlan, undo_plan


class Undoable(NamedTuple):
    """A run with something to take back; `passed` are the newer runs that were to change something."""

    run: RunSummary
    plan: UndoPlan
    passed: tuple[RunSummary, ...]


def newest_undoable(state: Path) -> Undoable:
    """Return the newest run, itself no rollback, with a change that can be taken back and has not been.

    InputError where there is none. A run that was cut off counts with what it may have changed.
    """
    runs = list_runs(state)
    passed: list[RunSummary] = []
    for run in runs:
        if run.mode not in ("apply", "rollback"):
            continue
        if run.mode == "apply" and run.may_have_changed:
            plan = undo_plan(read_run(run.folder))
            if any(step.undone_by is None for steps in plan.hosts.values() for step in steps):
                return Undoable(run, plan, tuple(passed))
        passed.append(run)
    raise InputError(
        f"no run in {state / RUNS} has anything that can be taken back",
        hint=f"the newest runs: {named_few(runs)}" if runs else "there are no runs yet",
    )
