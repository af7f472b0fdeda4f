"""Prove that a new connection to PostgreSQL succeeds, as an application's would.

With `app_user` it is the application's own login, at `app_host` (as seen from the host), and one statement. Without it
another session of the role that remedy uses is opened, and the server must have a slot left that any role may take,
beside those kept for superusers. Fails where none is to be had. A login that the server has refused in this run is not
tried again. Returns `proved` (in words), `free_for_all` (slots) and `seconds`.
"""

from __future__ import annotations

import time
from typing import Any

from remedy.agent.kinds import Failed, Param, Probe
from remedy.modules.controller._postgres import LOGIN_PARAMS, LOGIN_VARIABLES, login_of, reaching
from remedy.modules.controller.postgresql_info import connections

PARAMS = (
    Param("app_user", help="The application's role. Else the variable postgres_app_user."),
    Param("app_password", secret=True, help="Its password. Else the variable postgres_app_password, else .pgpass."),
    Param("app_db", help="Its database. Else the variable postgres_app_db, else one of the role's name."),
    Param("app_host", help="Where it logs in, as seen from the host. Else the variable postgres_app_host, else as "
          "login_host."),
    Param("app_port", "int", help="The port there (a pool's, too); else login_port."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = {
    **{f"app_{name}": f"postgres_app_{name}" for name in ("user", "password", "db", "host", "port")},
    **LOGIN_VARIABLES,
}
EXAMPLES = """
- postgresql_connect: {app_user: shop, app_password: "{{ shop_password }}", app_db: shop}
"""


def kind(params: dict[str, Any]) -> type[Probe]:
    return Connect


class Connect(Probe):
    """Logs in once more."""

    def read(self) -> dict[str, Any]:
        """Return what was proved; raises Failed where a client would be refused."""
        began = time.monotonic()
        user = self.params["app_user"]
        told = self._as_application(str(user)) if user else self._as_anybody()
        return {**told, "seconds": round(time.monotonic() - began, 3)}

    def _as_application(self, user: str) -> dict[str, Any]:
        given = {
            "login_user": user,
            "login_password": self.params["app_password"],
            "login_db": self.params["app_db"] or user,
            "login_host": self.params["app_host"] or self.params["login_host"],
            "login_port": self.params["app_port"] or self.params["login_port"],
        }
        if self.params["app_host"]:
            given["login_unix_socket"] = None
        session = reaching(self.host, login_of(self.host, {**self.params, **given}))
        try:
            session.rows("SELECT 1 AS one")
        finally:
            session.close()
        return {"proved": f"the application's role {user} logged in, and was answered", "free_for_all": None}

    def _as_anybody(self) -> dict[str, Any]:
        login = login_of(self.host, self.params)
        session = reaching(self.host, login)
        try:
            found = connections(session)
        finally:
            session.close()
        if found["free_for_all"] < 1:
            raise Failed(
                f"{login.user} gets in, an ordinary role does not: {found['used']} of {found['max']} connections are "
                f"used, and {found['superuser_reserved'] + found['reserved']} are kept for superusers",
                connections=found,
            )
        return {
            "proved": f"{login.user} logged in, and {found['free_for_all']} more connections are free for any role",
            "free_for_all": found["free_for_all"],
        }
