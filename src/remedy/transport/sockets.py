"""The byte streams below SSH: a TCP connection, or a program that makes one (ProxyCommand)."""

from __future__ import annotations

import errno
import os
import queue
import select
import socket
import subprocess
import tempfile
import threading
import time
from typing import Any

from remedy.transport.endpoint import Endpoint

_UNACKNOWLEDGED = 30_000  # milliseconds without an acknowledgement until the kernel gives a connection up
_SLICE = 0.1  # seconds between two looks at a deadline or a cancel event

_PIECE = 1 << 15  # bytes: about a packet of SSH
_WORDS = 4096  # bytes of a program's stderr that go into a message


class NoAddress(Exception):
    """A name does not resolve; the text says why."""


class Tcp:
    """A TCP connection, closed once."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line

    def abort(self) -> None:
        """Free whoever reads or writes; does not block."""
        try:
            self.line.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # not connected any more

    def close(self) -> None:
        """Close the connection."""
        self.line.close()

    def words(self) -> str:
        """Return nothing: a TCP connection has no words of its own."""
        return ""

    def final(self) -> bool:
        """Return whether trying again is pointless."""
        return False


class Eager:
    """A socket that is read in large pieces.

    Paramiko asks twice for each packet. Asking the system takes time even where the data is there: every other
    thread goes first.
    """

    def __init__(self, line: Any) -> None:
        self._line = line
        self._data = b""
        self._at = 0

    def recv(self, count: int) -> bytes:
        """Return 1 to `count` bytes, b"" at the end; raises what the socket raises."""
        if self._at == len(self._data):
            self._data, self._at = self._line.recv(_PIECE), 0
        part = self._data[self._at : self._at + count]
        self._at += len(part)
        return part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._line, name)


class Program(Tcp):
    """A ProxyCommand: its standard streams are one end of a socket pair, so that timeouts and closing work."""

    def __init__(self, command: str) -> None:
        ours, theirs = socket.socketpair()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the program)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", f"exec {command}"],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=self._said,
                    start_new_session=True,  # Ctrl-C in the terminal is ours to handle
                )
            except OSError:
                ours.close()
                self._said.close()
                raise
        super().__init__(ours)
        self._last = ""

    def close(self) -> None:
        """Close the stream, end the program and wait for it."""
        if self._said.closed:
            return
        super().close()
        try:
            self._process.wait(0.2)  # the end of its input ends a well-behaved one
        except subprocess.TimeoutExpired:
            self._process.terminate()
            try:
                self._process.wait(1)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)
        self._said.seek(0)
        self._last = " ".join(self._said.read(_WORDS).decode(errors="replace").split())
        self._said.close()

    def words(self) -> str:
        """Return what the program said on its standard error and its exit status, once it is closed."""
        status = self._process.returncode
        if status is None or (status < 0 and not self._last):
            return self._last
        return f"{self._last or 'nothing'} (exit status {status})"

    def final(self) -> bool:
        """Return whether it failed by itself; 255 is ssh's word for a connection that was dropped."""
        return self._process.returncode not in (None, 255) and self._process.returncode >= 0


def dial(endpoint: Endpoint, deadline: float, cancel: threading.Event | None = None) -> Tcp:
    """Connect to the endpoint before the deadline (monotonic clock), trying each of its addresses.

    Raises NoAddress, TimeoutError, InterruptedError (cancelled), or the OSError of the last address.
    """
    if endpoint.proxy_command:
        return Program(endpoint.proxy_command)
    addresses = _addresses(endpoint, deadline, cancel)
    failure: OSError = TimeoutError()
    for at, (family, address) in enumerate(addresses):
        share = (deadline - time.monotonic()) / (len(addresses) - at)
        line = socket.socket(family, socket.SOCK_STREAM)
        try:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED)
            if endpoint.bind_address:
                line.bind((endpoint.bind_address, 0))
            _connect(line, address, time.monotonic() + share, cancel)
        except InterruptedError:
            line.close()
            raise
        except OSError as error:
            line.close()
            failure = error
        else:
            return Tcp(line)
    raise failure


def _connect(line: socket.socket, address: Any, deadline: float, cancel: threading.Event | None) -> None:
    line.setblocking(False)
    code = line.connect_ex(address)
    if code == errno.EINPROGRESS:
        poll = select.poll()
        poll.register(line, select.POLLOUT)
        while not poll.poll(_SLICE * 1000):
            _go_on(deadline, cancel)
        code = line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))  # becomes ConnectionRefusedError and its kin


def _addresses(endpoint: Endpoint, deadline: float, cancel: threading.Event | None) -> list[tuple[int, Any]]:
    """Resolve in a thread of its own: getaddrinfo cannot be interrupted and may take half a minute."""
    question = (endpoint.host, endpoint.port, endpoint.family, socket.SOCK_STREAM)
    try:
        return _unique(socket.getaddrinfo(*question, flags=socket.AI_NUMERICHOST))
    except socket.gaierror:
        pass
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(*question))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name=f"remedy-dns-{endpoint.host}", daemon=True).start()
    while True:
        try:
            answer = answers.get(timeout=_SLICE)
            break
        except queue.Empty:
            try:
                _go_on(deadline, cancel)
            except TimeoutError:
                raise NoAddress("the resolver does not answer") from None
    if isinstance(answer, Exception):
        raise NoAddress(getattr(answer, "strerror", None) or str(answer))
    return _unique(answer)


def _unique(answer: list[Any]) -> list[tuple[int, Any]]:
    return list(dict.fromkeys((family, address) for family, _, _, _, address in answer))


def _go_on(deadline: float, cancel: threading.Event | None) -> None:
    if cancel is not None and cancel.is_set():
        raise InterruptedError
    if time.monotonic() >= deadline:
        raise TimeoutError
