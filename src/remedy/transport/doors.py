"""How many may log in to one sshd at once, and how long to wait before the next try (sshd's MaxStartups)."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from remedy.errors import Interrupted

AT_ONCE = 8
MOST_TRIES = 12

_SLICE = 0.1
_PATIENCE = 120.0  # seconds in the queue, beside which the timeout of the connection itself counts


class Doors:
    """A semaphore for each sshd or bastion of a run."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._doors: dict[tuple[str, ...], threading.Semaphore] = {}
        self._guard = threading.Lock()

    @contextmanager
    def turn(self, door: tuple[str, ...], cancel: threading.Event | None) -> Iterator[None]:
        """Wait for a turn at a door and hold it; TimeoutError after two minutes in the queue."""
        with self._guard:
            semaphore = self._doors.setdefault(door, threading.Semaphore(self._at_once))
        deadline = time.monotonic() + _PATIENCE
        while not semaphore.acquire(timeout=_SLICE):
            stop_if(cancel)
            if time.monotonic() >= deadline:
                raise TimeoutError("too many connections to the same server are still logging in")
        try:
            yield
        finally:
            semaphore.release()


def pause(tries: int, deadline: float, cancel: threading.Event | None) -> bool:
    """Wait before the next try, longer each time; False when none is left before the deadline."""
    seconds = random.uniform(0.5, 1) * min(8, 0.25 * 2 ** (tries - 1))
    if tries >= MOST_TRIES or time.monotonic() + seconds >= deadline:
        return False
    (cancel or threading.Event()).wait(seconds)
    stop_if(cancel)
    return True


def stop_if(cancel: threading.Event | None) -> None:
    """Raise Interrupted when the operator has stopped the run."""
    if cancel is not None and cancel.is_set():
        raise Interrupted("stopped while connecting")
