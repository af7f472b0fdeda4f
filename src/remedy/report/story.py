"""What happened in a run, gathered from its events: what console and JSON tell in their own ways."""

from __future__ import annotations

from dataclasses import dataclass, replace

from remedy.events import (
    Approved,
    Changed,
    Event,
    FindingRaised,
    FindingResolved,
    HostLeftOut,
    RoundTrips,
    RunEnded,
    RunStarted,
    TaskDone,
    Warned,
)
from remedy.report.disks import Disks
from remedy.report.recap import Recap


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding on a host; `resolved` is None where nobody looked again."""

    raised: FindingRaised
    resolved: bool | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Host, play and id."""
        return self.raised.host, self.raised.play, self.raised.id


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that a task left alone, and why."""

    host: str
    task: str
    item: str
    reason: str


class Story:
    """Gathers what is worth telling at the end; a Sink. Of results it remembers only those of troubled tasks."""

    def __init__(self) -> None:
        self.started: RunStarted | None = None
        self.ended: RunEnded | None = None
        self.recap = Recap()
        self.disks = Disks()
        self.findings: dict[tuple[str, str, str], Finding] = {}
        self.changes: list[Changed] = []
        self.kept: dict[Kept, None] = {}
        self.failed: list[TaskDone] = []
        self.ignored: list[TaskDone] = []
        self.unknown: list[TaskDone] = []
        self.not_undone: list[TaskDone] = []
        self.not_run: dict[str, int] = {}
        self.trusted: dict[str, None] = {}
        self.warnings: dict[str, list[str | None]] = {}
        self.left_out: dict[str, HostLeftOut] = {}
        self.approved: list[Approved] = []
        self.trips: dict[str, RoundTrips] = {}
        self._freed: dict[tuple[str, bool], int] = {}  # (host, whether it is predicted) → bytes

    @property
    def mode(self) -> str:
        """The run's mode."""
        return self.started.mode if self.started is not None else "apply"

    @property
    def hosts(self) -> list[str]:
        """The run's hosts, in inventory order."""
        return list(self.recap.hosts)

    @property
    def rolls_back(self) -> bool:
        """Say whether the run takes another one back, in check mode too."""
        return self.mode == "rollback" or (
            self.started is not None and self.started.arguments[:1] == ["rollback"]
        )

    def told_changes(self) -> list[Changed]:
        """Return the changes of the report: in check mode the predicted ones too."""
        return [change for change in self.changes if self.mode == "check" or not change.predicted]

    def freed(self, host: str) -> int:
        """Return the bytes that a host's changes have freed, in check mode those they would free."""
        foreseen = self._freed.get((host, True), 0) if self.mode == "check" else 0
        return self._freed.get((host, False), 0) + foreseen

    def __call__(self, event: Event) -> None:
        """Take an event."""
        self.recap(event)
        self.disks(event)
        match event:
            case RunStarted():
                self.started = event
            case RunEnded():
                self.ended = event
            case FindingRaised():
                self._raised(event)
            case FindingResolved():
                key = (event.host, event.play, event.id)
                if key in self.findings:
                    self.findings[key] = replace(self.findings[key], resolved=True)
            case Changed():
                self.changes.append(event)
                mark = event.host, event.predicted
                self._freed[mark] = self._freed.get(mark, 0) + (event.bytes_freed or 0)
            case TaskDone():
                self._done(event)
            case Warned():
                hosts = self.warnings.setdefault(event.message, [])
                if event.host not in hosts:
                    hosts.append(event.host)
            case Approved():
                self.approved.append(event)
            case HostLeftOut():
                self.left_out[event.host] = event
            case RoundTrips():
                self.trips[event.host] = event

    def _raised(self, event: FindingRaised) -> None:
        # Raised again, its newest evidence is what is left to do.
        key = (event.host, event.play, event.id)
        self.findings[key] = Finding(event, resolved=False if event.again else None)

    def _done(self, event: TaskDone) -> None:
        for kept in event.kept:
            item = Kept(event.host, event.task, str(kept.get("item", "")), str(kept.get("reason", "")))
            self.kept[item] = None
        if event.reads and event.section.startswith("diagnose"):
            self.trusted[event.task] = None
        if event.item is not None:
            return
        if event.status == "failed" and not event.ignored and not event.rescued:
            self.failed.append(event)
        elif event.status == "failed" and event.ignored:
            self.ignored.append(event)
        elif event.status == "skipped" and self.rolls_back:
            self.not_undone.append(event)
        elif event.status == "unknown":
            self.unknown.append(event)
        elif event.status == "not_run":
            self.not_run[event.host] = self.not_run.get(event.host, 0) + 1
