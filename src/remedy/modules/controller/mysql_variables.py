"""Look at a global variable of MySQL or MariaDB, or set it: live, for the next start, or both.

Names and parameters are those of community.mysql.mysql_variables. `mode: persist` sets it live and so that it
outlives a restart: MySQL from 8.0 by SET PERSIST, MariaDB and MySQL 5.7 by a drop-in beside the server's option
files (mysql_option, a change of its own) and SET GLOBAL. Both are read again; a difference between them is told as
`drift`, and put right. A rollback brings back both, with RESET PERSIST where nothing was persisted before.

Values out of the variable's range are refused before anything is changed, and so is a max_connections beyond what
the host's memory (`memory_share`) or the open files allow, with the arithmetic: the server itself says nothing then.
Without `value` it only reads. Returns `live`, `persistent` (what the next start reads; None: the server's default),
`drift`, `where` (what sets it for the next start) and `msg` (the live value, as community.mysql).
"""

from __future__ import annotations

import re
from typing import Any

from remedy.agent.kinds import REQUIRED, Failed, Param, Probe, Resource
from remedy.modules.controller import _variables
from remedy.modules.controller._capacity import capacity
from remedy.modules.controller._doors import opened
from remedy.modules.controller._mysql import LOGIN_PARAMS, LOGIN_VARIABLES

