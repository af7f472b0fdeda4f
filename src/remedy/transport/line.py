"""One stream of bytes to a service on a host, in the shape that database clients take for a socket."""

from __future__ import annotations

import io
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from remedy.transport.connection import Connection

_STUCK = 30.0  # seconds for a write of a few bytes; past them the whole connection is stuck
_CLOSING = 10.0  # the same for its end: a machine that is busy for a moment is no dead connection


class Line:
    """A channel, or a socket of this machine; `address` is what it leads to, as seen from the host.

    `rest` is what came with the start; `release` is called once, when the line is closed.
    """

    def __init__(
        self,
        connection: Connection,
        raw: Any,
        address: str,
        *,
        rest: bytes = b"",
        release: Callable[[], None] | None = None,
    ) -> None:
        self.connection = connection
        self.address = address
        self._raw = raw
        self._rest = rest
        self._release = release
        self._closed = False

    def settimeout(self, seconds: float | None) -> None:
        """Set the seconds after which `recv` raises TimeoutError; None: no end."""
        self._raw.settimeout(seconds)

    def recv(self, count: int) -> bytes:
        """Return 1 to `count` bytes, b"" at the end."""
        if self._rest:
            part, self._rest = self._rest[:count], self._rest[count:]
            return part
        return bytes(self._raw.recv(count))

    def sendall(self, data: bytes) -> None:
        """Write all of it; OSError where nobody reads any more. A connection that takes nothing is given up."""
        with self.connection.watchdog.guard(_STUCK, self.abort):
            self._raw.sendall(data)

    def makefile(self, mode: str = "rb") -> io.BufferedReader:
        """Return a buffered reader; closing it leaves the line open."""
        return reader(self.recv)

    def shutdown(self, how: int) -> None:
        """Tell the service that nothing more comes (SHUT_WR), or end the line (SHUT_RDWR)."""
        self._raw.shutdown(how)

    def also(self, close: Callable[[], None]) -> None:
        """Let something more be closed with the line, after it."""
        before = self._release

        def both() -> None:
            if before is not None:
                before()
            close()

        self._release = both

    @property
    def ended(self) -> bool:
        """Say whether the service or the connection has ended the line, as far as that is known here; asks nobody."""
        if self._closed or not self.connection.alive:
            return True
        if not isinstance(self._raw, socket.socket):  # a channel of Paramiko's
            return bool(self._raw.closed or self._raw.eof_received)
        try:
            readable, _, _ = select.select([self._raw], [], [], 0)
            return bool(readable) and not self._raw.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

    def abort(self) -> None:
        """Free whoever waits on the line; never blocks."""
        self.connection.line.abort()

    def close(self) -> None:
        """Close it; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        release, self._release = self._release, None
        with self.connection.watchdog.guard(_CLOSING, self.abort):
            self._raw.close()
            if release is not None:
                release()


def reader(receive: Callable[[int], bytes]) -> io.BufferedReader:
    """Return a buffered reader of what `receive` returns: up to so many bytes, b"" at the end."""
    return io.BufferedReader(_Reader(receive))


def received_by(line: Line, count: int, until: float) -> bytes:
    """Return up to `count` bytes; TimeoutError past a moment of time.monotonic(), however slowly they drip."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    line.settimeout(left)
    return line.recv(count)


class _Reader(io.RawIOBase):
    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._receive(len(buffer))
        buffer[: len(data)] = data
        return len(data)
