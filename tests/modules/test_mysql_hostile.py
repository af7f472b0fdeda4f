"""A server that lies: it asks for the password itself, or for a file of this machine. A real socket, a false server."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from tests.modules.certificates import self_signed

from remedy.agent.kinds import Failed
from remedy.modules.controller._mysql import Login, Session
from remedy.modules.controller._mysql_tls import Tls
from remedy.modules.controller._site import shortly
from remedy.transport.line import Line
from remedy.transport.local import LocalConnection

SECRET = "of the directory"
_OK = b"\x00\x00\x00\x02\x00\x00\x00"


class Impostor:
    """Greets as MySQL 8 does, then asks for the password by a plugin; `heard` is all that it was sent."""

    def __init__(
        self,
        plugin: bytes,
        prompt: bytes = b"",
        *,
        answers: tuple[bytes, ...] = (),
        tls: ssl.SSLContext | Silence | None = None,
    ) -> None:
        self.plugin, self.prompt, self.answers, self.tls = plugin, prompt, answers, tls
        self.heard = b""

    def serve(self, link: socket.socket) -> None:
        salt = b"12345678" + b"901234567890"
        flags = (
            0x00000200 | 0x00008000 | 0x00080000 | 0x00000008 | (0x00000800 if self.tls else 0)
        )  # 4.1, secure connection, plugins, a database, TLS
        greeting = (
            b"\x0a8.0.36\x00" + struct.pack("<I", 7) + salt[:8] + b"\x00"
            + struct.pack("<HBHHB", flags & 0xFFFF, 45, 2, flags >> 16, 21) + b"\x00" * 10 + salt[8:] + b"\x00"
            + b"mysql_native_password\x00"
        )  # fmt: skip
        try:
            self._say(link, 0, greeting)
            number = self._hear(link)
            if self.tls:
                link = self.tls.wrap_socket(link, server_side=True)
                number = self._hear(link)
            self._say(link, number + 1, b"\xfe" + self.plugin + b"\x00" + self.prompt)
            self.after(link, self._hear(link))
        except (OSError, IndexError):
            pass  # it was left
        finally:
            link.close()

    def after(self, link: socket.socket, number: int) -> None:
        """Go on after the answer to the plugin's question."""
        self._say(link, number + 1, _OK)
        for answer in self.answers:
            self._say(link, self._hear(link) + 1, answer)

    def _hear(self, link: socket.socket) -> int:
        head = self._take(link, 4)
        self.heard += self._take(link, int.from_bytes(head[:3], "little"))
        return head[3]

    @staticmethod
    def _take(link: socket.socket, count: int) -> bytes:
        data = b""
        while len(data) < count and (more := link.recv(count - len(data))):
            data += more
        return data

    @staticmethod
    def _say(link: socket.socket, number: int, data: bytes) -> None:
        link.sendall(len(data).to_bytes(3, "little") + bytes([number]) + data)


class Site:
    """A host whose service, at `address`, is the impostor."""

    name, user = "db1", "admin"

    def __init__(self, raw: socket.socket, address: str) -> None:
        self.line = Line(LocalConnected(), raw, address)

    def reach(self, addresses: object) -> Line:
        return self.line

    def attempt(self, login: object) -> AbstractContextManager[None]:
        return nullcontext()

    def cut(self, line: Line, error: BaseException) -> NoReturn:
        raise Failed(f"the service ended the conversation: {error}")


class LocalConnected(LocalConnection):
    """A connection of this machine, with a watchdog that never bites."""

    class watchdog:
        @staticmethod
        @contextmanager
        def guard(seconds: float, give_up: Callable[[], None]) -> Iterator[None]:
            yield


def login(impostor: Impostor, address: str, key: bytes = b"", tls: Tls | None = None) -> Any:
    ours, theirs = socket.socketpair()
    at_work = threading.Thread(target=impostor.serve, args=(theirs,), daemon=True)
    at_work.start()
    try:
        return Session(Site(ours, address), Login("app", SECRET, key=key, tls=tls))  # type: ignore[arg-type]
    finally:
        ours.close()
        at_work.join(5)


