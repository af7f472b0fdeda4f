"""Tunnels: a service of a real host, by each way there is, and what is said where none leads to it."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import paramiko
import pytest

from remedy.errors import LinkLost, Unreachable
from remedy.transport import Identity, Target
from remedy.transport.reach import NoService, lost, reach
from remedy.transport.tunnel import TcpTunnel, Tunnel

from .conftest import Relay, free_port
from .test_identities import PASSWORD, server, user

__all__ = ["server", "user"]  # fixtures

SOMEBODY = Identity("nobody", "su")


class Service:
    """A service that speaks first: it greets with the user id of a local client, then echoes."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._lines: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            self._lines.append(line)
            who = -1
            if line.family == socket.AF_UNIX:
                who = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
            line.sendall(b"hello %d\n" % who)
            threading.Thread(target=self._echo, args=(line,), daemon=True).start()

    @staticmethod
    def _echo(line: socket.socket) -> None:
        try:
            while data := line.recv(1 << 16):
                line.sendall(data)
        except OSError:
            pass
        line.close()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for line in self._lines:
            line.close()


@pytest.fixture
def path(tmp_path):
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "service.sock"))
    listening.listen()
    (tmp_path / "service.sock").chmod(0o666)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # for other users
    service = Service(listening)
    yield str(tmp_path / "service.sock")
    service.close()


@pytest.fixture
def port():
    listening = socket.create_server(("127.0.0.1", 0))
    service = Service(listening)
    yield listening.getsockname()[1]
    service.close()


@pytest.fixture
def connected(place, connector):
    """Connect to a server started for the test; closed at the end."""
    opened = []

    def connect(*options: str, target: Target | None = None):
        connection = connector.connect(target or place.target(place.sshd(*options)))
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def cuttable(connected, place):
    """A connection, and the relay it goes through."""
    server = place.sshd()
    relay = Relay(server.port)
    with place.known_hosts.open("a") as known:
        known.write(server.known_line.replace(str(server.port), str(relay.port)))
    yield connected(target=place.target(relay.port)), relay
    relay.close()


def talk(line) -> str:
    """Return the greeting, once an echo of many bytes has come back."""
    line.settimeout(10)
    file = line.makefile("rb")
    greeting = file.readline().decode().strip()
    data = os.urandom(100_000)
    line.sendall(data)
    assert file.read(len(data)) == data
    file.close()
    line.close()
    return greeting


def test_a_port_and_a_socket_by_channels_of_ssh(connected, path, port) -> None:
    connection = connected()
    assert talk(reach(connection, [("127.0.0.1", port)])) == "hello -1"
    assert talk(reach(connection, [path])) == "hello 0"
    assert talk(reach(connection, ["/no/such.sock", path])) == "hello 0"


def test_where_forwarding_is_forbidden_a_relay_connects(connected, path, port) -> None:
    connection = connected("DisableForwarding yes")
    assert talk(reach(connection, [path])) == "hello 0"
    assert talk(reach(connection, [("127.0.0.1", port)])) == "hello -1"


def test_a_socket_as_another_user(connected, path) -> None:
    line = reach(connected(), ["/no/such.sock", path], identity=SOMEBODY)
    assert line.address == path
    assert talk(line) == "hello 65534"


def test_a_socket_of_this_machine(connected, path, port) -> None:
    connection = connected(target=Target(name="here", address="here", connection="local"))
    assert talk(reach(connection, [path])) == "hello 0"
    assert talk(reach(connection, [("127.0.0.1", port)])) == "hello -1"
    assert talk(reach(connection, [path], identity=SOMEBODY)) == "hello 65534"
    with pytest.raises(NoService, match=r"/no/such\.sock: No such file"):
        reach(connection, ["/no/such.sock"])


def test_a_password_is_given_once(connected, place, server, user, path) -> None:
    user.may("USER ALL=(root) ALL")
    connection = connected(target=place.target(server, ansible_user=user.name))
    assert talk(reach(connection, [path], identity=Identity("root", "sudo", PASSWORD))) == "hello 0"
    with pytest.raises(Unreachable) as refused:
        reach(connection, [path], identity=Identity("root", "sudo", "not " + PASSWORD))
    assert refused.value.reason == "sudo_password"
    assert "to become root is wrong" in str(refused.value)
    assert "not " + PASSWORD not in str(refused.value)


