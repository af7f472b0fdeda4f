"""Taking a run back: the walk of one host through the changes to undo, last one first, then their handlers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count, groupby
from typing import Any, Protocol

from msgspec import Struct

from remedy.document import Map, Text
from remedy.engine.context import PlayContext
from remedy.engine.cursor import Cursor
from remedy.engine.flight import CHANGED, SKIPPED, Barrier, Entry, Flight, Item, Request
from remedy.engine.keywords import Keywords
from remedy.engine.program import Stage
from remedy.engine.state import HostState
from remedy.engine.turns import News
from remedy.engine.walk import Walk
from remedy.errors import Position
from remedy.modules import find
from remedy.playbook import Become, Play, Task
from remedy.template import Variables
from remedy.transport import Identity

_UNDONE = (0, 1)  # behind the undoing, before the handlers


class Undoable(Protocol):
    """One change to undo, as the journal tells it."""

    @property
    def change(self) -> str: ...
    @property
    def play(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def module(self) -> str: ...
    @property
    def params(self) -> Mapping[str, Any]: ...
    @property
    def become(self) -> Mapping[str, Any]: ...
    @property
    def kept(self) -> Any: ...
    @property
    def expect(self) -> Sequence[Any]: ...
    @property
    def undone(self) -> Sequence[Any]: ...
    @property
    def notify(self) -> Sequence[str]: ...
    @property
    def notified(self) -> str: ...
    @property
    def secret(self) -> bool: ...


class Undoing(Struct, frozen=True):
    """The changes of one play to undo, for each host from the last to the first; `play` has the handlers.

    A host without changes is there for the handlers that a change on another one had notified here.
    """

    play: Play
    hosts: Mapping[str, Sequence[Undoable]]

    @property
    def crosses(self) -> bool:
        """Say whether a change on one host has notified the handlers of another."""
        return any(
            each.notify and each.notified != name for name, steps in self.hosts.items() for each in steps
        )


def empty_play(title: str) -> Play:
    """Return a play that stands for one whose playbook is gone: it has no handlers."""
    position = Position("rollback")
    return Play(position=position, name=Text(title), hosts=Text("all"), gather_facts=False)


class UndoWalk(Walk):
    """Undoes a host's changes in one flight; each object that is no longer as the run left it is skipped."""

    def __init__(
        self, play: PlayContext, state: HostState, changes: Sequence[Undoable], *, check: bool, crosses: bool
    ) -> None:
        super().__init__(play, state, check=check, only=("nothing",))
        self._changes = changes
        self._crosses = crosses
        self._numbers = count(1)

    def requests(self) -> Iterator[Request]:
        """Undo the changes, then run the handlers that they had notified."""
        entries = [self._entry(change) for change in self._changes]
        for _, together in groupby(entries, lambda entry: entry.task.spec.place):
            flight = Flight(list(together))
            yield flight
            self.settle(flight)
            if any(item.status == SKIPPED for entry in flight.entries for item in entry.items):
                self._state.unfinished = True
        if self._crosses:
            self._notify_others(entries)
            yield Barrier(_UNDONE)
            self._together.news(_UNDONE)
        self._program = (Stage("handlers"),)
        yield from super().requests()

    def _notify_others(self, entries: Sequence[Entry]) -> None:
        for change, entry in zip(self._changes, entries, strict=True):
            if change.notified != self._state.name and any(item.status == CHANGED for item in entry.items):
                news = News(self._state.name, _UNDONE, notified=dict.fromkeys(change.notify, True))
                self._play.barriers.turns.send(change.notified, news)

    def settle(self, flight: Flight) -> None:
        """Commit what is known; a change that cannot be undone does not keep the others from it."""
        super().settle(flight)
        while self._failure is not None:
            self._failure = None
            self._doomed = True
            super().settle(flight)

    def _entry(self, change: Undoable) -> Entry:
        position = Position("rollback")
        spec = find(change.module.rpartition(".")[2])
        logs_in = [change.params[each.name] for each in spec.params
                   if each.secret and change.params.get(each.name)]  # fmt: skip
        self._run.secrets.add(logs_in)
        task = Task(
            position=position,
            name=Text(f"undo: {change.task}"),
            module=spec.name,
            spec=spec,
            args=Map(position),
            become=Become(),
            notify=tuple(Text(name) for name in change.notify if change.notified == self._state.name),
        )
        number = str(next(self._numbers))
        message = {
            "id": f"undo{number}",
            "group": number,
            "op": "undo",
            "module": change.module,
            "params": dict(change.params),
            "kept": change.kept,
            "expect": list(change.expect),
            "undone": list(change.undone),
            "check": self._check,
            "diff": True,
            "timeout": None,
            "environment": {},
            "ignore": True,
        }
        cursor = Cursor.root((task,))
        scope = self._variables.scope(task, cursor)
        item = Item(0, message=message, identity=self._identity(change), kind="resource")
        words = Keywords.of(task, ())
        entry = Entry(
            task, cursor, words, scope, "rollback", [item], host=self._state.name, no_log=change.secret
        )
        entry.check, entry.sealed = self._check, bool(logs_in)
        return entry

    def _identity(self, change: Undoable) -> Identity | None:
        """Return who made the change; the password is today's, the journal has none."""
        if not change.become:
            return None
        scope = self._play.target_scope(self._state)
        today = Identity.choose(
            self._state.name,
            Variables(scope),
            become=True,
            password=self._run.options.defaults.become_password,
        )
        return Identity(**change.become, password=today.password if today is not None else None)
