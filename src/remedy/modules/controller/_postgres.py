"""Sessions on PostgreSQL through a tunnel: logging in, asking with a deadline, the server's errors in one place."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from math import isfinite, isnan
from time import monotonic
from typing import Any

from remedy.agent.kinds import Failed, Param
from remedy.modules.controller import _pgpass
from remedy.modules.controller._answering import all_private
from remedy.modules.controller._kept_slot import admitted
from remedy.modules.controller._pg_refusals import FULL, REFUSED, refusal
from remedy.modules.controller._site import NotLetIn, Site, not_known, shortly
from remedy.transport.reach import Address
from remedy.transport.tunnel import TcpTunnel, Tunnel

HOST = "remedy.modules.target._postgres_host"
FOLDERS = ("/var/run/postgresql", "/tmp")
OLDEST = 110000
SECONDS = 10.0
APPLICATION = "remedy"
_CONNECT = 15.0
_GRACE = 5.0  # seconds past the server's own deadline, after which the connection is closed
_TLS = ("require", "verify-ca", "verify-full")
_PROVEN = ("verify-ca", "verify-full")
_REQUIRES_AUTH = 160000  # the libpq from which on a client may say how it will not log in

LOGIN_PARAMS = (
    Param("login_user", default="postgres", aliases=("login",), help="The role to log in as."),
    Param("login_password", secret=True, help="Its password; else that of ~/.pgpass, here or on the host. None: the "
          "server asks its socket who connects (peer)."),
    Param("login_host", help="The server's address as seen from the host; else its socket, with a password 127.0.0.1."),
    Param("login_port", "int", default=5432, aliases=("port",), help="The server's port; it names the socket, too."),
    Param("login_unix_socket", "path", help="The server's socket on the host, or its folder; else the usual places, "
          "then where the host's own server on that port has it."),
    Param("login_db", default="postgres", aliases=("db", "database"), help="The database."),
    Param("ssl_mode", default="prefer", choices=("disable", "allow", "prefer", *_TLS), help="require, verify-ca and "
          "verify-full log in by TLS; the others by the tunnel, whose way is SSH's, without."),
    Param("ca_cert", "path", aliases=("ssl_rootcert",), help="The certificates that are trusted, on this machine."),
    Param("ssl_cert", "path", help="A client certificate, on this machine."),
    Param("ssl_key", "path", help="Its key, on this machine."),
)  # fmt: skip
LOGIN_VARIABLES = {
    **{
        f"login_{name}": f"postgres_login_{name}"
        for name in ("user", "password", "host", "port", "unix_socket", "db")
    },
    **{name: f"postgres_{name}" for name in ("ssl_mode", "ca_cert", "ssl_cert", "ssl_key")},
}

# By SQLSTATE, or by the words of an error before login, which has none here.
_HINTS = {
    "25006": "a standby takes no changes: make them on the primary",
    "42501": "log in as a role that may (become: true and peer authentication make it postgres)",
    "55P03": "another session holds a lock on it: postgresql_activity tells which",
    FULL: "no connection is free",
}


@dataclass(frozen=True)
class Login:
    """How to reach a server and who to be there; `name` is what its certificate must say."""

    user: str
    password: str = field(default="", repr=False)
    database: str = "postgres"
    addresses: tuple[Address, ...] = ()
    tls: str | None = None
    name: str = ""
    files: tuple[tuple[str, str], ...] = ()


class Session:
    """One session of a server: `pid` and `started` tell it there; `version` is server_version_num.

    `site` is the host of the step that asks: a session may be held from step to step.
    """

    def __init__(self, site: Site, login: Login) -> None:
        import psycopg  # where it is used: a run without databases need not pay for it
        from psycopg.rows import dict_row

        self.site = site
        self._errors = psycopg
        self._expired = False
        self._limit = SECONDS
        self._status, self.count = "", 0
        allowed = _allowed(login, psycopg.pq.version())
        with site.attempt(replace(login, database=""), login.database):
            self._door, where = _door(site, login)
            # What libpq takes from the environment must not lead elsewhere: each is given, if only as nothing.
            given: dict[str, Any] = {"hostaddr": "", "options": "", "passfile": "/dev/null/none"}
            given |= {**where, **allowed, "password": login.password}
            try:
                self._client: Any = psycopg.connect(
                    user=login.user,
                    dbname=login.database,
                    application_name=APPLICATION,
                    client_encoding="utf8",  # else a database of SQL_ASCII answers bytes, which equal no text
                    connect_timeout=int(_CONNECT),
                    autocommit=True,
                    row_factory=dict_row,
                    gssencmode="disable",
                    target_session_attrs="any",
                    **given,
                )
            except psycopg.Error as error:
                raise self._refused(error, login) from None
        self._client.prepare_threshold = None  # a pooler in between has no memory for prepared statements
        self._path = str(self.rows("SHOW search_path")[0]["search_path"])
        self.trust_names(False)
        said = self.rows(
            f"SELECT set_config('statement_timeout', '{int(SECONDS * 1000)}', false), pg_backend_pid() AS pid, "
            "current_setting('server_version_num')::int AS version, version() AS words, "
            "current_setting('is_superuser') = 'on' AS superuser, pg_is_in_recovery() AS standby, "
            "(SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS started"
        )[0]
        self.pid, self.version = int(said["pid"]), int(said["version"])
        self.words, self.started = str(said["words"]), said["started"]
        self.superuser, self.standby = bool(said["superuser"]), bool(said["standby"])
        if self.version < OLDEST:
            self.close()
            raise Failed(f"{site.name} runs {self.words.split(' on ')[0]}: remedy works with PostgreSQL 11 and newer; "
                "nothing was changed")

    @property
    def alive(self) -> bool:
        """Say whether it can be asked, as far as is known here."""
        return not (self._client.closed or self._expired or self._door.line is None or self._door.line.ended)

    @property
    def reached(self) -> str:
        """Return where it was reached, as seen from the host: HOST:PORT, or the path of a socket."""
        return str(self._door.line.address) if self._door.line is not None else ""

    def ask_host(self, site: Site | None = None) -> dict[str, Any]:
        """Return what the host knows of the server: memory, limits, disk, unit; why it is none of the host's own."""
        found: dict[str, Any] = (site or self.site).ask(HOST, data=self.data_folder(), reached=self.reached or None)
        return found

    @property
    def major(self) -> int:
        """Return the major version, such as 15."""
        return self.version // 10000

    @property
    def status(self) -> str:
        """Return what the server called the last statement: UPDATE 3."""
        return self._status

    def rows(
        self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None, *, seconds: float = SECONDS
    ) -> list[dict[str, Any]]:
        """Return the rows of a statement; raises Failed: cause timeout after `seconds`, else the server's own words.

        Without `params` a percent sign is one. The server ends what takes too long; one that does not answer at all
        is left a little later.
        """
        self._status = ""
        began = monotonic()
        watch = threading.Timer(seconds + _GRACE, self._expire)
        watch.daemon = True
        watch.start()
        try:
            if seconds != self._limit:
                self._client.execute(f"SET statement_timeout = {int(seconds * 1000)}")
                self._limit = seconds
            cursor = self._client.execute(sql, params)
            self._status = str(cursor.statusmessage or "")
            self.count = int(cursor.rowcount)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []
        except self._errors.Error as error:
            raise self._failed(error, sql, seconds, monotonic() - began) from None
        finally:
            watch.cancel()

    def trust_names(self, yes: bool) -> None:
        """Let names mean what the database's search_path says, or first what the server itself calls so.

        The owner of a database sets its search_path, and could put functions before the server's own: this session
        may be a superuser's.
        """
        path = self._path if yes else f"pg_catalog, {self._path}".rstrip(", ")
        self.rows("SELECT pg_catalog.set_config('search_path', %s, false)", [path])

    def data_folder(self) -> str | None:
        """Return where its data is, None where this role may not see it."""
        rows = self.rows("SELECT setting FROM pg_settings WHERE name = 'data_directory'")
        return str(rows[0]["setting"]) if rows else None

    def close(self) -> None:
        """Close it."""
        with suppress(Exception):
            self._client.close()
        self._door.close()

    def _expire(self) -> None:
        self._expired = True
        self._door.close()

    def _failed(self, error: Any, sql: str, seconds: float, took: float) -> Failed:
        state = error.sqlstate
        if self._expired:
            return Failed(
                f"the server gave no answer within {seconds:.3g} s, and was left; {not_known(sql)}",
                cause="timeout",
            )
        if state == "57014" and took >= seconds * 0.9:
            return Failed(
                f"the server ended the statement after {seconds:.3g} s: {shortly(sql)}", "timeout", sqlstate=state
            )
        if self._client.closed or not self.alive:
            if self._door.line is not None and not self._door.line.connection.alive:
                self.site.cut(self._door.line, error)
            return Failed(
                f"{self.site.name}: the server ended the session: {words(error)}; {not_known(sql)}",
                sqlstate=state,
            )
        causes = {"53100": "disk_full", "42501": "permission"}
        hint = _HINTS.get(state or "")
        return Failed(words(error) + (f"; {hint}" if hint else ""), causes.get(state or ""), sqlstate=state)

    def _refused(self, error: Exception, login: Login) -> BaseException:
        failed, line = self._door.failed, self._door.line
        self._door.close()
        if failed is not None:
            return failed
        if line is not None and not line.connection.alive:
            self.site.cut(line, error)
        said = str(error).rpartition("failed: ")[2].strip().splitlines()
        said = [said_line.removeprefix("FATAL:").strip() for said_line in said if said_line.strip()] or ["no reason"]
        text = said[0]
        why = refusal(text)
        place = f"{login.user} at {line.address if line is not None else _shown(login)} of {self.site.name}"
        message = f"PostgreSQL lets {place} not in: {text}{'; ' if why.hint else ''}{why.hint}"
        told: dict[str, Any] = {"sqlstate": why.sqlstate, "address": str(line.address) if line is not None else None}
        if why.taken:
            told["taken"] = why.taken
        if why.sqlstate in REFUSED:
            return NotLetIn(message, wholly=why.sqlstate == "28P01", **told)
        return Failed(message, **told)


