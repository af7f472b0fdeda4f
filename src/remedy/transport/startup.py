"""How a link begins: one command, then source, modules and first batch in the same flight."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from remedy.agent import bootstrap, stage
from remedy.errors import Interrupted, Unreachable
from remedy.transport import refusals
from remedy.transport.connection import Connection
from remedy.transport.identity import Identity
from remedy.transport.link import AgentLink, Link
from remedy.transport.outbox import Outbox, modules_of
from remedy.transport.refusals import Attempt
from remedy.transport.streams import NOISE, Ending, Stream
from remedy.transport.watchdog import CANCELLED, TIMEOUT, Guard

_TRIPS = 2  # opening the channel, and exec: only then does sshd open its window
_MOST_NOISE = 1 << 20  # bytes before the nonce; more is no banner, but a shell gone wild


def open_link(
    connection: Connection,
    *,
    start: Mapping[str, Any],
    identity: Identity | None = None,
    first: Mapping[str, Any] | None = None,
    modules: Iterable[str] = (),
    cancel: threading.Event | None = None,
) -> Link:
    """Start an agent and send it `start`, the modules and the first batch, without waiting in between.

    Returns once the agent has come to life (its hello follows). An `identity` without a password is who the agent
    runs as: its steps then cost no further process; with a password, the login agent starts it.
    Raises Unreachable with the reason, Interrupted when `cancel` is set.
    """
    needed = [*modules, *modules_of(first)]
    direct = identity if identity is not None and identity.password is None else None
    try:
        return _start(connection, start, direct, None if direct else identity, first, needed, cancel, _TRIPS)
    except _WantsTerminal:
        return _start(connection, start, None, identity, first, needed, cancel, 2 * _TRIPS)


class _WantsTerminal(Exception):
    """sudo runs only on a terminal, which the login agent can make for it."""


def _start(
    connection: Connection,
    start: Mapping[str, Any],
    direct: Identity | None,
    child: Identity | None,
    first: Mapping[str, Any] | None,
    modules: Iterable[str],
    cancel: threading.Event | None,
    trips: int,
) -> AgentLink:
    payload, known = connection.payloads.pack(modules, connection.address)
    nonce = secrets.token_hex(16)
    means = direct.means() if direct is not None else None
    command = bootstrap.command(
        nonce, len(payload), str(start.get("label", "")), connection.target.python, means
    )
    outbox = Outbox(connection.payloads, known, direct, connection.user)
    messages = [start, child.frame() if child is not None else None, first]
    frames = b"".join(outbox.encode(message) for message in messages if message is not None)
    flight = (payload, frames)  # apart: a fleet shares one payload, and each host would have a copy
    stream, rest = fly(connection, command, flight, nonce, direct, cancel)
    return AgentLink(
        connection, stream, outbox, rest, setup_trips=0 if connection.target.connection == "local" else trips
    )


def fly(
    connection: Connection,
    command: str,
    flight: Sequence[bytes],
    nonce: str,
    direct: Identity | None,
    cancel: threading.Event | None,
) -> tuple[Stream, bytes]:
    """Run a command of the stage's, with `flight` on its input; return its stream, and what followed the nonce.

    Raises Unreachable with the reason, Interrupted when `cancel` is set.
    """
    end = _End(connection.line.abort)
    with connection.watchdog.guard(connection.target.start_timeout, end, cancel) as guard:
        stream = _open(connection, command, guard)
        end.now = stream.abort
        try:
            rest = _fly(
                stream, flight, nonce, lambda how: _failed(connection, direct, nonce, stream, guard, how)
            )
        except BaseException:
            end.now = stream.abort
            stream.close()
            raise
    return stream, rest


class _End:
    """What frees the start at a deadline: the connection, then the stream."""

    def __init__(self, now: Callable[[], None]) -> None:
        self.now = now

    def __call__(self) -> None:
        self.now()


def _open(connection: Connection, command: str, guard: Guard) -> Stream:
    try:
        return connection.line.open_stream(command)
    except Exception as error:  # Paramiko's, EOFError, OSError: whatever it is, there is no session
        how = Ending(alive=connection.alive, error=error)
        if guard.fired is not None:
            raise _verdict(
                Attempt(connection, None, "", "", "", how, guard.seconds, guard.fired == TIMEOUT), guard
            ) from None
        if not connection.alive:
            raise refusals.explain(Attempt(connection, None, "", "", "", how, guard.seconds)) from None
        raise Unreachable(
            "refused",
            f"{connection.address} lets {connection.user} log in, but opens no session: {error}",
            hint="MaxSessions, a missing shell or a forced command in sshd's configuration do this",
            host=connection.target.name,
        ) from None


def _fly(stream: Stream, flight: Sequence[bytes], nonce: str, failed: Callable[[str], Exception]) -> bytes:
    """Send everything, then read up to the nonce; return what follows it."""
    try:
        for part in flight:
            stream.send(part, lambda: None)
    except (OSError, EOFError):
        pass  # it has ended already; what it printed says why
    mark = nonce.encode() + b"\n"
    seen = b""
    total = 0
    while True:
        try:
            data = stream.receive(1 << 16)
        except TimeoutError:
            continue  # the guard ends this
        seen += data
        total += len(data)
        before, found, after = seen.partition(mark)
        refused = before.endswith((f"{stage.NO_PYTHON} ".encode(), f"{stage.NEEDS_PASSWORD} ".encode()))
        if found and not refused:
            return after
        if not data or found or total > _MOST_NOISE:
            raise failed(seen.decode(errors="replace"))
        seen = seen[-NOISE:]


def _failed(
    connection: Connection, direct: Identity | None, nonce: str, stream: Stream, guard: Guard, printed: str
) -> Exception:
    ending = stream.ending()
    timed_out = guard.fired == TIMEOUT
    attempt = Attempt(
        connection,
        direct,
        nonce,
        printed,
        stream.errors().decode(errors="replace"),
        ending,
        guard.seconds,
        timed_out,
    )
    return _verdict(attempt, guard)


def _verdict(attempt: Attempt, guard: Guard) -> Exception:
    if guard.fired == CANCELLED:
        return Interrupted("stopped while the agent started", host=attempt.connection.target.name)
    return _WantsTerminal() if refusals.wants_terminal(attempt) else refusals.explain(attempt)
