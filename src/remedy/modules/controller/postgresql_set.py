"""Set a parameter of a PostgreSQL server, so that it survives a restart.

By ALTER SYSTEM, which writes postgresql.auto.conf, and a reload. What needs a restart waits for it:
`restart_required` says so, and the restart is a task of yours. Nothing is done where the server would have the value
anyhow, also from another file. `reset: true` takes it out of postgresql.auto.conf again.

Refused, with the arithmetic: max_connections for which memory, processes or open files do not suffice. A standby must
not have less than its primary (max_connections, max_worker_processes, max_wal_senders, max_prepared_transactions,
max_locks_per_transaction): so on a standby less than the primary has is refused, and on a primary more than one of its
`standbys` runs with; where standbys follow that are not named, it is refused, too (`standbys: []`: none counts).

Undo brings back what postgresql.auto.conf had. Returns `name`, `context`, `value` (from the next start on), `prev_val`,
`running`, `unit`, `restart_required`, and for max_connections `capacity`. For what takes a restart also `service`: the
unit of the server's own process, found by where it was reached; None, and why (`elsewhere`), where that is none of the
host's own: in a container, on another host.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from remedy.agent.kinds import REQUIRED, Failed, Param, Resource
from remedy.modules.controller._pg_settings import AS_PRIMARY, LISTS, Capacity, canonical, capacity
from remedy.modules.controller._postgres import (
    LOGIN_PARAMS,
    LOGIN_VARIABLES,
    Login,
    Session,
    literal,
    login_of,
    session,
)
from remedy.modules.controller._site import Site

_RELOAD = 10.0  # seconds for a server to have read its files
_LOOK = 0.05

PARAMS = (
    Param("name", default=REQUIRED, help="The parameter."),
    Param("value", "raw", help="Its value; numbers may have a unit, such as 64MB."),
    Param("reset", "bool", default=False, help="Take it out of postgresql.auto.conf."),
    Param("memory_share", "percent", default=80, help="So much of the host's memory the server may have."),
    Param("service", help="The server's unit, where it is not to be seen. Else the variable postgres_unit."),
    Param("standbys", "list", elements="str", help="Hosts of the inventory that follow this server. Else the variable "
          "postgres_standbys."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = {"service": "postgres_unit", "standbys": "postgres_standbys", **LOGIN_VARIABLES}
EXAMPLES = """
- postgresql_set: {name: idle_in_transaction_session_timeout, value: 10min}
- postgresql_set: {name: max_connections, value: 200}
  register: set
- service: {name: postgresql@15-main, state: restarted}
  when: set.restart_required