def session(site: Site, login: Login) -> Session:
    """Return the run's session on a server: opened by the first step that needs it, and kept to the run's end."""
    found = site.held(login, lambda: admitted(lambda: reaching(site, login), _full))
    found.site = site
    return found


def reaching(site: Site, login: Login) -> Session:
    """Log in at the usual places; where nobody answers, at the socket of the host's own server on that port."""
    try:
        return Session(site, login)
    except Failed as failed:
        usual = len(login.addresses) > 1  # no place was named
        own = _sockets(site, login) if usual and "no service answers" in failed.message else ()
        if not own:
            raise
    return Session(site, replace(login, addresses=own))


def _sockets(site: Site, login: Login) -> tuple[Address, ...]:
    """Return the sockets of the host's own servers on the port of a login."""
    ports = [each[1] for each in login.addresses if not isinstance(each, str)]
    with suppress(Failed):
        servers = site.ask("postgresql_servers", log_lines=0)["servers"]
        here = [each for each in servers if not each["container"] and each["port"] in ports]
        folders = [str(each["sockets"]) for each in here if str(each["sockets"]).startswith("/")]
        return tuple(f"{folder.rstrip('/')}/.s.PGSQL.{ports[0]}" for folder in folders)
    return ()


def _full(failed: Failed) -> bool:
    return bool(failed.result.get("sqlstate") == FULL)


