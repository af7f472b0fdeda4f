"""The bus: every event passes here once, masked, to all sinks in one order; nothing before the run begins."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace

from remedy.events import Event, Intent, RunEnded, Sink
from remedy.secret import Secrets


class Recorder(Protocol):
    """Whoever keeps the run's journal; `commit` returns when everything emitted before is on disk."""

    def commit(self) -> None:
        """Return once all events emitted so far are on disk; raise RemedyError where that fails."""
        ...


class Bus:
    """Hands events to the sinks, one at a time; secrets are masked before anyone sees them.

    Until `begin` events are held back: a run whose input is bad has never been.
    """

    def __init__(self, sinks: Sequence[Sink], secrets: Secrets) -> None:
        self._sinks = tuple(sinks)
        self._secrets = secrets
        self._turn = threading.Lock()
        self._held: list[Event] | None = []
        self._ended = False

    @property
    def begun(self) -> bool:
        """Say whether the run has begun: from then on hosts may have been contacted."""
        return self._held is None

    @property
    def ended(self) -> bool:
        """Say whether the run is over: what a host that nobody waited for still tells is in vain."""
        return self._ended

    def begin(self) -> None:
        """Hand over what was held back, and from now on everything at once."""
        with self._turn:
            held, self._held = self._held or [], None
            for event in held:
                self._hand(self._masked(event))

    def emit(self, event: Event) -> None:
        """Hand an event to every sink."""
        event = self._masked(event)
        with self._turn:
            if self._held is None:
                self._hand(event)
            else:
                self._held.append(event)

    def _hand(self, event: Event) -> None:
        self._ended = self._ended or isinstance(event, RunEnded)
        for sink in self._sinks:
            sink(event)

    def _masked(self, event: Event) -> Event:
        if not self._secrets:
            return event
        # Undo needs the true content: the journal encrypts it where it is secret, and nobody else reads it.
        untouched = {"time", "kept", "params"} if isinstance(event, Intent) else {"time"}
        changed = {}
        for name in event.__struct_fields__:
            if name in untouched:
                continue
            value = getattr(event, name)
            masked = self._secrets.mask(value)
            if masked is not value and masked != value:
                changed[name] = masked
        return replace(event, **changed) if changed else event
