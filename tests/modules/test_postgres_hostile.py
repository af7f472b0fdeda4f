"""A server that lies: it asks for the password in clear. The real libpq, a real socket, a false server."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.modules.test_mysql_hostile import LocalConnected

from remedy.agent.kinds import Failed
from remedy.modules.controller._postgres import Login, Session, _allowed
from remedy.transport.line import Line
from remedy.transport.tunnel import TcpTunnel, Tunnel

SECRET = "of the directory"
SOCKET = "/var/run/postgresql/.s.PGSQL.5432"
_TLS = struct.pack(">II", 8, 80877103)
_CLEARTEXT = b"R" + struct.pack(">II", 8, 3)


class Impostor:
    """Lets whoever comes begin, by TLS if it has a certificate, and asks for the password; `heard` is all it got."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.context, self.heard = context, b""
        self.server = socket.create_server(("127.0.0.1", 0))
        self.worker = threading.Thread(target=self._serve, daemon=True)
        self.worker.start()

    def _serve(self) -> None:
        link, _ = self.server.accept()
        link.settimeout(5)
        try:
            if self.context is not None:
                assert link.recv(8, socket.MSG_WAITALL) == _TLS
                link.sendall(b"S")
                link = self.context.wrap_socket(link, server_side=True)
            self.heard += link.recv(4096)
            link.sendall(_CLEARTEXT)
            self.heard += link.recv(4096)
        except OSError:
            pass  # it was left
        finally:
            link.close()

    def close(self) -> None:
        self.worker.join(6)
        self.server.close()


class Site:
    """A host whose service, wherever it is asked for, is the impostor."""

    name, user, address = "pg1", "admin", "10.0.0.7"

    def __init__(self, impostor: Impostor) -> None:
        self.impostor = impostor

    def _line(self, address: str) -> Line:
        return Line(LocalConnected(), socket.create_connection(self.impostor.server.getsockname()), address)

    def tunnel(self, addresses: Any, name: str, root_as: object = ()) -> Tunnel:
        first = addresses[0] if isinstance(addresses[0], str) else f"{addresses[0][0]}:{addresses[0][1]}"
        return Tunnel(lambda: self._line(first), name)

    def port(self, host: str, port: int) -> TcpTunnel:
        return TcpTunnel(lambda: self._line(f"{host}:{port}"))

    def attempt(self, login: object, circumstances: object) -> AbstractContextManager[None]:
        return nullcontext()

    def cut(self, line: Line, error: BaseException) -> NoReturn:
        raise Failed(f"the service ended the conversation: {error}")


@pytest.fixture
def impostors() -> Iterator[list[Impostor]]:
    made: list[Impostor] = []
    yield made
    for each in made:
        each.close()


def refused(impostor: Impostor, login: Login) -> str:
    """Log in, which never succeeds; return why not."""
    with pytest.raises(Failed) as told:
        Session(Site(impostor), login)  # type: ignore[arg-type]
    return told.value.message


@pytest.mark.parametrize(
    "addresses",
    [
        (("127.0.0.1", 5432),),
        (("db.example", 5432),),
        ("/tmp/.s.PGSQL.5432",),
        (SOCKET, ("127.0.0.1", 5432)),
    ],
)
def test_who_is_not_proven_gets_no_password_in_clear(impostors: list[Impostor], addresses: Any) -> None:
    impostors.append(Impostor())
    said = refused(impostors[0], Login("app", SECRET, "app", addresses))
    assert "asks for the password in clear, and who answers there is not proven; it was not sent" in said
    assert "login_unix_socket" in said
    impostors[0].close()
    assert b"user\x00app\x00" in impostors[0].heard
    assert SECRET.encode() not in impostors[0].heard


def test_the_servers_own_socket_may_ask_so(impostors: list[Impostor]) -> None:
    impostors.append(Impostor())
    refused(impostors[0], Login("app", SECRET, "app", (SOCKET,)))  # the impostor answers nothing after the login
    assert SECRET.encode() + b"\x00" in impostors[0].heard


@pytest.mark.parametrize(("mode", "trusted"), [("require", False), ("verify-ca", True), ("verify-full", True)])
def test_by_tls_whoever_proves_it_may_ask_so(
    impostors: list[Impostor], certificate: Path, mode: str, trusted: bool
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    impostors.append(Impostor(context))
    files = (("sslrootcert", f"{certificate}.crt"),) if trusted else ()
    login = Login("app", SECRET, "app", (("db.example", 5432),), mode, "db.example", files)
    assert ("it was not sent" in refused(impostors[0], login)) != trusted
    impostors[0].close()
    assert (SECRET.encode() in impostors[0].heard) == trusted


def test_no_password_of_the_environment_is_sent(impostors: list[Impostor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    impostors.append(Impostor())
    said = refused(impostors[0], Login("postgres", "", "app", (SOCKET,)))
    assert "no password supplied" in said
    impostors[0].close()
    assert SECRET.encode() not in impostors[0].heard


def test_an_old_libpq_cannot_promise_it() -> None:
    with pytest.raises(Failed, match="libpq 15 of this machine would send the password in clear"):
        _allowed(Login("app", SECRET, "app", (("127.0.0.1", 5432),)), 150006)
    assert _allowed(Login("app", SECRET, "app", (SOCKET,)), 150006) == {}
    assert _allowed(Login("app", "", "app", (("127.0.0.1", 5432),)), 150006) == {}
