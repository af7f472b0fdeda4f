"""Barriers: a host waits until every other host of its batch has come as far."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from remedy.engine.turns import Turns

_PASSED = (float("inf"),)


class Barriers:
    """Where each host of a batch stands, and whose turn it is there; positions are ordered as the tasks are."""

    def __init__(self, hosts: Iterable[str], *, ahead: bool = False) -> None:
        self._stands: dict[str, tuple[float, ...]] = dict.fromkeys(hosts, ())
        self.turns = Turns(self._stands, ahead=ahead)
        self._moved = threading.Condition()
        self._open = False

    def wait(self, host: str, position: tuple[int, ...]) -> None:
        """Come to a position and wait until nobody stands before it. The last host never waits for itself."""
        with self._moved:
            self._stands[host] = position
            self._moved.notify_all()
            self._moved.wait_for(lambda: self._open or all(at >= position for at in self._stands.values()))

    def reached(self, host: str, position: tuple[int, ...]) -> bool:
        """Come to a position; say whether nobody stands before it."""
        self.at(host, position)
        with self._moved:
            return all(at >= position for at in self._stands.values())

    def at(self, host: str, position: tuple[int, ...]) -> None:
        """A host has come to a position, and goes on without waiting."""
        with self._moved:
            self._stands[host] = position
            self._moved.notify_all()

    def leave(self, host: str) -> None:
        """A host is done, or out: nobody waits for it any more."""
        with self._moved:
            self._stands[host] = _PASSED
            self._moved.notify_all()
        self.turns.leave(host)

    def open(self) -> None:
        """Let everybody pass: the run is being stopped."""
        with self._moved:
            self._open = True
            self._moved.notify_all()
        self.turns.open()