def login_of(site: Site, params: Mapping[str, Any]) -> Login:
    """Return how to log in: the task's parameters, then .pgpass of this machine and of the host, then the socket."""
    user, database = str(params["login_user"]), str(params["login_db"])
    host, port = params.get("login_host"), int(params["login_port"])
    socket = params.get("login_unix_socket")
    tls = params["ssl_mode"] if params["ssl_mode"] in _TLS else None
    password = params.get("login_password") or ""
    peer = not host and not tls and site.user in ("root", user)
    if not password and not peer:
        password = _pgpass.find(site, str(host or "localhost"), port, database, user)
    site.hide(password)
    addresses: tuple[Address, ...]
    if socket:
        path = str(socket)
        addresses = (path if ".s.PGSQL." in path else f"{path.rstrip('/')}/.s.PGSQL.{port}",)
    elif host or tls:
        addresses = ((str(host or "127.0.0.1"), port),)
    else:
        sockets: tuple[Address, ...] = tuple(f"{folder}/.s.PGSQL.{port}" for folder in FOLDERS)
        by_tcp: tuple[Address, ...] = (("127.0.0.1", port),)
        addresses = by_tcp + sockets if password else sockets + by_tcp
    if tls and socket:
        raise Failed(f"ssl_mode {tls} and login_unix_socket exclude each other: PostgreSQL has no TLS on sockets")
    local = host in (None, "", "localhost", "127.0.0.1", "::1")
    files = {"sslrootcert": "ca_cert", "sslcert": "ssl_cert", "sslkey": "ssl_key"}
    given = tuple((name, str(params[param])) for name, param in files.items() if params.get(param))
    return Login(
        user, str(password), database, addresses, tls, site.address if local else str(host), given if tls else ()
    )


