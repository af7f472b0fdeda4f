"""`ansible_connection: local`: the same agent as a process on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable

from remedy.transport.endpoint import Endpoint
from remedy.transport.streams import NOISE, TICK, Ending
from remedy.transport.tokens import local_user

_PATIENCE = 5.0  # seconds: an agent whose input has ended is gone by then


class LocalConnection:
    """This machine; commands are its processes."""

    def __init__(self) -> None:
        self.endpoint = Endpoint(name="localhost", host="localhost", user=local_user())
        self.alive = True

    def open_stream(self, command: str, kept: int = NOISE, patience: float = _PATIENCE) -> LocalStream:
        """Run a command; `kept` is how many bytes of its standard error count, the last ones.

        `patience` is how many seconds it has to end by itself when the stream is closed.
        """
        return LocalStream(command, kept, patience)

    def abort(self) -> None:
        """Do nothing: each command is ended on its own."""

    def close(self) -> None:
        """Do nothing."""


class LocalStream:
    """A command on this machine; a `Stream`. Its input and output are one socket pair: one end closes both."""

    def __init__(self, command: str, kept: int, patience: float) -> None:
        self._kept = kept
        self._patience = patience
        self._closing = threading.Lock()
        self._line, theirs = socket.socketpair()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the stream)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", command],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=self._said,
                    cwd="/",
                    start_new_session=True,  # Ctrl-C in the terminal is the engine's to handle
                )
            except OSError:
                self._line.close()
                self._said.close()
                raise
        self._line.settimeout(TICK)

    @property
    def line(self) -> socket.socket:
        """Return the socket."""
        return self._line

    def send(self, data: bytes, progress: Callable[[], None]) -> None:
        """Write all of it; OSError where nobody reads any more."""
        left = memoryview(data)
        while left:
            try:
                left = left[self._line.send(left) :]
            except TimeoutError:
                continue  # the guard decides how long is too long
            progress()

    def receive(self, count: int) -> bytes:
        """Return output, b"" at its end; TimeoutError after TICK seconds."""
        try:
            return self._line.recv(count)
        except TimeoutError:
            raise
        except OSError:
            return b""  # it ended with our bytes unread, or another thread has closed the stream

    def finish(self) -> None:
        """Close the command's standard input."""
        try:
            self._line.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has ended

    def errors(self) -> bytes:
        """Return the last bytes of standard error."""
        if self._said.closed:
            return b""
        size = os.fstat(self._said.fileno()).st_size
        return os.pread(self._said.fileno(), self._kept, max(0, size - self._kept))

    def ending(self) -> Ending:
        """Return how it ended."""
        try:
            status = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return Ending()
        return Ending(None, killed=True) if status < 0 else Ending(status, killed=status > 128)

    def abort(self) -> None:
        """Free whoever waits on it; the agent ends by itself when its input does."""
        try:
            self._line.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is closed already

    def close(self) -> None:
        """End the command and wait for it."""
        with self._closing:
            self.abort()
            self._line.close()
            for number in (0, signal.SIGTERM, signal.SIGKILL):
                try:
                    if number:
                        os.killpg(self._process.pid, number)
                    self._process.wait(self._patience)
                    break
                except (subprocess.TimeoutExpired, ProcessLookupError, PermissionError):
                    continue  # PermissionError: it runs under sudo; then the end of its input must do
            self._said.close()
