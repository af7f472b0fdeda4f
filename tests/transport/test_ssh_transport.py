"""Channels of a real sshd: what a thread sends too late ends nobody else's work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from remedy.transport.reach import Line, reach

from .test_tunnel import connected, path, port, talk

__all__ = ["connected", "path", "port"]  # fixtures

DATA, END = 94, 96  # RFC 4254, 5.2 and 5.3


class Held:
    """Keeps back what one thread sends of a kind, as a busy machine does, until it is let go."""

    def __init__(self, transport: Any, kind: int) -> None:
        self._send = transport._send_user_message
        self._kind = kind
        self._thread: threading.Thread | None = None
        self.waits, self._go = threading.Event(), threading.Event()
        transport._send_user_message = self._pass

    def by(self, work: Callable[..., object], *arguments: object) -> None:
        """Let a thread do it, up to where its message would leave."""
        self._thread = threading.Thread(target=work, args=arguments)
        self._thread.start()
        assert self.waits.wait(10)

    def let_go(self) -> None:
        assert self._thread is not None
        self._go.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _pass(self, message: Any) -> None:
        if message.asbytes()[0] == self._kind and threading.current_thread() is self._thread:
            self.waits.set()
            assert self._go.wait(20)
        self._send(message)


@pytest.fixture(params=["port", "socket"])
def address(request: pytest.FixtureRequest, path: str, port: int) -> Any:
    return path if request.param == "socket" else ("127.0.0.1", port)


def close(line: Line, transport: Any) -> None:
    """Close a line, and wait until sshd has forgotten its channel."""
    line.close()
    deadline = time.monotonic() + 10
    while transport._channels.get(line._raw.get_id()) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_end_of_data_after_the_end_of_its_channel_does_not_end_the_connection(connected, address) -> None:
    connection = connected()
    transport = connection.line.fabric.transport
    line = reach(connection, [address])
    held = Held(transport, END)
    held.by(line._raw.shutdown_write)
    close(line, transport)
    held.let_go()
    assert talk(reach(connection, [address])).startswith("hello")
    assert connection.alive


def test_data_after_the_end_of_its_channel_reaches_no_other(connected, address) -> None:
    connection = connected()
    transport = connection.line.fabric.transport
    line = reach(connection, [address])
    held = Held(transport, DATA)
    held.by(line.sendall, b"late")
    close(line, transport)
    other = reach(connection, [address])  # sshd gives it the number that has become free
    assert other._raw.remote_chanid == line._raw.remote_chanid
    other.settimeout(10)
    with other.makefile() as file:
        assert file.readline().startswith(b"hello")
        held.let_go()
        other.sendall(b"in time\n")
        assert file.readline() == b"in time\n"
    other.close()
    assert connection.alive


def test_a_channel_that_ends_while_keys_are_exchanged_keeps_nobody_waiting(connected, port) -> None:
    connection = connected()
    line = connection.line
    ticking = line.open_stream("while sleep .2; do echo tick || exit; done")
    ending = line.open_stream("sleep .5")
    line.fabric.transport.clear_to_send.clear()  # as from its own KEXINIT on, until the keys are new
    assert ending.receive(10) == b""
    for _ in range(5):
        assert ticking.receive(10).startswith(b"tick")
    line.fabric.transport.clear_to_send.set()
    assert talk(reach(connection, [("127.0.0.1", port)])) == "hello -1"
    ending.close()
    ticking.close()


def test_many_channels_work_while_keys_are_exchanged_again_and_again(connected, address) -> None:
    connection = connected()
    connection.line.fabric.transport.packetizer.REKEY_BYTES = 1 << 18
    greetings: list[str] = []

    def work() -> None:
        for _ in range(25):
            greetings.append(talk(reach(connection, [address])))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(greetings) == 100
    assert connection.alive
