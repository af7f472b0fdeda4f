"""What a link needs of the line below it, be it an SSH channel or a local process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct

TICK = 5.0
"""Seconds after which a wait on a stream comes up for air: pings and the drain of stderr hang on it."""

CHUNK = 32_000
"""Bytes handed over at once: one SSH packet."""

NOISE = 8192
"""Bytes of stderr or of noise that are kept for error messages."""


class Ending(Struct, frozen=True):
    """How a stream ended: its exit status (None: unknown or a signal), and whether the way there still stands."""

    status: int | None = None
    killed: bool = False
    alive: bool = True
    error: BaseException | None = None


class Stream(Protocol):
    """A running command: its standard streams and its end."""

    @property
    def line(self) -> Any:
        """Its input and output as one socket, for whoever reads and writes nothing else."""

    def send(self, data: bytes, progress: Callable[[], None]) -> None:
        """Write all of it, calling `progress` for each part; OSError where nobody reads any more."""

    def receive(self, count: int) -> bytes:
        """Return 1 to `count` bytes of output, b"" at its end; TimeoutError after TICK seconds."""

    def finish(self) -> None:
        """Close the command's standard input."""

    def errors(self) -> bytes:
        """Return the last bytes of its standard error; never waits."""

    def ending(self) -> Ending:
        """Return how it ended, waiting a moment for the status."""

    def abort(self) -> None:
        """Free whoever waits on it; never blocks."""

    def close(self) -> None:
        """Close it."""


class Tail:
    """The last bytes of a stream that nobody reads to the end."""

    def __init__(self, limit: int = NOISE) -> None:
        self._limit = limit
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        """Take further bytes, forgetting the oldest."""
        self._kept += data
        del self._kept[: -self._limit]

    def __bytes__(self) -> bytes:
        return bytes(self._kept)
