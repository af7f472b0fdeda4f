"""The connections of one run: what they share (keys, jump servers, the watchdog) and how one is made."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from remedy.errors import Interrupted, Unreachable
from remedy.transport import failures
from remedy.transport.answers import Answers
from remedy.transport.configuration import resolve
from remedy.transport.connection import Connection
from remedy.transport.doors import Doors, pause
from remedy.transport.endpoint import Endpoint
from remedy.transport.hostkeys import HostKeys
from remedy.transport.keys import Keyring
from remedy.transport.local import LocalConnection
from remedy.transport.payload import Payloads
from remedy.transport.sockets import dial
from remedy.transport.ssh import Below, Silent, SshConnection, Tunnelled, log_in
from remedy.transport.target import Target
from remedy.transport.watchdog import CANCELLED, TIMEOUT, Guard, Watchdog

_STUCK = 5.0  # seconds past the deadline after which a jump server that takes no request is given up


class Connector:
    """Opens connections for the hosts of a run; safe to use from many threads; close it at the end."""

    def __init__(self) -> None:
        self.watchdog = Watchdog()
        self.payloads = Payloads()
        self._keyring = Keyring()
        self._host_keys = HostKeys()
        self._doors = Doors()
        self._ssh_config = Answers()
        self._gateways: dict[tuple[str, ...], _Gateway] = {}
        self._guard = threading.Lock()

    def connect(self, target: Target, *, cancel: threading.Event | None = None) -> Connection:
        """Return a connection to the host, logged in, before its timeout; one thread waits here for each host.

        Raises Unreachable with the reason, Interrupted when `cancel` is set.
        """
        if target.connection == "local":
            return Connection(target, LocalConnection(), self.watchdog, self.payloads)
        endpoint = resolve(target, self._ssh_config.read)
        opened = self._open(endpoint, target.password, cancel, None)
        return Connection(target, opened, self.watchdog, self.payloads)

    def close(self) -> None:
        """Close the jump servers and end the watchdog; connections that are still open are not touched."""
        with self._guard:
            gateways, self._gateways = list(self._gateways.values()), {}
        for gateway in gateways:
            gateway.close()
        self.watchdog.close()
        self.payloads.pythons.keep()

    def __enter__(self) -> Connector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(
        self, endpoint: Endpoint, password: str | None, cancel: threading.Event | None, deadline: float | None
    ) -> SshConnection:
        """Connect, again while the server may only be busy; the time in the queue before it does not count."""
        tries = 0
        while True:
            tries += 1
            try:
                with self._doors.turn(endpoint.door, cancel):
                    deadline = deadline or time.monotonic() + endpoint.timeout
                    return self._attempt(endpoint, password, cancel, deadline)
            except _Failed as failed:
                if failed.final or not (
                    failures.may_retry(failed.error) and pause(tries, deadline or 0.0, cancel)
                ):
                    raise failures.connecting(
                        failed.error, endpoint, seconds=endpoint.timeout, tries=tries, words=failed.words
                    ) from None
            except TimeoutError as error:
                raise failures.connecting(error, endpoint, seconds=endpoint.timeout) from None

    def _attempt(
        self, endpoint: Endpoint, password: str | None, cancel: threading.Event | None, deadline: float
    ) -> SshConnection:
        below: Below | None = None
        guard: Guard | None = None
        try:
            below = self._below(endpoint, cancel, deadline)
            with self.watchdog.guard(deadline - time.monotonic(), below.abort, cancel) as guard:
                return log_in(endpoint, below, deadline, password, self._keyring, self._host_keys)
        except Interrupted:
            raise
        except Unreachable as error:
            # A line that was cut is taken by the login for a server that hung up.
            if guard is not None and guard.fired == CANCELLED:
                raise Interrupted("stopped while connecting") from None
            if guard is not None and guard.fired == TIMEOUT:
                raise _Failed(TimeoutError(), below) from error
            raise
        except InterruptedError:
            raise Interrupted("stopped while connecting") from None
        except Exception as error:
            if guard is not None and guard.fired == CANCELLED:
                raise Interrupted("stopped while connecting") from None
            raise _Failed(_true_cause(error, guard), below) from error

    def _below(self, endpoint: Endpoint, cancel: threading.Event | None, deadline: float) -> Below:
        if endpoint.via is None:
            return dial(endpoint, deadline, cancel)
        gateway = self._gateway(endpoint.via, cancel, deadline)
        left = max(0.1, deadline - time.monotonic())
        # the jump server serves other hosts too: it is given up only where not even the request leaves
        with self.watchdog.guard(left + _STUCK, gateway.abort):
            return Tunnelled(
                gateway, gateway.open_channel("direct-tcpip", (endpoint.host, endpoint.port), left)
            )

    def _gateway(self, endpoint: Endpoint, cancel: threading.Event | None, deadline: float) -> SshConnection:
        """Return the one connection to a jump server that all hosts behind it share."""
        with self._guard:
            gateway = self._gateways.setdefault(endpoint.way, _Gateway())
        asked = time.monotonic()
        with gateway.lock:
            if gateway.failure is not None and gateway.failed_at >= asked:
                failure = (
                    gateway.failure
                )  # while we waited; each waiting host would fail alike, one after the other
                raise Unreachable(failure.reason, failure.message, hint=failure.hint, host=endpoint.name)
            if gateway.connection is None or not gateway.connection.alive:
                gateway.close()
                try:
                    gateway.connection = self._open(endpoint, None, cancel, deadline)
                except Unreachable as failure:
                    gateway.failure, gateway.failed_at = failure, time.monotonic()
                    raise
            return gateway.connection


class _Gateway:
    """A jump server, opened by the first host that needs it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection: SshConnection | None = None
        self.failure: Unreachable | None = None
        self.failed_at = 0.0

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


class _Failed(Exception):
    """One try to connect failed with a foreign exception."""

    def __init__(self, error: BaseException, below: Below | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.words = below.words() if below is not None else ""
        self.final = below is not None and below.final()


def _true_cause(error: BaseException, guard: Guard | None) -> BaseException:
    """Return what to report: once the watchdog has cut the line, Paramiko only says that it is cut."""
    timed_out = guard is not None and guard.fired == TIMEOUT
    if isinstance(error, Silent):
        return failures.NoBanner() if timed_out else error.error
    return TimeoutError() if timed_out else error
