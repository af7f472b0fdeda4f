"""Sessions on Redis and Valkey through a tunnel: logging in, asking with a deadline, telling what was refused."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from remedy.agent.kinds import Failed, Param
from remedy.modules.controller._redis_stream import Stream, TlsStream
from remedy.modules.controller._redis_words import no_command, number_of, parsed, refusal
from remedy.modules.controller._site import NotLetIn, Site, not_known
from remedy.transport.reach import Address

SOCKETS: tuple[Address, ...] = (
    "/run/redis/redis-server.sock",
    "/run/redis/redis.sock",
    "/run/valkey/valkey-server.sock",
    "/run/valkey/valkey.sock",
)
SECONDS = 10.0
OLDEST = (5,)
_GREETING = 5.0  # seconds for the first answer: a server that is hung takes the connection and says nothing

LOGIN_PARAMS = (
    Param("login_user", help="The account (ACL, from Redis 6 on); else the default one."),
    Param("login_password", secret=True, help="Its password (requirepass); else the environment's REDISCLI_AUTH."),
    Param("login_host", help="The server's address as seen from the host; else 127.0.0.1, then the usual sockets."),
    Param("login_port", "int", default=6379, help="The server's port, or the one a container has published."),
    Param("login_unix_socket", "path", help="The server's socket on the host."),
    Param("tls", "bool", default=False, help="Talk TLS to the server."),
    Param("validate_certs", "bool", default=True, help="Check the server's certificate, and the name in it."),
    Param("ca_certs", "path", help="A file on this machine with the authorities to trust; else the system's."),
    Param("tls_name", help="The name that the certificate must bear; else login_host, else localhost."),
    Param("client_cert_file", "path", help="A certificate on this machine to log in with."),
    Param("client_key_file", "path", help="Its key."),
    Param("renamed_commands", "dict", help="What rename-command made of commands: {CONFIG: a-new-name}."),
)  # fmt: skip
LOGIN_VARIABLES = {
    **{
        name: f"redis_{name}"
        for name in ("login_user", "login_password", "login_host", "login_port", "login_unix_socket")
    },
    **{name: f"redis_{name}" for name in ("tls", "ca_certs", "tls_name", "renamed_commands")},
}

Words = Sequence[str | int]


@dataclass(frozen=True)
class Login:
    """How to reach a server and who to be there; `addresses` None: the usual places."""

    user: str = ""
    password: str = field(default="", repr=False)
    port: int = 6379
    addresses: tuple[Address, ...] | None = None
    tls: bool = False
    validate: bool = True
    ca: str | None = None
    name: str = "localhost"
    certificate: str | None = None
    key: str | None = None
    renamed: tuple[tuple[str, str], ...] = ()


class Asks(Protocol):
    """What can be asked: a session, or recorded answers."""

    version: str

    def ask(self, *words: str | int, seconds: float = SECONDS) -> Any:
        """Return the answer to a command; raises Failed with the server's own words."""
        ...


