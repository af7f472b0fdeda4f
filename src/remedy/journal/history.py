"""The runs of a state folder: listed, found by name, deleted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from remedy.errors import InputError, Refused, RemedyError
from remedy.journal.record import is_active, sum_up
from remedy.journal.summary import RunSummary, read_summary

RUNS = "runs"
_SHOWN = 5


def list_runs(state: Path) -> list[RunSummary]:
    """Return the runs in a state folder, newest first; a journal that cannot be read is left out."""
    return sorted(_summaries(state), key=lambda run: (run.started, run.id), reverse=True)


def find_run(state: Path, name: str) -> RunSummary:
    """Return the run with this id, or the only one whose id begins so; InputError with what is near."""
    runs = list_runs(state)
    exact = [run for run in runs if run.id == name]
    near = exact or [run for run in runs if name and run.id.startswith(name)]
    if len(near) == 1:
        return near[0]
    if near:
        raise InputError(f"'{name}' could be {len(near)} runs", hint=f"write more of one: {named_few(near)}")
    close = get_close_matches(name, [run.id for run in runs], n=1, cutoff=0.6)
    hint = f"did you mean '{close[0]}'?" if close else _newest(runs) or "there are no runs yet"
    raise InputError(f"no run '{name}' in {state / RUNS}", hint=hint)


def delete_run(folder: Path) -> None:
    """Delete a run's folder; Refused while the run is under way."""
    if is_active(folder):
        raise Refused(
            f"the run {folder.name} is under way", hint="wait for its end, or stop it where it was started"
        )
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise RemedyError(f"cannot delete {error.filename or folder}: {error.strerror}") from error


def _summaries(state: Path) -> Iterator[RunSummary]:
    runs = state / RUNS
    for folder in sorted(runs.iterdir()) if runs.is_dir() else ():
        try:
            summary = read_summary(folder) or sum_up(folder)
        except RemedyError:
            continue
        if summary is not None:
            yield summary


def _newest(runs: list[RunSummary]) -> str:
    return f"the newest runs: {named_few(runs)}" if runs else ""


def named_few(runs: Sequence[RunSummary]) -> str:
    """Return the ids of the first few runs, and how many more there are."""
    more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    return ", ".join(run.id for run in runs[:_SHOWN]) + more
