"""One thread that ends every wait past its deadline: Paramiko's own timeouts do not hold on a stalled peer."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TIMEOUT = "timeout"
CANCELLED = "cancelled"

_TICK = 0.1  # seconds between two looks at the cancel events; deadlines alone cost no wake-ups


class Guard:
    """A deadline in force: `end` frees whoever waits, once; `fired` then says why (timeout, cancelled)."""

    __slots__ = ("cancel", "deadline", "end", "fired", "seconds")

    def __init__(self, seconds: float, end: Callable[[], None], cancel: threading.Event | None) -> None:
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        self.end = end
        self.cancel = cancel
        self.fired: str | None = None

    @property
    def remaining(self) -> float:
        """Return the seconds left, never below zero."""
        return max(0.0, self.deadline - time.monotonic())

    def renew(self, seconds: float) -> None:
        """Move the deadline further away."""
        self.deadline = time.monotonic() + seconds


class Watchdog:
    """Guards of one run, watched by one thread that starts with the first of them."""

    def __init__(self) -> None:
        self._guards: set[Guard] = set()
        self._changed = threading.Condition()
        self._looks_at = 0.0  # when the thread looks next, whatever happens
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, seconds: float, end: Callable[[], None], cancel: threading.Event | None = None) -> Guard:
        """Call `end` (which must not block) after `seconds`, or when `cancel` is set; until `remove`."""
        guard = Guard(seconds, end, cancel)
        with self._changed:
            self._guards.add(guard)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._watch, name="remedy-watchdog", daemon=True)
                self._thread.start()
            if self._due_at(guard) < self._looks_at:
                self._changed.notify()
        return guard

    def remove(self, guard: Guard) -> None:
        """Lift a guard; one that has fired is gone already."""
        with self._changed:
            self._guards.discard(guard)

    @contextmanager
    def guard(
        self, seconds: float, end: Callable[[], None], cancel: threading.Event | None = None
    ) -> Iterator[Guard]:
        """Hold a guard for the length of a block."""
        guard = self.add(seconds, end, cancel)
        try:
            yield guard
        finally:
            self.remove(guard)

    def close(self) -> None:
        """End the thread; the guards that are left are forgotten."""
        with self._changed:
            self._closed = True
            self._guards.clear()
            self._changed.notify()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(5)

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                due = self._due()
                if not due:
                    self._looks_at = min(map(self._due_at, self._guards), default=math.inf)
                    self._changed.wait(self._pause())
                    continue
            for guard in due:
                guard.end()

    def _due(self) -> list[Guard]:
        now = time.monotonic()
        due = []
        for guard in self._guards:
            if guard.cancel is not None and guard.cancel.is_set():
                guard.fired = CANCELLED
            elif guard.deadline <= now:
                guard.fired = TIMEOUT
            if guard.fired:
                due.append(guard)
        self._guards.difference_update(due)
        return due

    def _pause(self) -> float | None:
        return None if self._looks_at == math.inf else max(self._looks_at - time.monotonic(), 0.001)

    @staticmethod
    def _due_at(guard: Guard) -> float:
        """Return when to look at a guard: at its deadline, and soon where somebody may cancel."""
        return guard.deadline if guard.cancel is None else min(guard.deadline, time.monotonic() + _TICK)
