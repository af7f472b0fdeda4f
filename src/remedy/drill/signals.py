"""Ctrl-C in a drill: it ends what is under way, never the rollback."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Handlers of SIGINT, SIGTERM and SIGHUP while drills run; for the main thread alone.

    While armed, the first raises KeyboardInterrupt, and a second only in a run of the engine, where it means "at
    once". So at most two come, and none of them after `disarm`.
    """

    def __init__(self) -> None:
        self.asked = False
        self._armed = self._ringing = False
        self._running = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals within."""
        before = {number: signal.signal(number, self._handle) for number in _NUMBERS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def arm(self) -> None:
        """From here on a signal interrupts, unless one has come already."""
        self._armed = not self.asked

    def disarm(self) -> None:
        """From here on a signal is only remembered."""
        self._armed = False

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Ignore the signals, also for the programs that are started within: a terminal sends them to all."""
        before = {number: signal.signal(number, signal.SIG_IGN) for number in _NUMBERS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def in_run(self) -> Iterator[None]:
        """Mark a run of the engine, which knows what a second signal and a deadline mean."""
        self._running = True
        try:
            yield
        finally:
            self._running = False

    def ring(self) -> None:
        """Interrupt the main thread for a deadline; this is no wish of the operator's."""
        self._ringing = True
        os.kill(os.getpid(), signal.SIGINT)

    def _handle(self, _number: int, _frame: Any) -> None:
        if self._ringing:
            self._ringing = False
            if self._running:
                raise KeyboardInterrupt
            return
        first, self.asked = not self.asked, True
        if self._armed:
            self._armed = first and self._running
            raise KeyboardInterrupt
