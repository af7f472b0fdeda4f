"""How far a run is: how many hosts work, and at which task each one is."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field

from remedy.events import (
    Event,
    HostConnected,
    HostLeftOut,
    PlayStarted,
    RoundTrips,
    RunStarted,
    SectionStarted,
    TaskDone,
    TaskStarted,
)
from remedy.report.text import count, cut, duration, safe, some

_HOSTS_SHOWN = 5
_BEFORE_APPROVAL = ("check", "approval")


@dataclass(slots=True)
class _Host:
    section: str = ""
    tasks: deque[str] = field(default_factory=deque)
    since: float = 0.0
    state: str = "waiting"

    def doing(self) -> str:
        """Return what keeps the host busy."""
        if not self.tasks:
            return "waiting for approval" if self.section == "approval" else self.section or "connecting"
        return self.tasks[0] if self.section in ("", "tasks") else f"{self.section}: {self.tasks[0]}"


class Progress:
    """Follows the hosts of a run; a Sink whose `lines` may be asked for from another thread."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Host] = {}
        self._title = ""
        self._began = 0.0
        self._guard = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Take an event."""
        with self._guard:
            if isinstance(event, RunStarted):
                self._began = event.time
                self._hosts = {name: _Host(since=event.time) for name in event.hosts}
            elif isinstance(event, PlayStarted):
                self._title = event.play
                for name in event.hosts:
                    self._at(name, event.time).state = "waiting"
            elif isinstance(event, SectionStarted):
                host = self._at(event.host, event.time, "working")
                host.section = event.section
                if event.section in _BEFORE_APPROVAL:  # nobody tells when the tasks of a check pass end
                    host.tasks.clear()
            elif isinstance(event, HostConnected):
                if event.host in self._hosts:  # else it only works for others
                    self._at(event.host, event.time, "working")
            elif isinstance(event, TaskStarted):
                host = self._hosts.setdefault(event.host, _Host(since=event.time))
                if not host.tasks:
                    host.since = event.time
                host.tasks.append(event.task)
                host.state = "working"
            elif isinstance(event, TaskDone):
                self._done(event)
            elif isinstance(event, HostLeftOut):
                self._at(event.host, event.time, "left out").tasks.clear()
            elif isinstance(event, RoundTrips):
                host = self._at(event.host, event.time)
                host.tasks.clear()
                host.state = "done" if host.state in ("waiting", "working") else host.state

    def done(self) -> tuple[int, int]:
        """Return how many hosts are through with the play (or out of it), and of how many."""
        with self._guard:
            states = [host.state for host in self._hosts.values()]
        return sum(state not in ("waiting", "working") for state in states), len(states)

    def lines(self, width: int, now: float | None = None) -> list[str]:
        """Return a few lines: counts, and the hosts that have been at their task for longest."""
        now = time.time() if now is None else now
        with self._guard:
            states = [host.state for host in self._hosts.values()]
            busy = [
                (host.since, name, host.doing())
                for name, host in self._hosts.items()
                if host.state == "working"
            ]
            waiting = [name for name, host in self._hosts.items() if host.state == "waiting"]
        numbers = [
            f"{states.count(state)} {state}"
            for state in ("working", "waiting", "done", "failed", "left out")
            if state in states
        ]
        head = f"{duration(now - self._began)}  {safe(self._title)}  {count(len(states), 'host')}: {', '.join(numbers)}"
        busy.sort()
        names = max((len(safe(name)) for _, name, _ in busy[:_HOSTS_SHOWN]), default=0)
        lines = [cut(head.strip(), width)]
        for since, name, told in busy[:_HOSTS_SHOWN]:
            lines.append(
                cut(f"  {safe(name):<{names}}  {duration(max(0.0, now - since)):>8}  {safe(told)}", width)
            )
        if len(busy) > _HOSTS_SHOWN:
            lines.append(f"  ... and {len(busy) - _HOSTS_SHOWN} more at work")
        if not busy and waiting:
            lines.append(cut(f"  waiting for {some([safe(name) for name in waiting], _HOSTS_SHOWN)}", width))
        return lines

    def _at(self, name: str, when: float, state: str | None = None) -> _Host:
        host = self._hosts.setdefault(name, _Host())
        host.since = when
        if state is not None:
            host.state = state
        return host

    def _done(self, event: TaskDone) -> None:
        host = self._at(event.host, event.time)
        # Tasks come to their end in the order in which they were handed out; what was skipped never will.
        if event.item is None and event.task in host.tasks:
            while host.tasks.popleft() != event.task:
                pass
        if event.status == "failed" and not event.ignored and not event.rescued:
            host.state = "failed"
