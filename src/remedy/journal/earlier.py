"""What earlier runs did to one object of a host, by their journals: for what must not be done twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from remedy.errors import RemedyError
from remedy.events import Intent
from remedy.journal.history import list_runs
from remedy.journal.journal import FILE
from remedy.journal.record import read_run


class Earlier(NamedTuple):
    """A write that a run announced, of an object from `before` to `want`; whether it was done, the host says."""

    run: str
    before: Any
    want: Any


class Journals:
    """The runs of a state folder, as far as they are about one object."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def last(self, host: str, name: str, warn: Callable[[str], None]) -> Earlier | None:
        """Return the last write to an object; `warn` is told of journals that cannot be read."""
        written = json.dumps(name).encode("ascii")
        for run in list_runs(self._state):
            if run.mode != "apply" or not run.intents or not _has(run.folder / FILE, written):
                continue
            try:
                record = read_run(run.folder)
                for line in reversed(record.lines):
                    event = line.event
                    if isinstance(event, Intent) and (event.host, event.object) == (host, name):
                        whole = record.intent(line)
                        return Earlier(run=run.id, before=whole.before, want=whole.want)
            except RemedyError as error:
                warn(f"what the run {run.id} did to {name} is not known: {error}")
        return None


def _has(path: Path, written: bytes) -> bool:
    """Say whether a text stands in a journal, as journals write it: cheap, and most are about other objects."""
    try:
        return written in path.read_bytes()
    except OSError:
        return False
