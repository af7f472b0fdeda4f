"""Sessions on MySQL and MariaDB through a tunnel: logging in, asking with a deadline, ending what hangs."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from remedy.agent.kinds import Failed, Param
from remedy.errors import InputError
from remedy.home import expanded
from remedy.modules.controller._mysql_tls import TLS_PARAMS, Tls, tls_of
from remedy.modules.controller._site import NotLetIn, Site, not_known
from remedy.transport.reach import Address

HOST = "remedy.modules.target._mysql_host"
FILES = "remedy.modules.target._mysql_files"
SOCKETS: tuple[Address, ...] = (
    "/run/mysqld/mysqld.sock",
    "/var/lib/mysql/mysql.sock",
    "/tmp/mysql.sock",
    ("127.0.0.1", 3306),
)
SECONDS = 10.0
_PORT = 3306
_LOCKED = (3118, 3955, 4150, 4151)  # the account: MySQL's numbers, MariaDB's
_REFUSED = (1045, 1698, 2061, *_LOCKED)  # 2061: how the server asks for the password is not to be trusted
_ENDED = (1053, 1927, 3169, 4031)  # what a server answers a statement with whose session it has ended
_WHO = (
    "SELECT CONNECTION_ID() AS id, VERSION() AS version, @@server_id AS server_id, @@port AS port, @@socket AS socket"
)

LOGIN_PARAMS = (
    Param("login_user", help="The account; else the option file's, else the user the task runs as on the host."),
    Param("login_password", secret=True, help="Its password; else the option file's. None: the server asks the "
          "socket who connects (unix_socket, auth_socket)."),
    Param("login_unix_socket", "path", help="The server's socket on the host; else the usual places are tried."),
    Param("login_host", help="The server's address as seen from the host; else its socket."),
    Param("login_port", "int", default=_PORT, help="The server's port. Without login_host, or with localhost, another "
          "one than 3306 names that of the host's own servers which listens there, and its socket."),
    Param("server_public_key", "path", help="The server's RSA key, a file of this machine, for which "
          "caching_sha2_password and sha256_password encrypt the password. It may be needed where the server is not on "
          "the host itself."),
    Param("config_file", default="~/.my.cnf", help="An option file on the host, whose [client] logs in; it may be "
          "missing."),
    Param("local_config_file", help="An option file of this machine: user and password of its [client], and nothing "
          "else, log in. Never read unasked; others must not be able to read it."),
    *TLS_PARAMS,
)  # fmt: skip
LOGIN_VARIABLES = {
    name: f"mysql_{name}"
    for name in (
        *("login_user", "login_password", "login_unix_socket", "login_host", "login_port"),
        *("local_config_file", "server_public_key"),
        *(param.name for param in TLS_PARAMS),
    )
}


@dataclass(frozen=True)
class Login:
    """How to reach a server and who to be there."""

    user: str
    password: str = field(default="", repr=False)
    addresses: tuple[Address, ...] = SOCKETS
    key: bytes = b""
    """The server's RSA key; none: what it says is its own is trusted within the host."""
    tls: Tls | None = None
    """What the server must prove before it is told anything; None: it is spoken with without TLS."""


class Asks(Protocol):
    """What can be asked: a session, or recorded answers."""

    def rows(self, sql: str, *, seconds: float = SECONDS) -> list[dict[str, Any]]:
        """Return the rows of a statement, each a dict of the server's own column names."""
        ...


