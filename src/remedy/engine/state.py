"""What one run knows about one host, from the first play to the last."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, field

from remedy.inventory import Host
from remedy.playbook import Include, Task


class Finding(Struct):
    """A named fact about what is wrong on a host."""

    id: str
    severity: str
    title: str
    evidence: Any
    advice: str | None

    def as_variable(self) -> dict[str, Any]:
        """Return what the magic variable `findings` holds for it."""
        return {
            "id": self.id,
            "severity": self.severity,
            "title": self.title,
            "evidence": self.evidence,
            "advice": self.advice,
        }


class Others:
    """The hosts that belong to none of a run's plays, and that tasks of its hosts are delegated to."""

    def __init__(self) -> None:
        self._states: dict[str, HostState] = {}
        self._guard = threading.Lock()

    def state(self, host: Host) -> HostState:
        """Return what the run knows about such a host."""
        with self._guard:
            return self._states.setdefault(host.name, HostState(host))


class HostState(Struct):
    """A host's variables and fate; written only by the thread that works on the host.

    `commands` are what check mode left out, as (the reason for what hangs on it, text). `notified` maps a
    handler's name to whether it surely runs. `heard`: the handshake came. `quiet`: a check pass. `unfinished`:
    a rollback left something as it is. `foreseen`: what a rollback in check mode would have made of objects that
    controller modules look after.
    """

    host: Host
    facts: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    findings: dict[str, Finding] = field(default_factory=dict)
    again: dict[str, Finding] = field(default_factory=dict)
    commands: list[tuple[str, str]] = field(default_factory=list)
    notified: dict[str, bool] = field(default_factory=dict)
    clock_skew: float | None = None
    heard: bool = False
    failed: bool = False
    unfinished: bool = False
    broken: BaseException | None = None
    left_out: str | None = None
    changes: int = 0
    predicted: int = 0
    quiet: bool = False
    foreseen: dict[str, Any] = field(default_factory=dict)

    _unsure: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        return self.host.name

    @property
    def alive(self) -> bool:
        """Say whether the host still takes part."""
        return not self.failed and self.left_out is None and self.broken is None

    def take_notified(self, handlers: Iterable[Task | Include]) -> tuple[Task | Include | None, ...]:
        """Return the handlers to run now, in the order they are defined; they count as no longer notified.

        None stands for each that is not notified, so that a handler has the same place on every host.
        """
        notified, self.notified = self.notified, {}
        chosen: list[Task | Include | None] = []
        for handler in handlers:
            listens = handler.listen if isinstance(handler, Task) else ()
            names = {handler.title, *listens} & set(notified)
            chosen.append(handler if names else None)
            if names and not any(notified[name] for name in names):
                self._unsure.add(id(handler))
        return tuple(chosen) if any(chosen) else ()

    def surely_notified(self, handler: Task) -> bool:
        """Say whether a handler's notification is certain, and not only possible (check mode)."""
        return id(handler) not in self._unsure

    def fork(self) -> HostState:
        """Return a copy for a check pass, which must leave no trace in the host's own variables."""
        return HostState(
            host=self.host,
            facts=dict(self.facts),
            variables=dict(self.variables),
            findings=dict(self.findings),
            clock_skew=self.clock_skew,
            heard=self.heard,
            quiet=True,
        )