@pytest.mark.parametrize("address", ["127.0.0.1:3306", "10.0.0.7:3306", "/tmp/mysql.sock"])
@pytest.mark.parametrize(
    ("plugin", "prompt"), [(b"mysql_clear_password", b""), (b"dialog", b"\x04Password: ")]
)
def test_who_is_not_proven_gets_no_password_in_clear(address: str, plugin: bytes, prompt: bytes) -> None:
    impostor = Impostor(plugin, prompt)
    with pytest.raises(Failed) as told:
        login(impostor, address)
    assert f"asks for the password in clear ({plugin.decode()})" in told.value.message
    assert f"who answers at {address} is not proven; it was not sent" in told.value.message
    assert "login_unix_socket" in told.value.message
    assert b"app\x00" in impostor.heard
    assert SECRET.encode() not in impostor.heard


@pytest.mark.parametrize("address", ["127.0.0.1:3306", "/run/mysqld/mysqld.sock"])
def test_a_hash_that_is_as_good_as_the_password_is_never_sent(address: str) -> None:
    with pytest.raises(Failed, match=r"by mysql_old_password, which is as good as in clear; it was not sent"):
        login(Impostor(b"mysql_old_password", b"12345678\x00"), address)


def test_the_servers_own_socket_may_ask_so(tmp_path: Path) -> None:
    impostor = Impostor(b"mysql_clear_password")
    with pytest.raises(Failed):  # the impostor answers nothing after the login
        login(impostor, "/run/mysqld/mysqld.sock")
    assert SECRET.encode() + b"\x00" in impostor.heard