PARAMS = (
    Param("variable", default=REQUIRED, help="The variable's name."),
    Param("value", "raw", help="What it shall be; without it nothing is changed."),
    Param("mode", default="global", choices=("global", "persist", "persist_only"), help="Live alone, live and for "
          "every start, or for the next start alone (for what cannot be set live)."),
    Param("memory_share", "percent", default=90, help="max_connections: how much of the host's memory the server "
          "may need where every connection uses its buffers."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- mysql_variables: {variable: max_connections}
  register: now
- mysql_variables: {variable: max_connections, value: 300, mode: persist}
"""


def check_params(params: dict[str, Any]) -> str | None:
    if not re.fullmatch(r"[A-Za-z]\w*(\.\w+)?", str(params["variable"])):
        return f"variable '{params['variable']}': expected letters, digits and _"
    value = params["value"]
    if isinstance(value, list | dict):
        return "value must be a number, a text, or true or false"
    if isinstance(value, str) and re.search(r"[\r\n\"\\]", value):
        return "value must be one line without quotes and backslashes"
    return None


def kind(params: dict[str, Any]) -> type[Probe] | type[Resource]:
    return Look if params.get("value") is None else Variable


class Look(Probe):
    """Reads it."""

    def read(self) -> dict[str, Any]:
        """Return what it is, live and for the next start."""
        found = _variables.found(
            self.host, opened(self.host, self.params, looks=True), str(self.params["variable"])
        )
        return found.told()


class Variable(Resource):
    """One variable; its state is what `mode` looks after.

    Where a drop-in keeps it, `file` says only whether the next start reads what this task wants: the drop-in is an
    object of its own, and is taken back before this one.
    """

    deadline = 120
    _text: str | None = None

    @property
    def variable(self) -> str:
        return str(self.params["variable"]).lower()

    @property
    def value(self) -> str:
        if self._text is None:
            self._text = _variables.plain(self.params["value"])
        return self._text

    def key(self) -> str:
        """Return the variable's name, and whose it is."""
        where = self.params.get("login_unix_socket") or self.params.get("login_host") or ""
        if not where and self.params["login_port"] != 3306:
            where = f"port {self.params['login_port']}"
        return f"mysql:{self.variable}" + (f" at {where}" if where else "")

    def read(self) -> dict[str, Any]:
        """Return what `mode` looks after: `live`, and `persisted` or `file`."""
        found = self._found()
        state: dict[str, Any] = {}
        if self.params["mode"] != "persist_only":
            state["live"] = found.live
        if self.params["mode"] != "global":
            if found.by_server:
                state["persisted"] = found.kept
            else:
                state["file"] = "agrees" if _variables.same(found.persistent, self.value) else "differs"
        return state

    def wanted(self, have: dict[str, Any]) -> dict[str, Any]:
        """Return the state with the value in it; raises Failed for one that the server would not keep."""
        want = dict(have)
        for part in ("live", "persisted"):
            if part in have and not _variables.same(have[part], self.value):
                want[part] = self.value
        if "file" in have:
            want["file"] = "agrees"
        if want != have:
            self._guard()
        return want

    def write(self, have: dict[str, Any], want: dict[str, Any]) -> None:
        """Write what differs, the lasting part first: a server that restarts in between has it."""
        server = opened(self.host, self.params)
        if want.get("file") == "agrees" and have.get("file") != "agrees":
            found = self._found()
            self.host.ask("mysql_option", option=self.variable, value=self.value, datadir=found.datadir)
        if "persisted" in want and want["persisted"] != have["persisted"]:
            if want["persisted"] is None:
                server.rows(f"RESET PERSIST IF EXISTS {_quoted(self.variable)}")
            else:
                self._set(server, "PERSIST_ONLY", want["persisted"])
        if "live" in want and not _variables.same(want["live"], have["live"]):
            self._set(server, "GLOBAL", want["live"])

    def left(self, want: dict[str, Any]) -> dict[str, Any]:
        """Return how it reads where its drop-in has been taken back already, as a rollback does."""
        return {**want, "file": "differs"} if "file" in want else want

    def diff(self, have: dict[str, Any], want: dict[str, Any]) -> dict[str, Any]:
        """Return both as lines of an option file."""
        parts = {"live": "live", "persisted": "persisted", "file": "for the next start"}

        def shown(state: dict[str, Any]) -> str:
            lines = []
            for name, value in state.items():
                if name == "file":
                    value = self.value if value == "agrees" else "something else"
                lines.append(
                    f"{self.variable} = {'(not set)' if value is None else value}  # {parts[name]}\n"
                )
            return "".join(lines)

        return {"before": shown(have), "after": shown(want)}

    def why(self, have: dict[str, Any]) -> str:
        """Return why nothing is to be done."""
        return f"{self.variable} is {self.value}" + (", live and for the next start" if len(have) > 1 else "")

    def returns(self, have: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
        """Return both values, and what they were."""
        told = self._found().told()
        if self.host.check:
            told.update(live=now.get("live", told["live"]), drift=False, msg=now.get("live", told["live"]))
        return told

    def _found(self) -> _variables.Found:
        return _variables.found(self.host, opened(self.host, self.params), self.variable)

    def _set(self, server: Any, scope: str, value: str) -> None:
        text, args = _variables.literal(value)
        server.rows(f"SET {scope} {_quoted(self.variable)} = {text}", args=args)
        for warning in server.rows("SHOW WARNINGS"):
            self.host.warn(f"{self.variable}: {warning.get('Message')} ({warning.get('Code')})")

    def _guard(self) -> None:
        server = opened(self.host, self.params)
        found = self._found()
        if self.params["mode"] != "persist_only" and found.read_only:
            raise Failed(
                f"{self.variable} cannot be set while the server runs: use mode: persist_only, and restart it"
            )
        if self.params["mode"] != "global":
            self._lasts(found, server)
        wrong = _variables.out_of_range(server, self.variable, self.value)
        if wrong:
            raise Failed(f"{wrong}; nothing was changed")
        if self.variable != "max_connections":
            return
        if not self.value.isdigit():
            raise Failed(f"max_connections cannot be '{self.value}': expected a number; nothing was changed")
        wanted = int(self.value)
        if wanted <= max(int(found.live), int(found.persistent or 0)):
            return
        if not found.memory:
            self.host.warn("the server runs elsewhere: nobody knows here whether its memory suffices")
        share = float(self.params["memory_share"])
        objection = capacity(server, server.version, found.memory, share).objection(wanted)
        if objection:
            raise Failed(f"{objection}; nothing was changed")

    def _lasts(self, found: _variables.Found, server: Any) -> None:
        """Raise Failed where nothing that is written here would be read at the server's next start."""
        loads = _variables.values(server, ["persisted_globals_load"]).get("persisted_globals_load", "ON")
        if found.by_server and loads != "ON":
            raise Failed(
                "the server does not read what SET PERSIST keeps (persisted_globals_load is OFF): use mode: global"
            )
        if not found.by_server and not found.here:
            raise Failed(
                "the server's process is not seen on this host (it runs elsewhere, in a container, or become: true is "
                "missing), so its option files are not to be had: use mode: global, or play on its own host"
            )


def _quoted(name: str) -> str:
    return ".".join(f"`{part}`" for part in name.split("."))