def opened(site: Site, params: Mapping[str, Any]) -> Session:
    """Return the run's session for a task's parameters."""
    return session(site, login_of(site, params))


def words(error: Any) -> str:
    """Return what the server said, with detail and SQLSTATE."""
    diagnosis = getattr(error, "diag", None)
    parts = [getattr(diagnosis, name, None) for name in ("message_primary", "message_detail", "message_hint")]
    text = "; ".join(part for part in parts if part) or str(error).strip()
    return f"{text} ({error.sqlstate})" if getattr(error, "sqlstate", None) else text


def plain(value: Any) -> Any:
    """Return a value of a row as plain data: times as ISO 8601, intervals as seconds, the rest as text.

    A number that JSON has no word for is the text that PostgreSQL has: NaN, Infinity, -Infinity.
    """
    if isinstance(value, float | Decimal) and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value.hex() if isinstance(value, bytes | memoryview) else str(value)


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as an SQL string, whatever standard_conforming_strings is."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f" E'{escaped}'" if "\\" in text else f"'{escaped}'"


def _door(site: Site, login: Login) -> tuple[Tunnel | TcpTunnel, dict[str, Any]]:
    if login.tls is None:
        # Whoever may become root comes as the role's own user: that is whom the server asks its socket for.
        tunnel = site.tunnel(login.addresses, ".s.PGSQL.5432", root_as=(login.user, "postgres"))
        return tunnel, {"host": str(tunnel.folder), "port": 5432, "sslmode": "disable"}
    ((host, port),) = [address for address in login.addresses if not isinstance(address, str)]
    door = site.port(host, port)
    where = {"host": login.name, "hostaddr": "127.0.0.1", "port": door.port, "sslmode": login.tls}
    return door, {**where, **dict(login.files)}


def _allowed(login: Login, libpq: int) -> dict[str, str]:
    """Return how libpq may log in: a password in clear is for whom it is known, for others a hash that is good once."""
    if libpq >= _REQUIRES_AUTH:
        # An empty list would allow nothing: "!sspi", which is Windows' own, allows all.
        return {"require_auth": "!sspi" if _proven(login) else "!password"}
    if login.password and not _proven(login):
        raise Failed(
            f"libpq {libpq // 10000} of this machine would send the password in clear to whoever asks for it: remedy "
            "needs that of PostgreSQL 16, which pip install 'psycopg[binary]' brings"
        )
    return {}


def _proven(login: Login) -> bool:
    """Say whether it is known who answers: by a verified certificate, or by a socket that nobody else makes."""
    if login.tls is not None:
        return login.tls in _PROVEN or any(name == "sslrootcert" for name, _ in login.files)
    return all_private(login.addresses)


def _shown(login: Login) -> str:
    first = login.addresses[0]
    return first if isinstance(first, str) else f"{first[0]}:{first[1]}"
