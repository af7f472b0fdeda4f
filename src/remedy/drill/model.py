"""A drill as its file says it: hosts, method, what is expected and what must stay as it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec import Struct

from remedy.document import Map
from remedy.drill.providers import Need
from remedy.errors import Position
from remedy.playbook import Node

ANY = "any"
"""In place of a host or a finding: whichever it is."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A finding by its id (or ANY), on one host of the drill or on ANY of them."""

    host: str
    id: str

    def covers(self, host: str, id: str) -> bool:
        """Say whether a finding on a host is this one."""
        return self.host in (ANY, host) and self.id in (ANY, id)

    def __str__(self) -> str:
        return self.id if self.host == ANY else f"{self.id} on {self.host}"


class Step(Struct, frozen=True, kw_only=True):
    """Tasks that leave together for the same hosts (the drill's names), after `pause` seconds."""

    hosts: tuple[str, ...]
    tasks: tuple[Node, ...]
    pause: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How long, in seconds, detecting and healing may take before that is a deviation."""

    detect: float = 30.0
    heal: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Thing:
    """Something that must stay as it is: `kind` is file, folder, service, container, table or command.

    `module` and `args` are the task that reads it. `since` is "method" (compared with how the method left it) or
    "steady state".
    """

    position: Position
    kind: str
    title: str
    hosts: tuple[str, ...]
    module: str
    args: dict[str, Any]
    since: str = "method"


@dataclass(frozen=True, kw_only=True)
class Drill:
    """One drill; host names are the drill's own."""

    name: str
    path: Path
    title: str
    runbook: str
    needs: tuple[Need, ...]
    method: tuple[Step, ...]
    expect: tuple[Expected, ...]
    allow: tuple[Expected, ...] = ()
    not_expected: tuple[Expected, ...] = ()
    remain: tuple[Expected, ...] = ()
    limits: Limits = field(default_factory=Limits)
    collateral: tuple[Thing, ...] = ()
    restore: tuple[Step, ...] = ()
    vars: Map = field(default_factory=Map)
    become: bool = True

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of its hosts, in their order."""
        return tuple(need.name for need in self.needs)

    def allows(self, host: str, id: str) -> bool:
        """Say whether a finding may be raised though it is not expected."""
        return covered(self.allow, host, id) and not covered(self.not_expected, host, id)


def covered(some: Iterable[Expected], host: str, id: str) -> bool:
    """Say whether any of these covers a finding on a host."""
    return any(one.covers(host, id) for one in some)
