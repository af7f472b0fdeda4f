"""TLS to MySQL and MariaDB where it is asked for: in the middle of their greeting, and nothing secret before it."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remedy.agent.kinds import Failed, Param
from remedy.errors import InputError
from remedy.home import expanded
from remedy.modules.controller._answering import is_private

TLS_PARAMS = (
    Param("ca_cert", "path", aliases=("ssl_ca",), help="Log in by TLS alone, to a server whose certificate one of "
          "these authorities has signed: a file of this machine. None: the line, whose way to the host is SSH's, "
          "without TLS."),
    Param("check_hostname", "bool", default=True, help="With ca_cert: the certificate must name login_host; a socket "
          "that the server alone can have made needs no name."),
    Param("client_cert", "path", aliases=("ssl_cert",), help="With ca_cert: a certificate of this machine to log in "
          "with."),
    Param("client_key", "path", aliases=("ssl_key",), help="Its key, without a passphrase; else the same file has it."),
)  # fmt: skip

NO_TLS = 2026  # CR_SSL_CONNECTION_ERROR: what MySQL's own client says
_UNSENT = "the password was not sent"
_SHAKEN = 10.0  # seconds for the whole handshake; PyMySQL sets no end for what it writes, and so none here
_WHY = {
    9: "not valid yet: do the clocks of this machine and of who made it agree?",
    10: "it must be renewed on the server",
    62: "login_host is the name that it must bear; check_hostname: false takes any that ca_cert's authority has signed",
    64: "login_host is what it must bear; check_hostname: false takes any that ca_cert's authority has signed",
}  # X509_V_ERR_*


@dataclass(frozen=True)
class Tls:
    """What a server must prove: files of this machine, and the `name` that its certificate must bear."""

    ca: str
    name: str = ""
    check: bool = True
    certificate: str | None = None
    key: str | None = None


def tls_of(params: Mapping[str, Any], name: str) -> Tls | None:
    """Return the TLS that a task asks for, None where it asks for none; `name`: the server's, as the operator says."""
    files: dict[str, str] = {}
    for param in ("ca_cert", "client_cert", "client_key"):
        if params.get(param):
            try:
                files[param] = str(expanded(str(params[param])))
            except InputError as error:
                raise Failed(f"{param}: {error.message}") from None
    if "client_key" in files and "client_cert" not in files:
        raise Failed("client_key is the key of a certificate: expected client_cert, too")
    if "ca_cert" not in files:
        if files:
            raise Failed("client_cert is for TLS: expected ca_cert, too, which names who has signed the server's")
        return None
    check = params.get("check_hostname") is not False
    return Tls(files["ca_cert"], name, check, files.get("client_cert"), files.get("client_key"))


class Context:
    """What PyMySQL takes for an SSLContext: it wraps a line in TLS."""

    def __init__(self, tls: Tls, address: str) -> None:
        import ssl

        from remedy.modules.controller._tls import trusting

        if tls.check and not tls.name and not is_private(address):
            raise Failed(
                f"who answers at {address} must prove its name by TLS, and login_host names none: set it to a name "
                "that the server's certificate bears, or check_hostname: false"
            )
        if not _may_be_named(tls.name):
            raise Failed(f"login_host '{tls.name}' is no name of a server")
        self._name = tls.name
        self._context = trusting(tls.ca, tls.certificate, tls.key)
        # The certificates that servers make for themselves lack what Python 3.13 wants beyond RFC 5280's must.
        self._context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self._context.check_hostname = tls.check and bool(tls.name)

    def wrap_socket(self, line: Any, server_hostname: object = None) -> Secured:
        """Return the line with TLS inside; raises PyMySQL's OperationalError where the server proves too little."""
        import ssl

        from pymysql import err

        try:
            return Secured(line, self._context, self._name)
        except ssl.SSLCertVerificationError as error:
            why = _WHY.get(error.verify_code, "ca_cert names who must have signed it")
            text = f"its certificate is not good: {error.verify_message.rstrip('.')}; {why}; {_UNSENT}"
        except ssl.SSLError as error:
            text = f"TLS with it fails: {error.reason or error}; {_UNSENT}"
        raise err.OperationalError(NO_TLS, text)


def _may_be_named(name: str) -> bool:
    """Say whether TLS can be begun with a server of this name."""
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return "\0" not in name


class Secured:
    """A line with TLS inside, in the shape that PyMySQL takes for a socket."""

    def __init__(self, line: Any, context: Any, name: str) -> None:
        from remedy.modules.controller._tls import MemoryTls

        self._line = line
        self._until: float | None = time.monotonic() + _SHAKEN
        self._tls = MemoryTls(context, name or None, self._receive, line.sendall)
        self._tls.handshake()
        self._until = None

    def _receive(self, count: int) -> bytes:
        from remedy.transport.line import received_by

        return bytes(self._line.recv(count) if self._until is None else received_by(self._line, count, self._until))

    def settimeout(self, seconds: float | None) -> None:
        """Set the seconds after which a read that gets nothing raises TimeoutError."""
        self._line.settimeout(seconds)

    def sendall(self, data: bytes) -> None:
        """Encrypt and write all of it."""
        self._tls.write(data)

    def makefile(self, mode: str = "rb") -> io.BufferedReader:
        """Return a buffered reader of what comes, decrypted."""
        from remedy.transport.line import reader

        return reader(self._tls.read)

    def close(self) -> None:
        """Close the line."""
        self._line.close()


def refuse_without(capabilities: int) -> None:
    """Raise PyMySQL's OperationalError for a server that does not offer TLS: it would be spoken with in clear."""
    from pymysql import err
    from pymysql.constants import CLIENT

    if not capabilities & CLIENT.SSL:
        raise err.OperationalError(
            NO_TLS,
            f"it offers no TLS, which ca_cert asks for; {_UNSENT}. Give the server a certificate (ssl_cert and ssl_key "
            "in its option file), or leave ca_cert out",
        )


def advice(number: int, tls: Tls | None, capabilities: int) -> str:
    """Return what of TLS may help where a server lets one not in: its errors do not say that it was missing."""
    from pymysql.constants import CLIENT

    if number == 3159:
        return "; set ca_cert"
    if number == 2013 and tls is not None and tls.certificate is not None:
        return "; does the server trust who has signed client_cert?"
    if number != 1045:
        return ""
    if tls is None:
        return "; it offers TLS: where that is required, set ca_cert" if capabilities & CLIENT.SSL else ""
    return "; an account that requires a certificate needs client_cert" if tls.certificate is None else ""
