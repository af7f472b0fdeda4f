"""Output whose lines begin with a name: several programs write into one log, and each line says whose it is."""

from __future__ import annotations

import atexit
import io
import sys
import threading
from typing import TextIO


class Prefixed(io.TextIOBase):
    """A text stream that hands on whole lines, each at once and with a prefix; no terminal, whatever is behind it."""

    def __init__(self, stream: TextIO, prefix: str) -> None:
        self._stream = stream
        self._prefix = prefix
        self._begun = ""
        self._lock = threading.Lock()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream behind it."""
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """What that one does with what it cannot encode."""
        return self._stream.errors

    def writable(self) -> bool:
        """Say that it can be written."""
        return True

    def fileno(self) -> int:
        """Return the descriptor behind it."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write; what follows the last end of a line waits for its own."""
        with self._lock:
            whole, end, self._begun = (self._begun + text).rpartition("\n")
            if end:
                self._hand_on(whole)
        return len(text)

    def finish(self) -> None:
        """Hand on a line that has no end."""
        with self._lock:
            if self._begun:
                self._hand_on(self._begun)
                self._begun = ""

    def flush(self) -> None:
        """Do nothing: whole lines have left already."""

    def _hand_on(self, lines: str) -> None:
        self._stream.write("".join(f"{self._prefix}{line}".rstrip() + "\n" for line in lines.split("\n")))
        self._stream.flush()


def prefix_output(name: str) -> None:
    """Begin each line that this program says from now on with a name."""
    for each in ("stdout", "stderr"):
        stream = Prefixed(getattr(sys, each), f"{name} | ")
        atexit.register(stream.finish)
        setattr(sys, each, stream)
