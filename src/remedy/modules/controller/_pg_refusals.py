"""Why PostgreSQL lets one not in, by the words of its error: before the login it has no SQLSTATE for the client."""

from __future__ import annotations

import re
from typing import NamedTuple

FULL = "53300"
REFUSED = ("28P01", "28000")
_LIMITED = (
    "its CONNECTION LIMIT is reached, and the server may have connections free: end sessions of it, raise the limit, "
    "or log in as a superuser, whom it does not bind"
)


class Refusal(NamedTuple):
    """What an error before the login means, and what to do.

    `taken` where the server is full: role or database (its limit), ordinary (the slots that any role may take), or all:
    those kept for superusers, too.
    """

    sqlstate: str | None = None
    hint: str = ""
    taken: str = ""


_KNOWN = (
    (r"server requested a cleartext password", "28000",
     "it asks for the password in clear, and who answers there is not proven; it was not sent. Name the server's own "
     "socket (login_unix_socket), or ssl_mode: verify-full with ca_cert"),
    (r"password authentication failed|no password supplied", "28P01",
     "set login_user and login_password, or ~/.pgpass"),
    (r"^(LDAP|PAM|RADIUS|BSD|SASL|GSSAPI|certificate) authentication failed|^auth failed|is not permitted to log in",
     "28000", "set login_user and login_password, or ~/.pgpass"),
    (r"Peer authentication failed", "28000",
     "the server asks who connects: add become: true, or set login_user and login_password"),
    (r"no pg_hba\.conf entry.*no encryption", "28000", "the server wants TLS: set ssl_mode: require"),
    (r"no pg_hba\.conf entry|pg_hba\.conf rejects|[Ii]dent authentication failed", "28000",
     "pg_hba.conf lets this role not in this way"),
    (r"too many connections for role", FULL, _LIMITED, "role"),
    (r"too many connections for database", FULL, _LIMITED, "database"),
    (r"remaining connection slots|reserved for", FULL,
     "no connection is free; what superuser_reserved_connections keeps is for a superuser (become: true and peer "
     "authentication)", "ordinary"),
    (r"too many clients|too many connections", FULL,
     "no connection is free, none of those that superuser_reserved_connections keeps either", "all"),
    (r"the database system is (starting up|shutting down|not yet accepting|not accepting|in recovery)", "57P03",
     "it does not take connections now: wait, and look into its log where it lasts"),
    (r"role .* does not exist", "28000", "login_user names the role"),
    (r"database .* does not exist", "3D000", "login_db names the database"),
    (r"certificate|SSL", "08006", "ssl_mode, ca_cert and login_host (the name that the certificate must have) decide"),
)  # fmt: skip


def refusal(text: str) -> Refusal:
    """Return what a server's words mean."""
    return next((Refusal(*told) for pattern, *told in _KNOWN if re.search(pattern, text)), Refusal())