- postgresql_set: {name: work_mem, reset: true}
"""


def check_params(params: dict[str, Any]) -> str | None:
    if (params["value"] is None) is not bool(params["reset"]):
        return "give value, or reset: true"
    if isinstance(params["value"], dict) or (isinstance(params["value"], list) and params["name"] not in LISTS):
        return "value must be a text, a number, or true or false"
    return None


def kind(params: dict[str, Any]) -> type[Resource]:
    return Setting


class Setting(Resource):
    """The state: `file` (in postgresql.auto.conf), `next` (from the next start on), `running`; None: not there.

    `running` is left out where the server would not change it: it needs a restart, or a role's own setting wins.
    """

    deadline = 120
    _about: dict[str, Any] | None = None

    @property
    def server(self) -> Session:
        """The run's session, opened anew where it was lost."""
        return session(self.host, self._login)

    @property
    def _login(self) -> Any:
        self._known = getattr(self, "_known", None) or login_of(self.host, self.params)
        return self._known

    def key(self) -> str:
        """Return the parameter, and whose it is."""
        return f"postgresql:{self.params['login_port']}:{self.params['name']}"

    def read(self) -> dict[str, Any]:
        """Return the state."""
        about = self._look()
        state = {"file": about["file"], "next": about["next"]}
        if about["live"]:
            state["running"] = about["running"]
        return state

    def wanted(self, have: dict[str, Any]) -> dict[str, Any]:
        """Return the state that should be; raises Failed where it must not be."""
        about = self._about or self._look()
        if self.params["reset"]:
            if have["file"] is None:
                return have
            then, file = about["below"], None
        else:
            then = self._canonical(self.params["value"])
            file = then
            if have["next"] == then and have.get("running", then) == then:
                return have
        self._guard(then)
        want = {"file": file, "next": then}
        if "running" in have:
            want["running"] = then
        return want

    def write(self, have: dict[str, Any], want: dict[str, Any]) -> None:
        """Write it, and let the server read it."""
        name = self.params["name"]
        if want["file"] is None:
            self.server.rows(f"ALTER SYSTEM RESET {name}")
        else:
            value = self.params["value"] if not self._undoing else want["file"]
            self.server.rows(f"ALTER SYSTEM SET {name} = {_sql(name, value)}")
        self.server.rows("SELECT pg_reload_conf()")
        until = time.monotonic() + _RELOAD
        while self.read() != want and time.monotonic() < until:
            time.sleep(_LOOK)

    _undoing = False

    def undo(self, kept: dict[str, Any]) -> None:
        """Bring back what postgresql.auto.conf had; where it had nothing the server reads its other files."""
        self._undoing = True
        self._guard(str(kept["state"]["next"]))
        self.write(self.read(), kept["state"])

    def diff(self, have: dict[str, Any], want: dict[str, Any]) -> dict[str, Any]:
        """Return what a reader wants to see."""
        name = self.params["name"]
        before, after = (f"{name} = {state['next']}\n" for state in (have, want))
        return {"before": before, "after": after, "before_header": "server", "after_header": "server"}

    def why(self, have: dict[str, Any]) -> str:
        """Return why nothing is to be done."""
        if self.params["reset"]:
            return "postgresql.auto.conf does not name it"
        waiting = (self._about or {}).get("pending_restart")
        return f"already {have['next']}{', from the next restart on' if waiting else ''}"

    def returns(self, have: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
        """Return what the task returns."""
        about = self._about or {}
        told = {
            "name": self.params["name"],
            "context": about["context"],
            "unit": about["unit"],
            "value": now["next"],
            "prev_val": have["next"],
            "running": about["running"],
            "restart_required": about["context"] == "postmaster" and now["next"] != about["running"],
        }
        if about["context"] == "postmaster":
            at = self._told or self.server.ask_host(self.host)
            own = at.get("pid") is not None and not at["elsewhere"]
            # Its process's own goes first: the variable may be another server's, or that of who has delegated the task.
            told["service"] = (at["unit"] or self.params["service"]) if own else None
            told["elsewhere"] = at["elsewhere"]
        return {**told, "capacity": self._capacity.told()} if self._capacity is not None else told

    _capacity: Capacity | None = None
    _told: dict[str, Any] | None = None

    def _look(self) -> dict[str, Any]:
        """Return everything that is known of the parameter."""
        name = str(self.params["name"])
        server = self.server
        rows = server.rows(
            "SELECT name, vartype, unit, context, source, enumvals, min_val, max_val, boot_val, reset_val AS running, "
            "pending_restart, EXISTS (SELECT FROM pg_db_role_setting, unnest(setconfig) AS one WHERE one LIKE %s "
            "AND setrole IN (0, current_user::regrole) AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE "
            "datname = current_database()))) AS overridden FROM pg_settings WHERE name = %s",
            [f"{name}=%", name],
        )
        if not rows:
            raise Failed(f"PostgreSQL {server.major} has no setting '{name}' (or an extension's, which is not loaded)")
        about = rows[0]
        if about["context"] == "internal":
            raise Failed(f"{name} cannot be set: it is what the server was built or initialised with")
        if about["source"] == "command line":
            raise Failed(f"{name} comes from the server's command line, which wins: change it where it is started")
        files = server.rows(
            "SELECT setting, sourcefile LIKE '%%/postgresql.auto.conf' AS own FROM pg_file_settings WHERE name = %s "
            "ORDER BY seqno",
            [name],
        )
        about["file"] = next((self._canonical_of(row, about) for row in reversed(files) if row["own"]), None)
        below = [self._canonical_of(row, about) for row in files if not row["own"]]
        about["below"] = below[-1] if below else self._canonical_of({"setting": about["boot_val"]}, about)
        about["next"] = about["file"] if about["file"] is not None else about["below"]
        if about["source"] == "override" and about["file"] is None and not below:
            about["next"] = about["running"]  # the server has worked it out by itself, as wal_buffers
        at_start = ("postmaster", "backend", "superuser-backend")
        about["live"] = about["context"] not in at_start and not about["overridden"]
        self._about = about
        return about

    @staticmethod
    def _canonical_of(row: dict[str, Any], about: dict[str, Any]) -> str:
        try:
            return canonical(row["setting"] if row["setting"] is not None else "", about)
        except Failed:
            return str(row["setting"])  # what is there may be wrong: it is to be mended

    def _canonical(self, value: Any) -> str:
        if isinstance(value, list):
            value = ", ".join(str(each) for each in value)
        return canonical(value, self._about or self._look())

    def _guard(self, then: str) -> None:
        """Raise Failed where the server, or one that follows it, would not go on with the value."""
        name = str(self.params["name"])
        if name not in AS_PRIMARY or not then.isdigit():
            return
        number, server = int(then), self.server
        if server.data_folder() is None:
            raise Failed(f"{name} takes a superuser: its guards look into the server's data folder", "permission")
        told = self._told = server.ask_host(self.host)
        if name == "max_connections":
            self._capacity = capacity(server, told, float(self.params["memory_share"]))
            objection = self._capacity.objection(number)
            if objection is not None:
                raise Failed(objection, **self._capacity.told())
        if server.rows("SELECT pg_is_in_recovery() AS yes")[0]["yes"]:
            primary = told["control"].get(name)
            if primary is not None and number < primary:
                raise Failed(
                    f"this is a standby, and its primary runs with {name} {primary}: with {number} it would not start; "
                    "lower the primary first, and restart it"
                )
            return
        self._guard_standbys(server, number)

    def _guard_standbys(self, server: Session, number: int) -> None:
        name = str(self.params["name"])
        if number <= int((self._about or self._look())["running"]):
            return
        if self.params["standbys"] is None:
            following = server.rows(
                "SELECT application_name AS name FROM pg_stat_replication WHERE state IN ('streaming', 'catchup') "
                "AND application_name NOT LIKE 'pg\\_%' AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE "
                "s.active_pid = pid AND s.slot_type = 'logical') ORDER BY 1"
            )
            if following:
                names = ", ".join(row["name"] for row in following)
                raise Failed(
                    f"standbys follow this server ({names}): where the primary has more {name} than a standby, its "
                    "recovery pauses; name them in postgres_standbys, so that each is raised first"
                )
        for standby in self.params["standbys"] or ():
            if standby == self.host.name:
                continue
            other = self.host.other(standby)
            if other is None:
                raise Failed(f"'{standby}' of postgres_standbys is no host of the inventory")
            has = int(_setting_of(other, self._login, name))
            if has < number:
                raise Failed(
                    f"the standby {standby} runs with {name} {has}: raise it there first, and restart it; else its "
                    "recovery pauses as soon as this server runs with more"
                )


def _setting_of(other: Site, login: Login, name: str) -> str:
    """Return what a setting is on another host, logged in as here."""
    addresses = tuple(each if isinstance(each, str) else ("127.0.0.1", each[1]) for each in login.addresses)
    with_it = Session(other, replace(login, addresses=addresses, name=other.address))
    try:
        return str(with_it.rows(f"SHOW {name}")[0][name])
    finally:
        with_it.close()


def _sql(name: str, value: Any) -> str:
    if name in LISTS:
        parts = value if isinstance(value, list) else str(value).split(",")
        return ", ".join(literal(str(part).strip()) for part in parts) or "''"
    return literal(("on" if value else "off") if isinstance(value, bool) else str(value))
