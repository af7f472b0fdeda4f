"""What earlier runs lent on hosts, for the time of a task, and nobody has seen put back since.

A run puts back what it lends, else the host's agent does. What both could not, because the host lost its power in
between, only the journal still knows.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from remedy.errors import RemedyError
from remedy.journal.disk import trouble
from remedy.journal.history import list_runs
from remedy.journal.record import read_run
from remedy.journal.summary import RUNNING
from remedy.journal.undo import undo_plan

BACK = "back.jsonl"
"""In a run's folder: what of it was seen put back, as [host, object], so that it is asked for once."""


class Loan(Struct, frozen=True, kw_only=True):
    """A change that a run made for a time: a step of `module` with `params`; the object was `before`."""

    run: str
    host: str
    task: str
    module: str
    object: str
    params: Mapping[str, Any]
    before: Any


class Loans:
    """What the runs of a state folder lent; read once, when first asked for."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._turn = threading.Lock()
        self._found: list[Loan] | None = None
        self._troubles: list[str] = []

    def of(self, host: str, warn: Callable[[str], None]) -> list[Loan]:
        """Return what was lent on a host; `warn` is told of journals that cannot be read."""
        with self._turn:
            if self._found is None:
                self._found = list(self._read())
            for text in self._troubles:
                warn(text)
            self._troubles = []
            return [loan for loan in self._found if loan.host == host]

    def back(self, loan: Loan) -> None:
        """Remember that it was seen put back; raises RemedyError."""
        path = self._state / "runs" / loan.run / BACK
        with self._turn:
            self._found = [each for each in self._found or () if each != loan]
            try:
                opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                try:
                    line = json.dumps([loan.host, loan.object]).encode("ascii")
                    os.write(opened, b"\n" + line + b"\n")  # what stands before it may be torn
                finally:
                    os.close(opened)
            except OSError as error:
                raise trouble(error, path, "note what is back") from error

    def _read(self) -> Iterator[Loan]:
        for run in list_runs(self._state):
            if not run.lent or run.mode != "apply" or run.outcome == RUNNING:
                continue
            try:
                seen = _seen(run.folder / BACK)
                plan = undo_plan(read_run(run.folder))
            except RemedyError as error:
                self._troubles.append(f"what the run {run.id} lent is not known: {error}")
                continue
            for host, steps in plan.hosts.items():
                for step in steps:
                    if step.lent and step.undone_by is None and (host, step.object) not in seen:
                        yield Loan(
                            run=run.id,
                            host=host,
                            task=step.task,
                            module=step.module,
                            object=step.object,
                            params=step.params,
                            before=step.before,
                        )


def _seen(path: Path) -> set[tuple[str, str]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return set()
    seen = set()
    for line in lines:
        try:
            host, name = json.loads(line)
        except (ValueError, TypeError):
            continue  # torn: it is asked for once more
        seen.add((str(host), str(name)))
    return seen
