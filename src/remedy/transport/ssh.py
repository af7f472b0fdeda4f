"""One SSH connection to a host, through Fabric: logging in, channels, and an end that never hangs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from remedy.errors import Unreachable
from remedy.transport import algorithms
from remedy.transport.endpoint import Endpoint
from remedy.transport.hostkeys import HostKeys, Policy
from remedy.transport.keys import Keyring
from remedy.transport.login import Login
from remedy.transport.sockets import Eager
from remedy.transport.streams import CHUNK, NOISE, TICK, Ending, Tail

WINDOW = 1 << 24  # bytes: at 50 ms a download then runs at 238 MB/s instead of 35

_IDLE = 1.0  # seconds; Paramiko's 0.1 costs a tenth of a core for 300 idle connections
_CLOSING = 5.0  # seconds for one connection on a jump server to close before the server itself is given up


class Below(Protocol):
    """What carries the SSH protocol: TCP, a program, or a channel on a jump server."""

    line: Any

    def abort(self) -> None: ...
    def close(self) -> None: ...
    def words(self) -> str: ...
    def final(self) -> bool: ...


class SshConnection:
    """A connection that is logged in; channels are opened on it until it is closed."""

    def __init__(self, endpoint: Endpoint, fabric: Any, below: Below) -> None:
        self.endpoint = endpoint
        self.fabric = fabric
        self._below = below
        self._closing = threading.Lock()

    @property
    def alive(self) -> bool:
        """Return whether the connection still stands, as far as this side can tell."""
        return bool(self.fabric.is_connected)

    def open_stream(self, command: str, kept: int = NOISE, patience: float = 0.0) -> SshStream:
        """Run a command on a channel of its own; blocks for two trips: hold a guard on `abort`.

        `kept` is how many bytes of its standard error are kept, the last ones. `patience` is for local commands:
        what a closed channel means to a remote one is its own affair.
        """
        channel = self.open_channel("session")
        try:
            channel.exec_command(command)
        except BaseException:
            channel.close()
            raise
        channel.settimeout(TICK)
        return SshStream(self, channel, kept)

    def open_channel(self, kind: str, to: tuple[str, int] | None = None, timeout: float | None = None) -> Any:
        """Open a channel ("session", or "direct-tcpip" to an address) within a trip; hold a guard on `abort`."""
        source = ("", 0) if to else None
        return self.fabric.transport.open_channel(kind, dest_addr=to, src_addr=source, timeout=timeout)

    def abort(self) -> None:
        """Free every thread that waits on this connection; never blocks."""
        self._below.abort()

    def close(self) -> None:
        """Close the connection and what carries it; a second call does nothing."""
        with self._closing:
            _close(self.fabric, self._below)


class SshStream:
    """A command on an SSH channel; a `Stream`."""

    def __init__(self, connection: SshConnection, channel: Any, kept: int) -> None:
        self._connection = connection
        self._channel = channel
        self._errors = Tail(kept)

    @property
    def line(self) -> Any:
        """Return the channel."""
        return self._channel

    def send(self, data: bytes, progress: Callable[[], None]) -> None:
        """Write all of it; OSError where nobody reads any more."""
        at = 0
        while at < len(data):
            try:
                sent = self._channel.send(data[at : at + CHUNK])
            except TimeoutError:
                continue  # the guard decides how long is too long
            if not sent:
                raise BrokenPipeError("the channel is closed")
            at += sent
            progress()

    def receive(self, count: int) -> bytes:
        """Return output, b"" at its end; TimeoutError after TICK seconds."""
        try:
            return bytes(self._channel.recv(count))
        finally:
            self._drain()

    def finish(self) -> None:
        """Close the command's standard input."""
        self._channel.shutdown_write()

    def errors(self) -> bytes:
        """Return the last bytes of standard error."""
        self._drain()
        return bytes(self._errors)

    def ending(self) -> Ending:
        """Return how it ended; a command killed by a signal leaves no status (RFC 4254, 6.10)."""
        alive = self._connection.alive
        self._channel.status_event.wait(1.0 if alive else 0.0)
        status = self._channel.exit_status
        if status >= 0:
            return Ending(status, killed=status > 128, alive=self._connection.alive)
        alive = self._connection.alive
        error = self._connection.fabric.transport.get_exception()
        return Ending(None, killed=alive and self._channel.closed, alive=alive, error=error)

    def abort(self) -> None:
        """End the whole connection: closing a channel of a stalled one would block."""
        self._connection.abort()

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _drain(self) -> None:
        """Take what stderr holds: left alone it would fill the window that stdout needs too."""
        while self._channel.recv_stderr_ready():
            self._errors.add(self._channel.recv_stderr(1 << 16))


