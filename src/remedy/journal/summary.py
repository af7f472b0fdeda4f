"""A run in one line, for lists: computed as the events pass, and read back from summary.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from remedy.events import Changed, Event, Intent, RunEnded, RunStarted
from remedy.project import root_of

SUMMARY = "summary.json"
RUNNING, CUT_OFF = "running", "cut off"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """One run; `started` in seconds since the epoch, `hosts`, `changes` and `predicted` (changes) are counts.

    `outcome` is RunEnded's, or "running", or "cut off" where the end is missing; then `exit_code` is None.
    `intents` counts the writes that were announced: in a run cut off it may exceed `changes`; `lent` those among them
    that were for a time.
    """

    id: str
    folder: Path
    playbook: str
    inventory: str
    mode: str
    user: str
    arguments: tuple[str, ...]
    started: float
    seconds: float | None
    outcome: str
    exit_code: int | None
    hosts: int
    changes: int
    intents: int
    predicted: int = 0
    sources: tuple[str, ...] = ()
    started_in: str = ""
    lent: int = 0

    @property
    def project(self) -> Path | None:
        """The root of the project that it was started in; None where its journal does not say."""
        return root_of(Path(self.started_in)) if self.started_in else None

    @property
    def may_have_changed(self) -> bool:
        """Say whether this run changed something, or was cut off where it may have."""
        return self.mode != "check" and bool(self.changes or self.intents)


class Summing:
    """Sums up a run from its events."""

    def __init__(self) -> None:
        self.started: RunStarted | None = None
        self.ended: RunEnded | None = None
        self._changes = 0
        self._intents = 0
        self._predicted = 0
        self._lent = 0

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, RunStarted):
            self.started = event
        elif isinstance(event, RunEnded):
            self.ended = event
        elif isinstance(event, Intent):
            self._intents += 1
            self._lent += bool(event.lent)
        elif isinstance(event, Changed) and event.predicted:
            self._predicted += 1
        elif isinstance(event, Changed):
            self._changes += 1

    def summary(self, folder: Path, *, running: bool) -> RunSummary | None:
        """Return the summary; None before the run has started."""
        if self.started is None:
            return None
        ended = self.ended
        return RunSummary(
            id=folder.name,
            folder=folder,
            playbook=self.started.playbook,
            inventory=self.started.inventory,
            mode=self.started.mode,
            user=self.started.user,
            arguments=tuple(map(str, self.started.arguments)),
            started=self.started.time,
            seconds=None if ended is None else ended.seconds,
            outcome=ended.outcome if ended is not None else RUNNING if running else CUT_OFF,
            exit_code=None if ended is None else ended.exit_code,
            hosts=len(self.started.hosts),
            changes=self._changes,
            intents=self._intents,
            predicted=self._predicted,
            sources=tuple(self.started.sources or ()),
            started_in=self.started.started_in,
            lent=self._lent,
        )

    def as_json(self) -> bytes:
        """Return what summary.json holds."""
        summary = self.summary(Path(), running=False)
        values = {} if summary is None else asdict(summary)
        for name in ("id", "folder"):
            values.pop(name, None)
        return json.dumps(values).encode("ascii")


def read_summary(folder: Path) -> RunSummary | None:
    """Return what summary.json says; None where it is missing or of no use."""
    try:
        values: dict[str, Any] = json.loads((folder / SUMMARY).read_bytes())
        for name in ("arguments", "sources"):
            values[name] = tuple(values[name])
        return RunSummary(**{**values, "id": folder.name, "folder": folder})
    except (OSError, ValueError, TypeError, KeyError):
        return None