class Session:
    """One session of a server; `id` is its number there (0: not told), `server` the section of that name of INFO.

    `site` is the host of the step that asks: a session may be held from step to step.
    """

    def __init__(self, site: Site, login: Login) -> None:
        from remedy.modules.controller._redis_stream import connection  # redis-py, where it is used

        self.site = site
        self.login = login
        self.db = 0
        self._broken = False
        self._renamed = dict(login.renamed)
        with site.attempt(replace(login, renamed=())):
            self._line = _reach(site, login)
            self._stream: Stream = Stream(self._line)
            try:
                if login.tls:
                    self._stream = TlsStream(self._line, _context(login), login.name)
                self._client, self._refusals = connection(self._stream)
                self._greet(login)
            except BaseException:
                self._line.close()
                raise

    @property
    def alive(self) -> bool:
        """Say whether it can be asked, as far as is known here."""
        return not self._broken and not self._line.ended

    @property
    def _where(self) -> str:
        return f"Redis at {self._line.address} of {self.site.name}"

    @property
    def reached(self) -> str:
        """Return where it was reached, as seen from the host: HOST:PORT, or the path of a socket."""
        return str(self._line.address)

    @property
    def place(self) -> dict[str, Any]:
        """Return what tells the server from the others of its host: `port` (0: it takes no TCP) and `socket`, if any.

        The port is that by which it was reached: a container's own is another one.
        """
        if not self.reached.startswith("/"):
            return {"port": int(self.reached.rpartition(":")[2]), "socket": None}
        port = self.server.get("tcp_port", "0")
        return {"port": int(port) if port.isdigit() else 0, "socket": self.reached}

    @property
    def product(self) -> str:
        """Return who made the server: Redis, Valkey."""
        return "Valkey" if self.server.get("server_name") == "valkey" else "Redis"

    @property
    def version(self) -> str:
        """Return its own version: Valkey tells the one of Redis, too, that it is like."""
        return self.server.get("valkey_version") or self.server.get("redis_version", "")

    @property
    def called(self) -> str:
        """Return the server as people call it."""
        return f"{self.product} {self.version} at {self._line.address} of {self.site.name}"

    def ask(self, *words: str | int, seconds: float = SECONDS) -> Any:
        """Return the answer to a command, texts as str; raises Failed: cause timeout, else the server's own words."""
        answer = self.ask_all([words], seconds=seconds)[0]
        if isinstance(answer, Failed):
            raise answer
        return answer

    def ask_all(self, commands: Sequence[Words], *, seconds: float = SECONDS) -> list[Any]:
        """Send commands at once and return their answers in order; Failed where one was refused.

        Raises Failed where the server does not answer, or ends the conversation.
        """
        import redis

        answers: list[Any] = []
        self._stream.limit(seconds)
        try:
            self._client.send_packed_command(
                self._client.pack_commands([self._named(each) for each in commands])
            )
            for words in commands:
                try:
                    answers.append(self._client.read_response(disconnect_on_error=False))
                except self._refusals as error:
                    answers.append(self._refused(str(error), words))
        except (redis.RedisError, OSError, EOFError) as error:
            self._broken = True
            if answers and isinstance(answers[-1], Failed):
                raise answers[-1] from None  # it says why, and hangs up
            asked = _shown(commands[len(answers)])
            if isinstance(error, redis.TimeoutError | TimeoutError):
                raise Failed(
                    f"{self._where} gave no answer within {seconds:g} s; {not_known(asked)}",
                    cause="timeout",
                    redis_error="TIMEOUT",
                    address=self.reached,
                ) from None
            if isinstance(error, redis.InvalidResponse):
                raise Failed(
                    f"{self._where} does not speak as Redis does: is it another service, or does it want TLS "
                    "(redis_tls)?",
                    redis_error="TLS",
                ) from None
            self.site.cut(self._line, error, asked, redis_error="CLOSED")
        return answers

    def select(self, db: int) -> None:
        """Work in a database from now on."""
        if db != self.db:
            self.ask("SELECT", db)
            self.db = db

    def lacks(self, *names: str) -> list[str]:
        """Return the commands that the server does not know by the names they go by: renamed or disabled."""
        try:
            found = self.ask("COMMAND", "INFO", *(self._renamed.get(name, name) for name in names))
        except Failed as failed:
            if failed.result.get("redis_error") not in ("UNKNOWN", "NOPERM"):
                raise
            return []  # then each says so itself
        return [name for name, about in zip(names, found or (), strict=False) if not about]

    def need(self, *names: str) -> None:
        """Raise Failed where the server does not know one of these commands."""
        if lacking := self.lacks(*names):
            raise Failed(no_command(self.called, lacking), redis_error="UNKNOWN")

    def info(self, *sections: str) -> dict[str, str]:
        """Return INFO as one flat mapping."""
        if len(sections) > 1 and self.number < (7,):
            return {
                name: value for each in sections for name, value in parsed(self.ask("INFO", each)).items()
            }
        return parsed(self.ask("INFO", *sections))

    def config(self, *patterns: str) -> dict[str, str]:
        """Return CONFIG GET of names or patterns, {} where the server has no such command or lets nobody."""
        found: dict[str, str] = {}
        for answer in self.ask_all([("CONFIG", "GET", each) for each in patterns]):
            if isinstance(answer, Failed):
                if answer.result.get("redis_error") not in ("UNKNOWN", "NOPERM"):
                    raise answer
                return {}
            found.update(zip(answer[::2], answer[1::2], strict=True))
        return found

    @property
    def number(self) -> tuple[int, ...]:
        """Return the version of Redis that it is (like) as numbers."""
        return number_of(self.server.get("redis_version", "0"))

    def primary(self) -> None:
        """Raise Failed where a write would be pointless: on a replica."""
        told = self.info("replication")
        if told.get("role") != "master":
            where = f"{told.get('master_host')}:{told.get('master_port')}"
            raise Failed(
                f"{self.called} is a replica of {where}: what is written here comes from there; work on {where}",
                redis_error="READONLY",
            )

    def close(self) -> None:
        """Close it."""
        self._client.disconnect()
        self._line.close()

    def _greet(self, login: Login) -> None:
        opening: list[Words] = []
        if login.password or login.user:
            opening.append(("AUTH", *([login.user] if login.user else []), login.password))
        opening += [("CLIENT", "SETNAME", "remedy"), ("CLIENT", "ID"), ("INFO", "server")]
        answers = self.ask_all(opening, seconds=_GREETING)
        if len(opening) == 4 and isinstance(answers[0], Failed):
            self._not_let_in(answers[0], login)
        *_, number, server = answers
        if isinstance(server, Failed):
            raise server
        self.id = number if isinstance(number, int) else 0
        self.server = parsed(server)
        if self.number < OLDEST:
            raise Failed(
                f"{self.called} is older than Redis 5: remedy works with 5 and newer; nothing was changed",
                redis_error="OLD",
            )

    def _not_let_in(self, failed: Failed, login: Login) -> None:
        code = failed.result.get("redis_error")
        where = self._where
        if code == "NOPASSWORD":
            self.site.warn(f"{where} asks for no password, though one is given: it lets everybody in")
        elif code == "NOACL":
            raise Failed(f"{where} has no accounts: login_user needs Redis 6 or newer", redis_error=code)
        elif code == "WRONGPASS":
            raise NotLetIn(failed.message, wholly=True, redis_error=code)
        else:
            raise failed

    def _named(self, words: Words) -> list[str | int]:
        first, *rest = words
        return [self._renamed.get(str(first).upper(), first), *rest]

    def _refused(self, text: str, words: Words) -> Failed:
        failed = refusal(text, str(words[0]).upper(), self._where)
        failed.result["address"] = self.reached
        return failed