class Tunnelled:
    """A channel on a jump server that carries another connection."""

    def __init__(self, gateway: SshConnection, channel: Any) -> None:
        self.line = channel
        self._gateway = gateway

    def abort(self) -> None:
        """Close the channel from a thread; where even that blocks, the jump server itself is stuck."""
        closer = threading.Thread(target=self.line.close, name="remedy-closer", daemon=True)

        def close() -> None:
            closer.start()
            closer.join(_CLOSING)
            if closer.is_alive():
                self._gateway.abort()

        threading.Thread(target=close, name="remedy-closing", daemon=True).start()

    def close(self) -> None:
        """Close the channel."""
        self.line.close()

    def words(self) -> str:
        """Return nothing: a channel has no words of its own."""
        return ""

    def final(self) -> bool:
        """Return whether trying again is pointless."""
        return False


def log_in(
    endpoint: Endpoint, below: Below, deadline: float, password: str | None, keyring: Keyring, keys: HostKeys
) -> SshConnection:
    """Shake hands and log in over `below`, which is closed on failure; hold a guard on `below.abort`.

    Raises Unreachable, or whatever Paramiko raises.
    """
    import fabric
    import paramiko

    from remedy.transport.ssh_transport import Transport

    silence = logging.getLogger("paramiko")
    if not silence.handlers:
        silence.addHandler(logging.NullHandler())  # else its errors appear on the terminal
    policy = Policy(endpoint, keys)
    library: Any = paramiko
    offered = library.Transport._preferred_pubkeys

    def transport(line: Any, **_: Any) -> Any:
        made = Transport(
            line,
            default_window_size=WINDOW,
            disabled_algorithms=algorithms.forbidden_pubkeys(endpoint, offered),
        )
        line.settimeout(_IDLE)
        left = max(1.0, deadline - time.monotonic() + 1)  # the guard comes first
        made.banner_timeout = made.handshake_timeout = made.auth_timeout = made.channel_timeout = left
        algorithms.prefer(made, endpoint, policy.algorithms())
        return made

    connection = fabric.Connection(
        endpoint.host,
        user=endpoint.user,
        port=endpoint.port,
        config=fabric.Config(lazy=True, ssh_config=paramiko.SSHConfig()),
        gateway=False,
        connect_kwargs={
            "sock": Eager(below.line),
            "transport_factory": transport,
            "auth_strategy": Login(endpoint, password, keyring, policy),
        },
    )
    connection.client.set_missing_host_key_policy(policy)
    try:
        connection.open()
    except BaseException as error:
        heard = _heard(connection)
        _close(connection, below)
        if isinstance(error, Unreachable) or heard:
            raise
        raise Silent(error) from error
    return SshConnection(endpoint, connection, below)


class Silent(Exception):
    """The other side ended or timed out before it said that it speaks SSH; `error` is what Paramiko raised."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


def _heard(connection: Any) -> bool:
    transport = connection.client.get_transport()
    return transport is not None and bool(transport.remote_version)


def _close(connection: Any, below: Below) -> None:
    """Close everything, and wait for Paramiko's thread: after a failed open Fabric's close() does nothing."""
    transport = connection.client.get_transport()
    if not isinstance(below, Tunnelled):
        below.abort()  # before the descriptor is closed, or Paramiko's thread would wait on it for a second more
    if transport is not None:
        transport.packetizer.complete_handshake()  # ends the timer thread of an unfinished handshake
        connection.client.close()
    below.close()
    if transport is not None and transport.is_alive():
        transport.join(5)