class Session:
    """One session of a server; `id` is its number there, `version` what the server calls itself.

    `site` is the host of the step that asks: a session may be held from step to step.
    """

    def __init__(self, site: Site, login: Login) -> None:
        from pymysql import err  # where it is used: a run without databases need not pay for it

        from remedy.modules.controller._mysql_client import NONSENSE, Client

        self.site = site
        self.door = ""
        """Where it came in, where not by the usual way (see _doors.py)."""
        self.database = ""
        """Where a task's USE has led it."""
        self.changed = 0
        self._broken = False
        self._errors = err
        self._nonsense = NONSENSE
        with site.attempt(login):
            self._line = site.reach(login.addresses)
            stream: Any = self._line  # as good as a socket for PyMySQL
            try:
                self._client: Any = Client(
                    self._line.address,
                    login.key,
                    login.tls,
                    user=login.user,
                    password=login.password,
                    autocommit=True,
                    charset="utf8mb4",
                    read_timeout=SECONDS,
                    program_name="remedy",
                )
                self._client.connect(stream)
            except Failed:
                self._line.close()
                raise
            except self._errors.MySQLError as error:
                self._line.close()
                raise self._refused(error, login) from None
            except self._nonsense as error:
                raise self._lied(error) from None
        said = self.rows(_WHO)[0]
        self.id = int(said["id"])
        self.version = str(said["version"])
        self.server_id = int(said["server_id"])
        self._own = {"port": int(said["port"]), "socket": str(said["socket"])}

    @property
    def alive(self) -> bool:
        """Say whether it can be asked, as far as is known here."""
        return not self._broken and not self._line.ended

    @property
    def reached(self) -> str:
        """Return where it was reached, as seen from the host: HOST:PORT, or the path of a socket."""
        return str(self._line.address)

    def place(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return what tells the server from the others of its host: its `port` (0: it takes no TCP) and `socket`.

        Where it was named by host and port it has those for the host: a container's own port is another one.
        """
        named = {"port": params["login_port"]} if params["login_host"] else {}
        return {**self._own, **named}

    def rows(self, sql: str, *, seconds: float = SECONDS, args: Any = None) -> list[dict[str, Any]]:
        """Return the rows of a statement; raises Failed: cause timeout after `seconds`, else the server's own words.

        `args` (a sequence or a mapping) fill the statement's %s or %(name)s, quoted; `changed` tells the rows then.
        """
        self._client._read_timeout = seconds
        try:
            with self._client.cursor() as cursor:
                self.changed = cursor.execute(sql, args)
                return [dict(row) for row in cursor.fetchall()]
        except (self._errors.OperationalError, self._errors.InterfaceError) as error:
            number = error.args[0] if error.args else 0
            if number in _ENDED:
                self._broken = True
                said = f"{self.site.name}: the server ended the session: {_words(error)}"
                raise Failed(f"{said}; {not_known(sql)}", mysql_error=number) from None
            if number not in (0, 2006, 2013, 2014):
                raise Failed(_words(error), mysql_error=number) from None
            self._broken = True
            # PyMySQL tells a timeout by its words alone, and a channel of SSH has none.
            if "timed out" in str(error) or isinstance(error.__context__, TimeoutError):
                raise Failed(
                    f"the server gave no answer within {seconds:g} s; {not_known(sql)}", cause="timeout"
                ) from None
            self.site.cut(self._line, error, sql if number else "")  # 0: nothing was sent
        except self._errors.MySQLError as error:
            raise Failed(_words(error), mysql_error=error.args[0] if error.args else 0) from None
        except self._nonsense as error:
            raise self._lied(error) from None

    def end(self, id: int, *, query: bool) -> None:
        """End a session of the server, or only its statement (KILL QUERY); one that is gone is fine."""
        try:
            self.rows(f"KILL {'QUERY ' if query else ''}{int(id)}")
        except Failed as failed:
            if failed.result.get("mysql_error") != 1094:  # unknown thread id
                raise

    def processes(self) -> list[dict[str, Any]]:
        """Return the sessions of the server: Id, User, Host, Command, Time, State, Info."""
        return self.rows("SHOW FULL PROCESSLIST")

    def close(self) -> None:
        """Close it; the server is told, so that it does not count as aborted."""
        if self.alive:
            self._client.close()
        self._line.close()

    def drop(self) -> None:
        """Let go of it while another thread asks in it: `close` would wait for the answer."""
        self._broken = True
        self._line.close()

    def _lied(self, error: Exception) -> Failed:
        """Return what to say of an answer that no server gives; it is not spoken with again."""
        self._broken = True
        self._line.close()
        what = (
            "asks for a file of this machine; it was not sent"
            if isinstance(error, RuntimeError)
            else f"answers nonsense ({error!r})"
        )
        return Failed(f"what answers at {self._line.address} of {self.site.name} {what}: is it MySQL?")

    def _refused(self, error: Exception, login: Login) -> Failed:
        number = error.args[0] if error.args else 0
        hints = {
            1045: "; set login_user and login_password, or config_file",
            1698: "; the server asks who connects: add become: true, or set login_user and login_password",
            1040: "; no connection is free",
        }
        hint = hints.get(number, "") + self._client.advice(number)
        where = f"{login.user} at {self._line.address} of {self.site.name}"
        if number in (2003, 2013) and not self._line.connection.alive:
            self.site.cut(self._line, error)
        said = f"MySQL lets {where} not in: {_words(error)}{hint}"
        told = {"mysql_error": number, "address": self._line.address, "greeted": self._client.greeted}
        if number not in _REFUSED:
            return Failed(said, **told)
        # At a socket the server may ask for another user of the host.
        wholly = number in _LOCKED or (number == 1045 and not self.reached.startswith("/"))
        return NotLetIn(said, wholly=wholly, **told)


def login_of(site: Site, params: dict[str, Any]) -> Login:
    """Return how to log in: the task's parameters, then option files (here, on the host), then its user and sockets."""
    known: dict[str, str] = {}
    asked = int(params.get("login_port") or _PORT)
    named = params.get("login_unix_socket") or params.get("login_host") not in (None, "", "localhost")
    meant = None if asked == _PORT or named else asked
    told: dict[str, Any] = {"options": {}}
    if params.get("config_file") or meant:
        files = [params["config_file"]] if params.get("config_file") else []
        told = site.ask(FILES, option_files=files, index=None, datadir=None, port=meant)
    for text in told["options"].values():
        known.update(client_options(text))
    if params.get("local_config_file"):
        # An account of one file with the password of another would be a login that nobody wrote down.
        known.pop("user", None)
        known.pop("password", None)
        known.update(_of_this_machine(str(params["local_config_file"])))
    password = params.get("login_password") or known.get("password") or ""
    site.hide(password)
    host = params.get("login_host") or known.get("host")
    port = int(known.get("port") or asked) if asked == _PORT else asked
    path = params.get("login_unix_socket") or (None if params.get("login_host") or meant else known.get("socket"))
    addresses = SOCKETS
    if path:
        addresses = (str(path),)
    elif host and host != "localhost":
        addresses = ((str(host), port),)
    elif meant:
        # Never the usual sockets: they are those of the server on the usual port.
        listens = [each if isinstance(each, str) else (str(each[0]), int(each[1])) for each in told.get("places") or ()]
        addresses = tuple(listens) or (("127.0.0.1", meant),)
    user = params.get("login_user") or known.get("user") or site.user or "root"
    key, tls = _key(params.get("server_public_key")), tls_of(params, str(host or ""))
    return Login(str(user), str(password), addresses, key, tls)


def client_options(text: str) -> dict[str, str]:
    """Return the [client] section of an option file."""
    parser = configparser.RawConfigParser(allow_no_value=True, strict=False, comment_prefixes=("#", ";"))
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("!")]
    try:
        parser.read_string("\n".join(lines))
    except configparser.Error as error:
        raise Failed(f"the option file cannot be read: {str(error).splitlines()[0]}") from None
    found = dict(parser["client"]) if parser.has_section("client") else {}
    return {name.replace("-", "_"): _unquoted(value or "") for name, value in found.items()}


