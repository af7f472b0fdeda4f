"""What the later rollbacks of a run have done: which of its changes they took back, and what they left half done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from remedy.events import Changed, TaskDone
from remedy.journal.history import list_runs
from remedy.journal.record import RunRecord, read_run
from remedy.journal.summary import RunSummary

SECTION = "rollback"

Key = tuple[str, str]
"""A host and an object on it."""


class Rollbacks(Struct, frozen=True):
    """`undone`: the rollbacks that took a change of an object back, oldest first, without those that were taken
    back themselves. `left`: the states in which rollbacks that failed may have left an object.
    """

    undone: Mapping[Key, Sequence[str]]
    left: Mapping[Key, Sequence[Any]]


def rollbacks(record: RunRecord, runs: Sequence[RunSummary] | None = None) -> Rollbacks:
    """Return what has been done to take a run back; `runs` are those of the state folder, newest first."""
    if runs is None:
        runs = list_runs(record.folder.parent.parent)
    undone: dict[Key, list[str]] = defaultdict(list)
    left: dict[Key, list[Any]] = defaultdict(list)
    for run in reversed(runs):
        if not takes_back(run, record.id):
            continue
        later = read_run(run.folder)
        taken: dict[Key, list[str]] = defaultdict(list)
        for key, change, whole in _undos(later):
            if whole:
                taken[key].append(run.id)
            elif change.after is not None:  # None is told of a hidden state too
                left[key].append(change.after)
        again = rollbacks(later, runs)
        for key, each in taken.items():
            undone[key] += each[len(again.undone.get(key, ())) :]
        for key, states in again.left.items():
            left[key] += states
    return Rollbacks(dict(undone), dict(left))


def takes_back(run: RunSummary, name: str) -> bool:
    """Say whether a run is a rollback (no check of one) of the run with this id."""
    named = run.arguments[1:2] if run.arguments[:1] == ("rollback",) else ()
    return run.mode == "rollback" and bool(named and named[0]) and name.startswith(named[0])


def _undos(record: RunRecord) -> Iterator[tuple[Key, Changed, bool]]:
    """Yield each change that a rollback made, and whether its undo came to its end.

    A host's undos happen one after the other, each change before the end of its task.
    """
    waiting: dict[tuple[str, str], list[Changed]] = defaultdict(list)
    for event in record.events:
        if isinstance(event, Changed) and event.section == SECTION and not event.predicted:
            waiting[event.host, event.task].append(event)
        elif isinstance(event, TaskDone) and event.section == SECTION:
            made = waiting[event.host, event.task]
            if made:
                change = made.pop(0)
                yield (change.host, change.object), change, event.status == "changed"
    for made in waiting.values():
        for change in made:  # cut off before the task's end
            yield (change.host, change.object), change, False
