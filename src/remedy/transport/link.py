"""The link to an agent: messages both ways, pings, and a clear word when it ends."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol

from remedy.agent import frames
from remedy.errors import LinkLost
from remedy.transport.connection import Connection
from remedy.transport.outbox import Outbox
from remedy.transport.streams import TICK, Ending, Stream

PING = 15.0
"""Seconds without anything sent after which a ping goes out: the agent's lease is 60."""

SILENCE = 60.0
"""Seconds without a byte from the host after which the link is given up."""

_LONG = 1 << 16  # bytes
_WAITING = 1000  # messages that have arrived and that nobody has taken

_HUNG = "the agent has not answered for {:g} s, though the connection stands"


class Link(Protocol):
    """What the engine sees of an agent."""

    hello: Mapping[str, Any]
    setup_trips: int

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; modules that a batch needs and the agent lacks go ahead of it. From any thread."""

    def receive(self, timeout: float | None = None) -> dict[str, Any]:
        """Return the next message (never a pong); TimeoutError after `timeout` seconds, LinkLost at the end."""

    def close(self, *, grace: float = 2.0) -> None:
        """End the agent, waiting `grace` seconds for it to tidy up, and close the channel; never raises."""


class AgentLink:
    """A link over a stream on which an agent has come to life. One thread reads it and sends the pings."""

    def __init__(
        self, connection: Connection, stream: Stream, outbox: Outbox, rest: bytes, *, setup_trips: int
    ) -> None:
        self.hello: Mapping[str, Any] = {}
        self.setup_trips = setup_trips
        self._connection = connection
        self._stream = stream
        self._outbox = outbox
        self._rest = rest
        self._arrived: queue.SimpleQueue[dict[str, Any] | LinkLost] = queue.SimpleQueue()
        self._taken = threading.Event()
        self._sending = threading.Lock()
        self._last_sent = time.monotonic()
        self._pings = 0
        self._closing = False
        self._lost: LinkLost | None = None
        self._guard = connection.watchdog.add(SILENCE, stream.abort)
        name = f"remedy-link-{connection.target.name}"
        self._reader = threading.Thread(target=self._read, name=name, daemon=True)
        self._reader.start()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; modules that a batch needs and the agent lacks go ahead of it. From any thread."""
        if self._lost is not None:
            raise self._lost  # sshd takes bytes for a command that has ended, and drops them
        with self._sending:
            self._write(self._outbox.encode(message))

    def receive(self, timeout: float | None = None) -> dict[str, Any]:
        """Return the next message; the hello is one, a pong is none."""
        if self._lost is not None and self._arrived.empty():
            raise self._lost
        try:
            message = self._arrived.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"no message within {timeout:g} s") from None
        self._taken.set()
        if isinstance(message, LinkLost):
            raise message
        return message

    def close(self, *, grace: float = 2.0) -> None:
        """End the agent and close the channel; a second call does nothing."""
        if self._closing:
            return
        self._closing = True
        self._taken.set()
        self._connection.watchdog.remove(self._guard)
        with self._connection.watchdog.guard(grace + 1.0, self._stream.abort):
            try:
                if self._lost is None:
                    self.send({"t": "end"})
                    self._stream.finish()
                    self._reader.join(grace)
                self._stream.close()
            except Exception:
                self._stream.abort()  # the other side is gone: there is nothing to tidy up
        self._reader.join(1.0)
        self._stream.close()

    def _write(self, data: bytes) -> None:
        """Write whole frames; the caller holds the lock."""
        self._last_sent = time.monotonic()
        # a long upload keeps the agent too busy for pongs, not dead; a ping that fits into a buffer proves nothing
        progress = self._alive if len(data) > _LONG else _nothing
        try:
            self._stream.send(data, progress)
        except (OSError, EOFError):
            raise self._loss() from None
        self._last_sent = time.monotonic()

    def _alive(self) -> None:
        self._guard.renew(SILENCE)

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            while (message := frames.read(self._receive)) is not None:
                self._take(message)
        except Exception as caught:  # frames.Broken, or what Paramiko raises from a connection that is gone
            error = caught
        self._connection.watchdog.remove(self._guard)
        if not self._closing:
            self._lost = self._loss(error)
            self._arrived.put(self._lost)

    def _take(self, message: Any) -> None:
        kind = message.get("t")
        if kind == "pong" or self._closing:  # nobody listens to the rest
            return
        if kind == "hello":
            self.hello = message
            self._connection.payloads.pythons.saw(self._connection.address, message.get("python"))
        self._arrived.put(message)
        while True:
            # A host that talks faster than anybody listens waits in its own buffers, not in our memory.
            self._taken.clear()
            if self._arrived.qsize() < _WAITING or self._closing:
                return
            self._taken.wait(TICK)
            self._alive()
            self._ping()

    def _receive(self, count: int) -> bytes:
        """Return 1 to `count` bytes; between two of them there is time for pings."""
        while not self._rest:
            try:
                data = self._stream.receive(_LONG)
            except TimeoutError:
                self._ping()
                continue
            if not data:
                return b""
            self._alive()
            self._ping()  # a host that talks without end must hear from us all the same
            self._rest = data
        part, self._rest = self._rest[:count], self._rest[count:]
        return part

    def _ping(self) -> None:
        """Send a ping where nothing was sent for a while."""
        if time.monotonic() - self._last_sent < PING or self._closing:
            return
        if not self._sending.acquire(blocking=False):
            return  # something is being sent: that is sign of life enough
        try:
            self._pings += 1
            self._write(frames.encode({"t": "ping", "n": self._pings}))
        finally:
            self._sending.release()

    def _loss(self, error: BaseException | None = None) -> LinkLost:
        """Return why the link ended: killed, silent, or the connection is gone."""
        ending = self._stream.ending()
        where = f"{self._connection.user} at {self._connection.address}"
        words = self._stream.errors().decode(errors="replace")
        said = f"; it said: {' '.join(words.split())[-400:]}" if words else ""
        reason, message, hint = _cause(self._guard.fired is not None, ending, where, error)
        return LinkLost(reason, message + said, hint=hint, host=self._connection.target.name)


def _nothing() -> None:
    """Take a part that was sent as no sign of life."""


def _cause(silent: bool, ending: Ending, where: str, error: BaseException | None) -> tuple[str, str, str]:
    if silent:
        return (
            "agent_killed",
            f"{_HUNG.format(SILENCE)} ({where})",
            "the host may be out of memory or its processes stopped; the journal knows what was under way",
        )
    if ending.killed:
        return (
            "agent_killed",
            f"the agent of {where} was killed",
            "was it the kernel, for want of memory? (dmesg); the journal knows what was under way",
        )
    if ending.alive and isinstance(error, frames.Broken) and ending.status is None:
        return (
            "link_lost",
            f"what came from {where} is no message: {error}",
            "does a program write to the agent's output?",
        )
    if ending.alive:
        status = "" if ending.status is None else f" with exit status {ending.status}"
        return (
            "agent_killed",
            f"the agent of {where} ended{status}",
            "run again with the link's words above; the journal knows what was under way",
        )
    detail = str(ending.error or error or "")
    return (
        "link_lost",
        f"the connection to {where} ended in the middle of the work{f' ({detail})' if detail else ''}",
        "look at the host and the network; the journal knows what was under way, resume continues there",
    )
