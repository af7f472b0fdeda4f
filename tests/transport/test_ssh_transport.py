"""Channels of a real sshd: what a thread sends too late ends nobody else's work; and a host's last words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paramiko
import pytest

from remedy.errors import LinkLost, Unreachable
from remedy.transport import open_link, run_raw
from remedy.transport.reach import Line, reach
from remedy.transport.streamlocal import open_streamlocal

from .conftest import Listener
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


def test_who_is_refused_a_channel_learns_why_also_where_others_are_at_once(connected, address) -> None:
    connection = connected("DisableForwarding yes")
    told: list[object] = []
    together = threading.Barrier(4)

    def ask() -> None:
        for _ in range(25):
            together.wait(20)
            try:
                if isinstance(address, str):
                    open_streamlocal(connection.line.fabric.transport, address, 10)
                else:
                    connection.line.open_channel("direct-tcpip", address, 10)
            except Exception as error:
                told.append(getattr(error, "code", error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    code = 2 if isinstance(address, str) else 1  # RFC 4254, 5.1: connect failed, administratively prohibited
    assert told == [code] * 100


class Leaving(paramiko.ServerInterface):
    """A server that ends the connection with these words: where a key is offered, or a channel asked for."""

    def __init__(self, line: Any, host_key: Path, words: bytes, *, at_login: bool) -> None:
        self._words = words
        self._at_login = at_login
        self._transport = paramiko.Transport(line)
        self._transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(host_key)))
        # With an event nobody waits: the end may have come before the start is seen.
        self._transport.start_server(threading.Event(), self)

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: Any) -> int:
        if self._at_login:
            self._leave()
        return 0  # AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        self._leave()
        return 1  # OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def _leave(self) -> None:
        message = paramiko.Message()
        message.add_byte(bytes([1]))  # RFC 4253, 11.1
        message.add_int(2)
        message.add_string(self._words)
        message.add_string("")
        transport: Any = self._transport
        transport._send_message(message)
        transport.sock.shutdown(1)


@pytest.fixture
def leaving(place):
    """Start a server that leaves with some words; return a target for it."""
    started = []

    def start(words: bytes, *, at_login: bool = False) -> Any:
        server = Listener(lambda line: Leaving(line, place.host_key, words, at_login=at_login) and None)
        started.append(server)
        kind, key = Path(f"{place.host_key}.pub").read_text().split()[:2]
        with place.known_hosts.open("a") as lines:
            lines.write(f"[127.0.0.1]:{server.port} {kind} {key}\n")
        return place.target(server.port)

    yield start
    for server in started:
        server.close()


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (b"two\n lines", "the host said: two lines"),
        (b"caf\xe9 closed", "the host said: caf\ufffd closed"),
        (b"x" * 10_000, f"the host said: {'x' * 300}"),
        (b"", "Unable to open channel."),
    ],
    ids=["lines", "latin-1", "long", "empty"],
)
def test_the_last_words_of_a_host_are_told_whatever_they_are(connected, leaving, words, shown) -> None:
    with pytest.raises(LinkLost) as caught:
        run_raw(connected(target=leaving(words)), "true", timeout=10)
    assert caught.value.message.endswith(f" ended during a raw command ({shown})")


@pytest.mark.parametrize(
    ("words", "shown"),
    [(b"Too many sessions", "the host said: Too many sessions"), (b"x" * 10_000, f"the host said: {'x' * 300}")],
    ids=["few", "many"],
)
def test_the_last_words_of_a_host_are_told_where_its_agent_did_not_start(connected, leaving, words, shown) -> None:
    with pytest.raises(Unreachable) as caught:
        open_link(connected(target=leaving(words)), start={})
    assert caught.value.reason == "link_lost"
    assert caught.value.message.endswith(f" ended while the agent started ({shown})")


def test_last_words_in_no_known_letters_do_not_hide_that_a_key_was_tried(connector, leaving) -> None:
    with pytest.raises(Unreachable) as caught:
        connector.connect(leaving(b"caf\xe9 closed", at_login=True))
    assert "was refused; tried: key " in caught.value.message
    assert "codec" not in caught.value.message
