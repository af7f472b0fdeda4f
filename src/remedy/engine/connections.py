"""The real connector: SSH connections that links and raw commands of one host share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from remedy.transport import Connection, Connector, Identity, Line, Link, Target, open_link, reach, run_raw
from remedy.transport.reach import Address


class Connections:
    """Opens what a run needs, one connection a host."""

    def __init__(self, stop: threading.Event, warn: Callable[[str, str], None]) -> None:
        self._warn = warn
        self._connector = Connector()
        self._stop = stop
        self._open: dict[str, Connection] = {}
        self._guard = threading.Lock()

    def open(
        self,
        target: Target,
        *,
        start: Mapping[str, Any],
        identity: Identity | None,
        first: Mapping[str, Any] | None,
    ) -> Link:
        """Return a link whose agent has been sent `start` and, in the same flight, `first`."""
        connection = self._connection(target)
        return open_link(connection, start=start, identity=identity, first=first, cancel=self._stop)

    def raw(
        self, target: Target, command: str, identity: Identity | None, timeout: float
    ) -> tuple[int, bytes, bytes]:
        """Run a command without an agent; return (rc, stdout, stderr)."""
        connection = self._connection(target)
        return run_raw(connection, command, identity=identity, timeout=timeout, cancel=self._stop)

    def reach(
        self,
        target: Target,
        addresses: Sequence[Address],
        identity: Identity | None,
        *,
        apart: bool,
        root_as: Sequence[str] = (),
    ) -> Line:
        """Return a line to a service of a host; `apart`: over a connection of its own, which ends with the line."""
        if not apart:
            connection = self._connection(target)
            return reach(connection, addresses, identity=identity, cancel=self._stop, root_as=root_as)
        connection = self._connector.connect(target, cancel=self._stop)
        try:
            line = reach(connection, addresses, identity=identity, cancel=self._stop, root_as=root_as)
        except BaseException:
            connection.close()
            raise
        line.also(connection.close)
        return line

    def close(self, host: str) -> None:
        """Close the connection to a host."""
        with self._guard:
            connection = self._open.pop(host, None)
        if connection is not None:
            connection.close()

    def shut(self) -> None:
        """Close what all hosts share; the run is over."""
        self._connector.close()

    def _connection(self, target: Target) -> Connection:
        with self._guard:
            known = self._open.get(target.name)
        if known is not None and known.alive:
            return known
        if known is not None:
            known.close()
        connection = self._connector.connect(target, cancel=self._stop)
        with self._guard:
            self._open[target.name] = connection
        for note in connection.notes:
            self._warn(target.name, note)
        return connection
