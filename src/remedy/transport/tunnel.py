"""A private door on this machine that leads to a service of a host, for clients that want somewhere to connect to."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from remedy.errors import RemedyError
from remedy.transport.line import Line

_LONGEST = 107  # bytes of a Unix socket's path (sun_path holds 108 with the final zero)
_CHUNK = 1 << 16


class _Door:
    """What listens; each connection to it becomes a line of its own. Use as a context.

    `failed` is why the last connection could not be made, for the client sees only that it was closed; `line` is
    the newest that could.
    """

    def __init__(self, reach: Callable[[], Line], server: socket.socket) -> None:
        self._reach = reach
        self._server = server
        self._ending = threading.Lock()
        self._ended = False
        self._lines: set[Line | socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.failed: BaseException | None = None
        self.line: Line | None = None
        self._run(self._accept)

    def close(self) -> None:
        """Close the door and every line through it; a second call does nothing."""
        with self._ending:
            self._ended = True
            lines, self._lines = list(self._lines), set()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for line in lines:
            _end(line)
        for thread in list(self._threads):
            thread.join(5)

    def welcome(self, client: socket.socket) -> bool:
        """Say whether a client may pass."""
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="remedy-tunnel", daemon=True)
        thread.start()
        self._threads.append(thread)  # one that has not begun cannot be waited for

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if not self.welcome(client):
                _end(client)
            elif self._hold(client):
                self._run(self._serve, client)

    def _hold(self, line: Line | socket.socket) -> bool:
        """Remember what must be closed at the end; close it at once where that has come."""
        with self._ending:
            if not self._ended:
                self._lines.add(line)
                return True
        _end(line)
        return False

    def _drop(self, *lines: Line | socket.socket) -> None:
        for line in lines:
            with self._ending:
                self._lines.discard(line)
            _end(line)

    def _serve(self, client: socket.socket) -> None:
        try:
            line = self._reach()
        except BaseException as error:  # whoever connects is told, also where the host itself was lost
            self.failed = error
            self._drop(client)
            return
        self.line = line
        line.settimeout(None)
        if self._hold(line):
            back = threading.Thread(target=_pass, args=(line, client), name="remedy-tunnel-back", daemon=True)
            back.start()
            _pass(client, line)
            back.join()
            self._drop(line)
        self._drop(client)


class Tunnel(_Door):
    """A Unix socket in a folder of mode 0700, `path`: only this user can go through it."""

    def __init__(self, reach: Callable[[], Line], name: str = "service") -> None:
        """`name` is the socket's: PostgreSQL's clients want `.s.PGSQL.PORT`."""
        self.folder = _folder(name)
        self.path = self.folder / name
        server = socket.socket(socket.AF_UNIX)
        try:
            server.bind(str(self.path))
            server.listen(8)
        except OSError:
            server.close()
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        super().__init__(reach, server)

    def close(self) -> None:
        """Close the door and every line through it; a second call does nothing."""
        super().close()
        shutil.rmtree(self.folder, ignore_errors=True)


class TcpTunnel(_Door):
    """A `port` of 127.0.0.1, for clients that use TLS on TCP alone.

    Where the kernel tells whose a connection is, only this user's pass; elsewhere any user of this machine gets to the
    service's own login. So it must never lead to a service that trusts whoever connects.
    """

    def __init__(self, reach: Callable[[], Line]) -> None:
        server = socket.create_server(("127.0.0.1", 0))
        self.port: int = server.getsockname()[1]
        super().__init__(reach, server)

    def welcome(self, client: socket.socket) -> bool:
        """Say whether a client is this user's own."""
        try:
            owner = _owner(client.getpeername(), client.getsockname())
        except OSError:  # it has gone already
            return False
        return owner is None or owner == os.geteuid()


_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))  # in the second, IPv4 that was asked for as ::ffff:127.0.0.1
_NOBODY = -1


def _owner(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """Return the user id of the other end of a connection within this machine; None where no table of the kernel's
    is to be had, _NOBODY where none knows it."""
    told = None
    for table in _TABLES:
        with suppress(OSError):
            lines = table.read_text("ascii").splitlines()
            told = _NOBODY
            for fields in map(str.split, lines):
                if [_end_of(each) for each in fields[1:3]] == [client, server]:
                    return int(fields[7])
    return told


def _end_of(field: str) -> tuple[str, int] | None:
    """Return (address, port) of an end in the kernel's table, None for its heading."""
    address, _, port = field.partition(":")
    try:
        last = bytes.fromhex(address[-8:])  # all of IPv4, in the machine's order
        return socket.inet_ntoa(last[::-1] if sys.byteorder == "little" else last), int(port, 16)
    except (ValueError, OSError):
        return None


def _pass(source: Line | socket.socket, sink: Line | socket.socket) -> None:
    with suppress(OSError, EOFError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with suppress(OSError, EOFError):
        sink.shutdown(socket.SHUT_WR)


def _end(line: Line | socket.socket) -> None:
    with suppress(OSError, EOFError):
        line.shutdown(socket.SHUT_RDWR)
    with suppress(OSError, EOFError):
        line.close()


def _folder(name: str) -> Path:
    """Return a new private folder in which a socket's path is not too long."""
    for place in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/run")):
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="remedy-", dir=place))
            if len(os.fsencode(folder / name)) <= _LONGEST:
                return folder
            folder.rmdir()
    raise RemedyError(
        f"no folder can hold the socket '{name}' of a tunnel",
        hint=f"a socket's path has at most {_LONGEST} bytes: set TMPDIR to a short path",
    )