def session(site: Site, params: Mapping[str, Any]) -> Session:
    """Return the run's session on a server, in the database `login_db`; opened by the first step that needs it."""
    login = login_of(site, params)
    found = site.held(login, lambda: Session(site, login))
    found.site = site
    found.select(int(params.get("login_db") or 0))
    return found


def login_of(site: Site, params: Mapping[str, Any]) -> Login:
    """Return how to log in, from a task's parameters and the environment."""
    password = params.get("login_password") or os.environ.get("REDISCLI_AUTH") or ""
    site.hide(password)
    host, port = params.get("login_host"), int(params.get("login_port") or 6379)
    addresses: tuple[Address, ...] | None = None
    if params.get("login_unix_socket"):
        addresses = (str(params["login_unix_socket"]),)
    elif host:
        addresses = ((str(host), port),)
    renamed = {str(name).upper(): str(new) for name, new in (params.get("renamed_commands") or {}).items()}
    return Login(
        user=str(params.get("login_user") or ""),
        password=str(password),
        port=port,
        addresses=addresses,
        tls=bool(params.get("tls")),
        validate=bool(params.get("validate_certs", True)),
        ca=params.get("ca_certs"),
        name=str(params.get("tls_name") or host or "localhost"),
        certificate=params.get("client_cert_file"),
        key=params.get("client_key_file"),
        renamed=tuple(sorted(renamed.items())),
    )


def _shown(words: Words) -> str:
    """Return a command without its arguments' content: they may hold passwords and data."""
    return " ".join(str(word) for word in words[: 1 if str(words[0]).upper() == "AUTH" else 2])


def _reach(site: Site, login: Login) -> Any:
    """Return a line to the server; the port before the sockets, which as another user need a relay."""
    try:
        if login.addresses is not None:
            return site.reach(login.addresses)
        try:
            return site.reach([("127.0.0.1", login.port)])
        except Failed as failed:
            if login.port != 6379:
                raise
            try:
                return site.reach(SOCKETS)
            except Failed:
                raise failed from None
    except Failed as failed:
        raise Failed(failed.message, failed.cause, redis_error="NOSERVICE") from None


def _context(login: Login) -> Any:
    import ssl

    from remedy.modules.controller._tls import trusting

    try:
        context = trusting(login.ca, login.certificate, login.key)
    except Failed as failed:
        raise Failed(f"TLS to Redis cannot be prepared: {failed.message}", redis_error="TLS") from None
    if not login.validate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
