"""A TCP proxy that cuts its connection at a given piece of the conversation: by a reset, or by falling silent."""

from __future__ import annotations

import select
import socket
import struct
import threading

RESET, SILENT = "reset", "silent"

_CHUNK = 1 << 16
_NO_LINGER = struct.pack("ii", 1, 0)  # close() sends a reset


class CuttingProxy:
    """Leads `port` on 127.0.0.1 to an address, one connection at a time.

    What travels in one read is a piece. `cut(n, part)` lets n pieces of the next connection pass, and of the one
    after them the first `part` (0 to 1) of its bytes; `pieces` counts those of the last connection.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.pieces = 0
        self.was_cut = threading.Event()
        self._at: int | None = None
        self._part = 0.0
        self._how = RESET
        self._kept: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def cut(self, at: int | None, part: float = 0.0, how: str = RESET) -> None:
        """Cut the next connection there; None lets it live."""
        self._at, self._part, self._how = at, part, how
        self.was_cut.clear()

    def close(self) -> None:
        """Refuse new connections and end those that fell silent."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listening.close()
        for end in self._kept:
            end.close()

    def _serve(self) -> None:
        while True:
            try:
                near = self._listening.accept()[0]
            except OSError:
                return
            try:
                far = socket.create_connection(self._address, timeout=10)
            except OSError:
                near.close()
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._lead(near, far)

    def _lead(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        self.pieces = 0
        try:
            while True:
                for end in select.select([near, far], [], [])[0]:
                    data = end.recv(_CHUNK)
                    if self.pieces == self._at:
                        other[end].sendall(data[: int(len(data) * self._part)])
                        self._end(near, far)
                        return
                    if not data:
                        return
                    other[end].sendall(data)
                    self.pieces += 1
        except OSError:
            pass
        finally:
            if near not in self._kept:
                near.close()
                far.close()

    def _end(self, near: socket.socket, far: socket.socket) -> None:
        if self._how == SILENT:
            self._kept += [near, far]
        else:
            for end in (near, far):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._at = None
        self.was_cut.set()
