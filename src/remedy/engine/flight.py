"""A flight: what travels to a host together, in order, and what the engine settles on the way.

An entry is one task, with an item for each pass of its loop. Items with a message go to the agent; the others were
settled by the engine (skipped, a Control module, an error). Entries are committed in order, so that nothing later
counts before everything earlier has happened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

from remedy.engine.cursor import Cursor
from remedy.engine.guards import Guard
from remedy.engine.keywords import Keywords
from remedy.engine.turns import Key
from remedy.playbook import Task
from remedy.template import Layer, Scope
from remedy.transport import Identity

OK, CHANGED, FAILED, SKIPPED, UNKNOWN, NOT_RUN = "ok", "changed", "failed", "skipped", "unknown", "not_run"


class Item(Struct):
    """One invocation of a module: the protocol's step (None: settled by the engine), then its outcome.

    `host` is the one that it is delegated to, None where it is the task's own.
    `left_out`: a Command that would run, and was not run because the mode is check. `about`: the names that a task
    may change of which check mode cannot tell what it would do. `judged`: the host says ok, the task's keywords do not.
    """

    index: int
    layers: tuple[Layer, ...] = ()
    value: Any = None
    looped: bool = False
    message: dict[str, Any] | None = None
    identity: Identity | None = None
    kind: str = ""
    reads: bool = False
    guard: Guard | None = None
    left_out: bool = False
    host: str | None = None
    about: str = ""
    judged: bool = False
    status: str = ""
    reason: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    kept: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    effect: Callable[[], None] | None = None

    @property
    def done(self) -> bool:
        return bool(self.status)


class Entry(Struct):
    """One task in flight; `partial`: one item of a loop that goes item by item, and does not count yet.

    `host` is whose task it is. `delay` (between the tries of `until`) and `pause` (between the items of a loop) are in
    seconds. `secret`: a secret is in what changes, `sealed`: one is in the parameters.
    """

    task: Task
    cursor: Cursor
    words: Keywords
    scope: Scope
    section: str
    items: list[Item]
    host: str = ""
    looped: bool = False
    ignore: bool = False
    no_log: bool = False
    secret: bool = False
    sealed: bool = False
    check: bool = False
    maybe: bool = False
    committed: bool = False
    partial: bool = False
    retries: int = 3
    delay: float = 5.0
    pause: float = 0.0

    @property
    def done(self) -> bool:
        """Say whether every item has its outcome."""
        return all(item.done for item in self.items)

    @property
    def travels(self) -> bool:
        """Say whether anything of it goes to the host."""
        return any(item.message is not None for item in self.items)

    @property
    def delegates(self) -> list[str]:
        """Return the hosts that it runs on in place of its own, each once."""
        return list(dict.fromkeys(item.host for item in self.items if item.host is not None))

    @property
    def notifies(self) -> bool:
        return bool(self.task.notify)


class Flight(Struct):
    """A request of the walk: take these entries to the host, in order, and bring back their outcomes.

    One that is delegated has a single entry, and all of its items go to the same host.
    `landed` is how many of them, from the first, have their outcome and count.
    """

    entries: list[Entry] = field(default_factory=list)
    landed: int = 0

    def items(self) -> list[Item]:
        """Return the items that go to the host."""
        items = (item for entry in self.entries for item in entry.items)
        return [item for item in items if item.message is not None and not item.done]


class Hello(Struct, frozen=True):
    """A request of the walk: the handshake is needed (the host's clock) before anything else is sent.

    `host` is the one that a task is delegated to, None the task's own.
    """

    host: str | None = None


class Barrier(Struct, frozen=True):
    """A request of the walk: wait until every other host has come this far."""

    position: tuple[int, ...]


class Await(Struct, frozen=True):
    """A request of the walk: wait until another host has done a task for all."""

    key: Key


class Throttle(Struct, frozen=True):
    """A request of the walk: wait until fewer than `most` hosts are at a task."""

    key: Key
    most: int


class Pause(Struct, frozen=True):
    """A request of the walk: wait before going on (until's delay, loop_control.pause)."""

    seconds: float


class Gate(Struct, frozen=True):
    """A request of the walk: diagnose is over, may the fix begin?"""


Request = Flight | Hello | Barrier | Await | Throttle | Pause | Gate