def test_nothing_answers(connected) -> None:
    connection = connected()
    with pytest.raises(NoService) as error:
        reach(connection, ["/no/such.sock", ("127.0.0.1", free_port())], identity=SOMEBODY)
    assert "/no/such.sock: No such file or directory; 127.0.0.1:" in str(error.value)
    assert "login_unix_socket" in str(error.value)
    assert connection.alive


def test_the_end_of_the_connection_ends_a_line(cuttable, path) -> None:
    connection, relay = cuttable
    line = reach(connection, [path], identity=SOMEBODY)
    line.settimeout(10)
    assert line.recv(100) == b"hello 65534\n"
    relay.cut()
    assert line.recv(1) == b""
    assert isinstance(lost(connection, None), LinkLost)
    with pytest.raises((LinkLost, Unreachable)):
        reach(connection, [path])
    line.close()


def test_a_line_that_is_asked_for_while_the_connection_ends(cuttable, path, monkeypatch) -> None:
    connection, relay = cuttable
    line = reach(connection, [path], identity=SOMEBODY)
    transport = connection.line.fabric.transport
    outcome: list[object] = []

    def ask() -> None:
        try:
            outcome.append(reach(connection, [path]))
        except Exception as error:
            outcome.append(error)

    asking = threading.Thread(target=ask)
    begun = threading.Event()
    unlink = paramiko.Channel._unlink

    def in_between(channel: paramiko.Channel) -> None:
        # Paramiko has seen the end and frees its channels, but does not yet say that it is not active.
        unlink(channel)
        if not asking.ident:
            before = len(transport.channel_events)
            asking.start()
            begun.set()
            while asking.is_alive() and len(transport.channel_events) == before:
                time.sleep(0.001)

    monkeypatch.setattr(paramiko.Channel, "_unlink", in_between)
    relay.cut()
    line.settimeout(10)
    while line.recv(100):
        pass
    assert begun.wait(20)
    asking.join(20)
    assert isinstance(outcome[0], LinkLost | Unreachable)
    line.close()


def test_a_private_door_for_clients_that_want_a_path(connected, path) -> None:
    connection = connected()
    with Tunnel(lambda: reach(connection, [path], identity=SOMEBODY), ".s.PGSQL.5432") as tunnel:
        assert tunnel.folder.stat().st_mode & 0o777 == 0o700
        assert len(str(tunnel.path)) < 108
        clients = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for client in clients:
            client.connect(str(tunnel.path))
        assert [talk(client) for client in clients] == ["hello 65534"] * 2
        idle = socket.socket(socket.AF_UNIX)
        idle.connect(str(tunnel.path))
        assert idle.recv(100)
    assert idle.recv(100) == b""
    idle.close()
    assert not tunnel.folder.exists()


def test_a_door_that_leads_nowhere_says_why(connected, tmp_path, monkeypatch) -> None:
    connection = connected()
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("long" * 30)))
    Path(os.environ["TMPDIR"]).mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    with Tunnel(lambda: reach(connection, ["/no/such.sock"])) as tunnel:
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(tunnel.path))
        assert client.recv(1) == b""
        client.close()
        assert isinstance(tunnel.failed, NoService)


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::ffff:127.0.0.1")]
)
def test_a_port_lets_only_its_own_user_pass(family, address) -> None:
    """Somebody else is refused by IPv4, and by IPv4 that an IPv6 socket asks for."""
    ours, theirs = socket.socketpair()
    theirs.sendall(b"hello")
    with TcpTunnel(lambda: ours) as tunnel:
        code = (
            "import os, socket, sys; family, address, port, user = sys.argv[1:]; os.setuid(int(user)); "
            "line = socket.socket(int(family)); line.settimeout(20); line.connect((address, int(port)))\n"
            "try: print(line.recv(5).decode())\nexcept ConnectionResetError: print()"
        )

        def come(user: int) -> str:
            words = [sys.executable, "-c", code, str(int(family)), address, str(tunnel.port), str(user)]
            return subprocess.run(words, stdout=subprocess.PIPE, timeout=60, check=True, text=True).stdout.strip()

        assert come(65534) == ""
        assert come(os.getuid()) == "hello"
    theirs.close()
