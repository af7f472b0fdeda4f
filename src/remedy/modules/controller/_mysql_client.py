"""PyMySQL as remedy lets it log in: a server that asks for the password itself gets none where others may listen.

Whoever answers in a server's place decides how the client proves who it is. A hash that is good once is no loss;
`mysql_clear_password` and MariaDB's `dialog` (PAM, LDAP) hand the password over as it is, and `mysql_old_password` as
good as that. Where the operator asks for TLS (`ca_cert`) the server has proved who it is before, and one that offers no
TLS is not spoken with. Else the first two are for a socket that only root or the server can have put where it is.
`caching_sha2_password` and `sha256_password` encrypt it for an RSA key that the server calls its own: within the host
that is taken on trust, elsewhere only the key that the operator names will do. At a socket the server takes the line
for safe, and `caching_sha2_password` wants the password itself there.

Imported where a session is opened: a run without databases need not pay for PyMySQL.
"""

from __future__ import annotations

import struct
from typing import Any, NoReturn

from pymysql import err
from pymysql.connections import Connection
from pymysql.constants import CLIENT
from pymysql.cursors import DictCursor

from remedy.modules.controller._answering import is_own, is_private
from remedy.modules.controller._mysql_tls import Context, Tls, advice, refuse_without

_CLEAR = ("mysql_clear_password", "dialog")
_WEAK = ("mysql_old_password",)
NONSENSE = (RuntimeError, AssertionError, IndexError, UnicodeError, struct.error)
"""What PyMySQL raises at an answer that no server gives; RuntimeError: it asks for a file of this machine."""

_NOT_LOADED = 2061  # CR_AUTH_PLUGIN_ERR: what MySQL's own client says of a plugin that it will not use


class Client(Connection):
    """A client on an open stream; `address` is where that leads to, as seen from the host; `key` the server's own.

    Raises Failed where the files that TLS needs cannot be used.
    """

    def __init__(self, address: str, key: bytes = b"", tls: Tls | None = None, **how: Any) -> None:
        self._address = address
        self._named, self._told = key, b""
        self._asked = tls
        self._plugin, self._by_tls = "", False
        context = None if tls is None else Context(tls, address)
        refused = _WEAK if is_private(address) or tls else (*_CLEAR, *_WEAK)
        super().__init__(
            auth_plugin_map={name: _refusal(name, address) for name in refused},
            defer_connect=True,
            local_infile=False,
            cursorclass=DictCursor,
            # Unasked the line is without: it is inside SSH up to the host, and a server that offers TLS would be taken
            # at its word.
            ssl_disabled=True,
            **how,
        )
        if context is not None:
            self.ssl = self._ssl_required = True
            self.client_flag |= CLIENT.SSL
            self.ctx = context

    @property
    def greeted(self) -> bool:
        """Whether the server has asked who comes, before it said anything else."""
        return bool(self._offered)

    def advice(self, number: int) -> str:
        """Return what may help where the server lets one not in with an error."""
        return advice(number, self._asked, self._offered)

    def _request_authentication(self) -> None:
        if self._asked is not None:
            refuse_without(self._offered)
        usual: Any = super()  # its stubs do not tell
        usual._request_authentication()

    def _process_auth(self, plugin_name: bytes, *rest: Any) -> Any:
        self._plugin = plugin_name.decode("ascii", "replace")
        usual: Any = super()  # how much it is given hangs on the version
        return usual._process_auth(plugin_name, *rest)

    @property
    def _clear_at_socket(self) -> bool:
        """Whether the server expects the password itself, if it remembers no hash, for it listens on a socket."""
        plugin = self._plugin or str(getattr(self, "_auth_plugin_name", ""))
        return plugin == "caching_sha2_password" and self._address.startswith("/")

    @property
    def _secure(self) -> bool:
        """Whether PyMySQL may hand the password over as it is."""
        return self._by_tls or (self._clear_at_socket and is_private(self._address))

    @_secure.setter
    def _secure(self, yes: bool) -> None:
        self._by_tls = yes

    @property
    def _offered(self) -> int:
        return int(getattr(self, "server_capabilities", 0))

    @property
    def server_public_key(self) -> bytes:
        """The RSA key for which the password is encrypted; raises OperationalError where none is to be trusted."""
        if self.password and self._clear_at_socket:
            raise err.OperationalError(_NOT_LOADED, _text("caching_sha2_password", self._address))
        if self._named or is_own(self._address) or not self.password:
            return self._named or self._told
        raise err.OperationalError(
            _NOT_LOADED,
            f"it asks for the password by an RSA key of its own, and who answers at {self._address}, which is not this "
            "host itself, is not proven; it was not sent. Give the server's key (server_public_key), name its own "
            "socket or 127.0.0.1 of its host, or log in by TLS (ca_cert)",
        )

    @server_public_key.setter
    def server_public_key(self, key: bytes | None) -> None:
        self._told = key or b""


def _refusal(plugin: str, address: str) -> type:
    def authenticate(self: Any, packet: object) -> NoReturn:
        raise err.OperationalError(_NOT_LOADED, _text(plugin, address))

    return type("Refusal", (), {"__init__": lambda self, connection: None, "authenticate": authenticate})


def _text(plugin: str, address: str) -> str:
    if plugin in _WEAK:
        return f"it asks for the password by {plugin}, which is as good as in clear; it was not sent"
    return (
        f"it asks for the password in clear ({plugin}), and who answers at {address} is not proven; it was not sent. "
        "Name the server's own socket (login_unix_socket), log in by TLS (ca_cert), or name an account that proves "
        "itself by a hash"
    )
