"""What controller modules keep open on a host's services from step to step: one session a server and run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Protocol

from remedy.modules.controller._site import Held, T


class Closes(Protocol):
    """A line or a tunnel below a session."""

    def close(self) -> None:
        """Close it."""
        ...


class Sessions:
    """The sessions of one host; its own thread takes them, any may close them all."""

    def __init__(self) -> None:
        self._held: dict[Hashable, tuple[Held, Sequence[Closes]]] = {}
        self._guard = threading.Lock()

    def take(self, key: Hashable, open: Callable[[], T], below: Callable[[], Sequence[Closes]]) -> T:
        """Return the session under `key`, else what `open` opens; `below` hands over the lines it stands on."""
        with self._guard:
            known = self._held.get(key)
        if known is not None:
            session, lines = known
            if session.alive:
                return session  # type: ignore[return-value]
            with self._guard:
                self._held.pop(key, None)
            _close(session, lines)
        session = open()
        with self._guard:
            self._held[key] = session, below()
        return session

    def close(self) -> None:
        """Close every session; a second call does nothing."""
        with self._guard:
            held, self._held = self._held, {}
        for session, lines in held.values():
            _close(session, lines)


def _close(session: Held, lines: Sequence[Closes]) -> None:
    with suppress(Exception):  # it is let go of because it broke, or because the run is over
        session.close()
    for line in lines:
        line.close()
