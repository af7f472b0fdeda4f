"""Prove that a new connection to MySQL or MariaDB succeeds, as an application's would.

With `app_user` it is the application's own login, at the server's address (`app_host`, `app_port`: as seen from the
host) or its socket, and one statement. Without it another session of the account that remedy uses is opened, and the
server must say that it has taken an ordinary slot, not the one kept for administrators. Fails where none is to be
had. A login that the server has refused in this run is not tried again. Returns `proved` (in words), `ordinary` and
`seconds`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from remedy.agent.kinds import Failed, Param, Probe
from remedy.modules.controller._doors import FULL, is_full, opened, usual
from remedy.modules.controller._mysql import LOGIN_PARAMS, LOGIN_VARIABLES, login_of

PARAMS = (
    Param("app_user", help="The application's account. Else the variable mysql_app_user."),
    Param("app_password", secret=True, help="Its password. Else the variable mysql_app_password."),
    Param("app_host", help="Where it logs in, as seen from the host. Else the variable mysql_app_host, else as "
          "login_host says."),
    Param("app_port", "int", default=3306, help="The port there."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = {
    "app_user": "mysql_app_user",
    "app_password": "mysql_app_password",
    "app_host": "mysql_app_host",
    **LOGIN_VARIABLES,
}
EXAMPLES = """
- mysql_connect: {app_user: shop, app_password: "{{ shop_password }}"}
"""


def kind(params: dict[str, Any]) -> type[Probe]:
    return Connect


class Connect(Probe):
    """Logs in once more."""

    def read(self) -> dict[str, Any]:
        """Return what was proved; raises Failed where a client would be refused."""
        began = time.monotonic()
        user = self.params["app_user"]
        proved = self._as_application(str(user)) if user else self._as_anybody()
        return {"proved": proved, "ordinary": True, "seconds": round(time.monotonic() - began, 3)}

    def _as_application(self, user: str) -> str:
        self.host.hide(self.params["app_password"] or "")
        known = login_of(self.host, {**self.params, "login_user": user, "config_file": None,
                                     "local_config_file": None,
                                     "login_password": self.params["app_password"]})  # fmt: skip
        login = replace(known, user=user, password=str(self.params["app_password"] or ""))
        if self.params["app_host"]:
            name = str(self.params["app_host"])
            tls = replace(login.tls, name=name) if login.tls else None
            login = replace(login, addresses=((name, int(self.params["app_port"])),), tls=tls)
        session = usual(self.host, login)
        try:
            session.rows("SELECT 1")
            return f"the application's account {user} logged in, and was answered"
        finally:
            session.close()

    def _as_anybody(self) -> str:
        opened(self.host, self.params, looks=True)
        login = login_of(self.host, self.params)
        try:
            session = usual(self.host, login)
        except Failed as failed:
            if is_full(failed):
                raise Failed(f"no connection is free: {failed.message}", mysql_error=FULL) from None
            raise
        try:
            used = int(session.rows("SHOW GLOBAL STATUS LIKE 'Threads_connected'")[0]["Value"])
            allowed = int(session.rows("SELECT @@max_connections AS allowed")[0]["allowed"])
            if used > allowed:
                raise Failed(
                    f"the next connection was the one kept for administrators: {used} are open, {allowed} allowed; "
                    "an application would be refused",
                    mysql_error=FULL,
                )
            return f"another session of {login.user} took an ordinary slot: {used} of {allowed} are taken with it"
        finally:
            session.close()