def _of_this_machine(written: str) -> dict[str, str]:
    """Return user and password of an option file here; where it leads to (host, socket) is true for here alone."""
    try:
        path = expanded(written)
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8", errors="surrogateescape")
    except InputError as error:
        raise Failed(f"local_config_file: {error.message}") from None
    except OSError as error:
        raise Failed(f"local_config_file: {path} of this machine cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise Failed(f"local_config_file: others may read {path} of this machine: chmod 600 {path}")
    found = {name: value for name, value in client_options(text).items() if name in ("user", "password")}
    if not any(found.values()):
        raise Failed(f"local_config_file: {path} of this machine has neither user nor password in [client]")
    return found


def _key(written: object) -> bytes:
    """Return a server's RSA key from a file of this machine."""
    if not written:
        return b""
    try:
        key = expanded(str(written)).read_bytes()
    except InputError as error:
        raise Failed(f"server_public_key: {error.message}") from None
    except OSError as error:
        raise Failed(f"server_public_key: {written} of this machine cannot be read: {error.strerror}") from None
    if not key.lstrip().startswith(b"-----BEGIN PUBLIC KEY-----"):
        raise Failed(f"server_public_key: {written} of this machine is no RSA key: expected -----BEGIN PUBLIC KEY-----")
    return key


def is_mariadb(version: str) -> bool:
    """Say whether a server's version is MariaDB's."""
    return "mariadb" in version.lower()


def number_of(version: str) -> tuple[int, ...]:
    """Return a version's numbers: "8.0.36-debug" is (8, 0, 36)."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("-")[0])[:3])


def column(row: dict[str, Any], *names: str) -> Any:
    """Return the first of several columns that a row has: servers renamed them; None where it has none."""
    return next((row[name] for name in names if name in row), None)


def texts(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return SHOW WARNINGS as lines."""
    return [f"{row.get('Message')} ({row.get('Code')})" for row in rows]


def _unquoted(value: str) -> str:
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _words(error: Exception) -> str:
    return f"{error.args[1]} ({error.args[0]})" if len(error.args) > 1 else str(error)