def test_a_request_for_a_file_of_this_machine_is_refused_in_words(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.write_text("keep this\n")
    impostor = Impostor(
        b"mysql_native_password", b"x" * 20 + b"\x00", answers=(_OK, b"\xfb" + bytes(private))
    )
    with pytest.raises(
        Failed, match=r"at 127\.0\.0\.1:3306 of db1 asks for a file of this machine; it was not sent"
    ):
        login(impostor, "127.0.0.1:3306")
    assert b"keep this" not in impostor.heard


def test_nonsense_is_told_as_such() -> None:
    impostor = Impostor(b"mysql_native_password", b"x" * 20 + b"\x00", answers=(_OK, b"\xfc"))
    with pytest.raises(Failed, match="answers nonsense"):
        login(impostor, "127.0.0.1:3306")


class KeyOfItsOwn(Impostor):
    """Asks for the password by an RSA key, and reads it: `heard` is what it was sent, with what it could decrypt."""

    def __init__(self, plugin: bytes) -> None:
        super().__init__(plugin, b"x" * 20 + b"\x00")
        self.key = rsa.generate_private_key(65537, 2048)
        self.pem = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.read: bytes | None = None

    def after(self, link: socket.socket, number: int) -> None:
        if self.plugin == b"caching_sha2_password":
            self._say(link, number + 1, b"\x01\x04")  # no hash of it is remembered
            number = self._hear(link)
        self._say(link, number + 1, b"\x01" + self.pem)
        self._hear(link)
        padded = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # as MySQL does it
        with suppress(ValueError):  # it is for another key
            text = self.key.decrypt(self.heard[-256:], padded)
            self.read = bytes(each ^ ord("x") for each in text)


SHA2 = pytest.mark.parametrize("plugin", [b"caching_sha2_password", b"sha256_password"])


@SHA2
@pytest.mark.parametrize("address", ["10.0.0.7:3306", "db.example:3306", "127.0.0.1.example:3306"])
def test_elsewhere_no_server_gets_the_password_by_a_key_of_its_own(address: str, plugin: bytes) -> None:
    impostor = KeyOfItsOwn(plugin)
    with pytest.raises(Failed) as told:
        login(impostor, address)
    assert f"by an RSA key of its own, and who answers at {address}" in told.value.message
    assert "is not proven; it was not sent. Give the server's key (server_public_key)" in told.value.message
    assert impostor.read is None


@SHA2
@pytest.mark.parametrize("address", ["127.0.0.1:3306", "[::1]:3306", "localhost:3306", "/run/mysqld/mysqld.sock"])
def test_within_the_host_the_key_is_taken_on_trust(address: str, plugin: bytes) -> None:
    if plugin == b"caching_sha2_password" and address.startswith("/"):
        plugin = b"sha256_password"  # the other one asks for no key there: below
    impostor = KeyOfItsOwn(plugin)
    with pytest.raises(Failed):  # the impostor answers nothing after the login
        login(impostor, address)
    assert impostor.read == SECRET.encode() + b"\x00"


class AtASocket(Impostor):
    """MySQL 8 at its socket, which remembers no hash: what comes next it takes for the password itself."""

    def after(self, link: socket.socket, number: int) -> None:
        self._say(link, number + 1, b"\x01\x04")
        self.heard = b""
        self._hear(link)


def test_at_its_private_socket_a_server_without_a_hash_gets_the_password_and_no_request_for_a_key() -> None:
    server = AtASocket(b"caching_sha2_password", b"x" * 20 + b"\x00")
    with pytest.raises(Failed):  # it answers nothing after the login
        login(server, "/run/mysqld/mysqld.sock")
    assert server.heard == SECRET.encode() + b"\x00"


@pytest.mark.parametrize("named", [False, True])
def test_at_a_socket_that_anybody_can_make_it_gets_nothing(named: bool) -> None:
    server = AtASocket(b"caching_sha2_password", b"x" * 20 + b"\x00")
    key = KeyOfItsOwn(b"sha256_password").pem if named else b""
    with pytest.raises(Failed, match=r"in clear \(caching_sha2_password\), and who answers at /tmp/mysql.sock is not"):
        login(server, "/tmp/mysql.sock", key)
    assert server.heard == b""


@SHA2
@pytest.mark.parametrize("address", ["127.0.0.1:3306", "10.0.0.7:3306"])
def test_with_the_key_that_the_operator_names_another_reads_nothing(address: str, plugin: bytes) -> None:
    impostor, real = KeyOfItsOwn(plugin), KeyOfItsOwn(plugin)
    with pytest.raises(Failed):
        login(impostor, address, real.pem)
    assert len(impostor.heard) > 256
    assert impostor.read is None


AT = "10.0.0.7:3306"


@pytest.fixture
def proven(certificate: Path) -> ssl.SSLContext:
    """A server that has the certificate of db.example."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("address", [AT, "127.0.0.1:3306", "/run/mysqld/mysqld.sock"])
def test_who_offers_no_tls_where_it_is_asked_for_hears_nothing(certificate: Path, address: str) -> None:
    impostor = Impostor(b"mysql_native_password", b"x" * 20 + b"\x00")
    with pytest.raises(Failed, match="it offers no TLS, which ca_cert asks for; the password was not sent"):
        login(impostor, address, tls=Tls(f"{certificate}.crt", "db.example"))
    assert impostor.heard == b""


@pytest.mark.parametrize("name", ["db.example", "10.0.0.7"])
def test_who_proves_another_name_hears_neither_account_nor_password(
    certificate: Path, proven: ssl.SSLContext, tmp_path: Path, name: str
) -> None:
    asked = Tls(f"{certificate}.crt", name)
    if name == "db.example":  # the right name, by another authority
        other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        other.load_cert_chain(self_signed(tmp_path / "another.pem"))
        proven = other
    impostor = Impostor(b"mysql_clear_password", tls=proven)
    with pytest.raises(Failed, match=r"its certificate is not good: .*; the password was not sent"):
        login(impostor, AT, tls=asked)
    assert len(impostor.heard) == 32, "the wish for TLS alone"


@pytest.mark.parametrize(
    ("plugin", "prompt", "said"),
    [
        (b"mysql_clear_password", b"", ()),
        (b"dialog", b"\x04Password: ", ()),
        (b"caching_sha2_password", b"x" * 20 + b"\x00", (b"\x01\x04",)),
        (b"sha256_password", b"x" * 20 + b"\x00", ()),
    ],
)
def test_by_tls_whoever_proves_it_may_ask_for_the_password(
    certificate: Path, proven: ssl.SSLContext, plugin: bytes, prompt: bytes, said: tuple[bytes, ...]
) -> None:
    impostor = Asks(plugin, prompt, answers=said, tls=proven)
    with pytest.raises(Failed):  # the impostor answers nothing after the login
        login(impostor, AT, tls=Tls(f"{certificate}.crt", "db.example"))
    assert SECRET.encode() + b"\x00" in impostor.heard


class Asks(Impostor):
    """Says what it has to say, and hears the password."""

    def after(self, link: socket.socket, number: int) -> None:
        for answer in self.answers:
            self._say(link, number + 1, answer)
            number = self._hear(link)


@pytest.mark.parametrize(
    ("address", "files", "why"),
    [
        (AT, {"ca": "none"}, "none of this machine, which TLS needs, cannot be read: No such file or directory"),
        (AT, {"ca": "text"}, "text of this machine holds no certificates that can be used"),
        (AT, {"certificate": "both.pem", "key": "another"}, "another of this machine are no certificate with its key"),
        (AT, {"certificate": "text"}, "are no certificate with its key"),
        (AT, {"name": ""}, "login_host names none: set it to a name that the server's certificate bears"),
        ("/tmp/mysql.sock", {"name": ""}, "who answers at /tmp/mysql.sock must prove its name by TLS"),
    ],
)
def test_what_tls_cannot_begin_with_is_told_before_anything_is_sent(
    certificate: Path, tmp_path: Path, address: str, files: dict[str, str], why: str
) -> None:
    (tmp_path / "text").write_text("no certificate\n")
    self_signed(tmp_path / "another")
    paths = {name: str(tmp_path / value) for name, value in files.items() if name != "name"}
    if files.get("certificate") == "both.pem":
        paths["certificate"] = str(certificate)
    asked = Tls(**{"ca": f"{certificate}.crt", **paths}, name=files.get("name", "db.example"))
    impostor = Impostor(b"mysql_native_password")
    with pytest.raises(Failed) as told:
        login(impostor, address, tls=asked)
    assert why in told.value.message
    assert impostor.heard == b""


class Silence:
    """TLS that is offered and never begun."""

    def wrap_socket(self, link: socket.socket, server_side: bool) -> socket.socket:
        while link.recv(1 << 16):
            pass
        raise OSError("it was left")


def test_who_offers_tls_and_falls_silent_is_left(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remedy.modules.controller._mysql_tls._SHAKEN", 0.5)
    with pytest.raises(Failed, match=r"Can't connect to MySQL server .*timed out|no TLS within 0.5 s"):
        login(Impostor(b"mysql_native_password", tls=Silence()), AT, tls=Tls(f"{certificate}.crt", "db.example"))


@pytest.mark.parametrize("name", [".example", "a..example", "x" * 64 + ".example", "a\0b"])
def test_a_name_that_no_server_can_have_is_refused_in_words(certificate: Path, name: str) -> None:
    with pytest.raises(Failed, match="is no name of a server"):
        login(Impostor(b"mysql_native_password"), AT, tls=Tls(f"{certificate}.crt", name))


@pytest.mark.parametrize("text", [
    "ALTER USER 'it\\'s_with_a_long_name_of_an_acc'@'%' IDENTIFIED BY 'geheimgeheimgeheim'",
    "ALTER USER 'o\"brien-with-a-long-name'@'%' IDENTIFIED BY \"geheimgeheimgeheimgeheim\"",
    "ALTER ROLE app_with_a_long_name_of_an_account_here LOGIN PASSWORD $$geheimgeheimgeheim$$",
])  # fmt: skip
def test_no_part_of_a_secret_is_told(text: str) -> None:
    assert "geh" not in shortly(text)
    assert shortly(text).startswith("ALTER ")
    assert shortly("SELECT 'whole'") == "SELECT 'whole'"
