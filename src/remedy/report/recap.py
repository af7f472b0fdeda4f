"""Ansible's recap: how each host fared, in numbers that mean what they mean there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from remedy.events import Event, HostLeftOut, RunStarted, TaskDone


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """One host's tasks: `ok` counts those that changed something, and failures that were ignored, too."""

    ok: int = 0
    changed: int = 0
    unreachable: int = 0
    failed: int = 0
    skipped: int = 0
    rescued: int = 0
    ignored: int = 0

    @property
    def style(self) -> str:
        """Ansible's colour for the host."""
        if self.failed or self.unreachable:
            return "red"
        return "yellow" if self.changed else "green"

    def __str__(self) -> str:
        names = ("ok", "changed", "unreachable", "failed", "skipped", "rescued", "ignored")
        return " ".join(f"{name}={getattr(self, name):<4}" for name in names).rstrip()


class Recap:
    """Counts as the events pass; a Sink. A host left out is unreachable, unless it was refused."""

    def __init__(self) -> None:
        self._hosts: dict[str, Counts] = {}

    @property
    def hosts(self) -> Mapping[str, Counts]:
        """The counts of every host of the run, in inventory order."""
        return self._hosts

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, RunStarted):
            for host in event.hosts:
                self._hosts.setdefault(host, Counts())
        elif isinstance(event, HostLeftOut):
            counts = self._hosts.get(event.host, Counts())
            self._hosts[event.host] = replace(counts, unreachable=0 if event.refused else 1)
        elif isinstance(event, TaskDone) and event.item is None and event.module != "meta":
            self._hosts[event.host] = _counted(self._hosts.get(event.host, Counts()), event)


def _counted(counts: Counts, done: TaskDone) -> Counts:
    if done.status == "ok":
        return replace(counts, ok=counts.ok + 1)
    if done.status == "changed":
        return replace(counts, ok=counts.ok + 1, changed=counts.changed + 1)
    if done.status == "skipped":
        return replace(counts, skipped=counts.skipped + 1)
    if done.status == "failed" and done.rescued:
        return replace(counts, rescued=counts.rescued + 1)
    if done.status == "failed" and done.ignored:
        return replace(counts, ok=counts.ok + 1, ignored=counts.ignored + 1)
    if done.status == "failed":
        return replace(counts, failed=counts.failed + 1)
    return counts
