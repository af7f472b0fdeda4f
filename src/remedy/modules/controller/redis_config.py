"""Set a setting of a Redis or Valkey server, live and in its configuration file.

Live by CONFIG SET, for good by CONFIG REWRITE; both are read again, and rolled back together. REWRITE writes every
live value into the file: other settings that differ are named first, and a rollback leaves them there. Without a
configuration file, or where the server may not write it, nothing is changed unless `persist: false`.

Refused with the arithmetic: a maxmemory above `memory_share` of the host's memory (or of the limit of the server's
cgroup), or one for which not enough memory is free; 0 (no limit); one below what is used, because keys would go, or
every write fail; a maxclients beyond the open files that the server may have, or below the clients that are
connected. A maxmemory-policy other than noeviction destroys: from then on Redis deletes keys in silence when it is
full. Passwords are not for this module. Returns `name`, `value`, `live`, `file`, `drift`, `notes`.
"""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import REQUIRED, Failed, Param, Resource
from remedy.modules.controller import _redis_facts as facts
from remedy.modules.controller._redis import LOGIN_PARAMS, LOGIN_VARIABLES, Session, session
from remedy.modules.controller._redis_settings import SECRETS, after_restart, drift, plain
from remedy.modules.controller._redis_words import size_of

_SPARE_FILES = 32  # Redis keeps so many descriptors for itself (CONFIG_MIN_RESERVED_FDS)
_POLICIES = ("noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-lrm", "allkeys-random", "volatile-lru",
             "volatile-lfu", "volatile-lrm", "volatile-random", "volatile-ttl")  # fmt: skip

PARAMS = (
    Param("name", default=REQUIRED, help="The setting, such as maxmemory."),
    Param("value", default=REQUIRED, help="Its value, as in redis.conf: 512mb."),
    Param("persist", "bool", default=True, help="Also in the configuration file, so that it outlives a restart."),
    Param("memory_share", "percent", default=75, help="How much of the host's memory maxmemory may be: a save needs "
          "room beside it."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- redis_config: {name: maxmemory, value: 512mb}
- redis_config: {name: maxmemory-policy, value: allkeys-lru}
- redis_config: {name: timeout, value: 300, persist: false}
"""


def check_params(params: dict[str, Any]) -> str | None:
    name, value = str(params["name"]).lower(), str(params["value"])
    if name in SECRETS:
        return f"'{name}' is a secret, which would stand in reports: change it in the file, or by a task with no_log"
    if "\n" in value or "\r" in value:
        return "value: one line"
    if name == "maxmemory-policy" and "{{" not in value and value.lower() not in _POLICIES:
        return f"value '{value}': expected one of {', '.join(_POLICIES)}"
    if (
        name in ("maxmemory", "maxclients", "timeout")
        and "{{" not in value
        and not plain(name, value).isdigit()
    ):
        return f"value '{value}' of {name}: expected a number" + (
            " of bytes: 512mb, 2gb" if name == "maxmemory" else ""
        )
    return None


def kind(params: dict[str, Any]) -> type[Resource]:
    name, value = str(params.get("name", "")).lower(), str(params.get("value", "")).lower()
    return Evicting if name == "maxmemory-policy" and value != "noeviction" else Setting


class Setting(Resource):
    """One setting: {live, file}; `file` is what the server would come up with, None where it is not looked after."""

    deadline = 120
    _host: dict[str, Any] | None = None
    _judged = False
    _notes: tuple[str, ...] = ()
    _drift: list[dict[str, Any]] = []  # noqa: RUF012 (never changed in place)

    @property
    def name(self) -> str:
        """The setting, as CONFIG GET spells it."""
        return str(self.params["name"]).lower()

    @property
    def value(self) -> str:
        """The value, as CONFIG GET tells it."""
        return plain(self.name, self.params["value"])

    def key(self) -> str:
        """Return what it is, and of which server."""
        return f"{self._place}:{self.name}"

    @property
    def _place(self) -> str:
        return f"redis:{self.params.get('login_unix_socket') or self.params['login_port']}"

    def read(self) -> dict[str, Any]:
        """Return both values; raises Failed where the server does not know the setting."""
        server = self._server()
        found = {name.lower(): value for name, value in server.config(self.name).items()}
        if not found:
            server.need("CONFIG")
            raise Failed(f"{server.called} has no setting {self.name}" if server.config("maxmemory") else
                         f"{server.called} does not let this account ask CONFIG GET: grant +config")  # fmt: skip
        if self.name not in found:
            raise Failed(f"{self.name} is a pattern: name one setting")
        live = found[self.name]
        file = None
        if self.params["persist"]:
            self._host = facts.host_of(server)
            config = self._host["config"]
            if config is None:
                raise Failed(f"{server.called} runs without a configuration file, so nothing would outlive a restart: "
                             "give it one, or set persist: false")  # fmt: skip
            if config["unreadable"]:
                raise Failed(
                    f"its configuration file cannot be read: {config['unreadable']}; add become: true"
                )
            file = after_restart(self.name, config["values"], plain(self.name, live))
        return {"live": plain(self.name, live), "file": file}

    def wanted(self, have: dict[str, Any]) -> dict[str, Any]:
        """Return both as they should be, where nothing speaks against it."""
        want = {"live": self.value, "file": self.value if self.params["persist"] else None}
        if want != have and not self._judged:
            self._judged = True
            server = self._server()
            if want["live"] != have["live"]:
                self._guard(server, have["live"])
            self._look_around(server)
        return want

    def write(self, have: dict[str, Any], want: dict[str, Any]) -> None:
        """Set what runs, then the file; where the file cannot be written, what runs goes back."""
        self._bring(have, want)

    def before_undo(self, kept: dict[str, Any]) -> None:
        """Raise Failed where data or writes would suffer by now."""
        if self.name in ("maxmemory", "maxmemory-policy"):
            self._guard_undo(kept["state"]["live"])

    def undo(self, kept: dict[str, Any]) -> None:
        """Bring both back, the file first: it is written from what runs."""
        self._bring(self.read(), kept["state"])

    def returns(self, have: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
        """Return the values."""
        return {
            "name": self.name,
            "value": self.value,
            **now,
            "drift": self._drift,
            "notes": list(self._notes),
        }

    def diff(self, have: dict[str, Any], want: dict[str, Any]) -> dict[str, Any]:
        """Return the lines before and after."""
        before, after = (
            "".join(
                f"{self.name} {state[side]} ({side})\n"
                for side in ("live", "file")
                if state[side] is not None
            )
            for state in (have, want)
        )
        return {"before": before, "after": after}

    def _bring(self, have: dict[str, Any], want: dict[str, Any]) -> None:
        server = self._server()
        now = have["live"]
        try:
            if want["file"] is not None and want["file"] != have["file"]:
                if now != want["file"]:
                    server.ask("CONFIG", "SET", self.name, want["file"])
                    now = want["file"]
                self._rewrite(server)
        except Failed:
            if now != have["live"] and server.alive:
                server.ask("CONFIG", "SET", self.name, have["live"])
            raise
        if now != want["live"]:
            server.ask("CONFIG", "SET", self.name, want["live"])

    def _rewrite(self, server: Session) -> None:
        server.need("CONFIG")
        try:
            server.ask("CONFIG", "REWRITE", seconds=30)
        except Failed as failed:
            disk = (self._host or {}).get("disk") or {}
            hint = ""
            if "No space left" in failed.message:
                hint = "; its disk is full: play disk-full first"
            elif "Permission denied" in failed.message or "Read-only" in failed.message:
                hint = "; its user must own the file and its folder, and the unit let it write there (ReadWritePaths)"
            elif disk.get("free") == 0:
                hint = f"; {disk['mount'] or disk['folder']} is full"
            raise Failed(
                f"{failed.message}{hint}; the live value is as it was", failed.cause, **failed.result
            ) from None
        where = ((self._host or {}).get("config") or {}).get("where", {}).get(self.name)
        main = server.server.get("config_file")
        if where and main and where != main:
            now = facts.host_of(server)["config"]
            if after_restart(self.name, now["values"], self.value) != plain(self.name, self.value):
                self._note(f"{self.name} is set in {where}, which {main} includes after it: change it there")

    def _look_around(self, server: Session) -> None:
        """Name the other settings that REWRITE would write into the file."""
        config = (self._host or {}).get("config")
        if config:
            self._drift = [
                each for each in drift(server.config("*"), config["values"]) if each["name"] != self.name
            ]
        if self._drift:
            listed = ", ".join(
                f"{each['name']} {each['live']} (file: {each['file']})" for each in self._drift
            )
            self._note(f"CONFIG REWRITE makes these live values last, too: {listed}")

    def _guard(self, server: Session, live: str) -> None:
        """Raise Failed where the value would do harm."""
        if self.name == "maxmemory":
            self._guard_memory(server, int(live))
        elif self.name == "maxclients":
            self._guard_clients(server)
        elif self.name == "maxmemory-policy":
            self._guard_policy(server, live)

    def _guard_memory(self, server: Session, live: int) -> None:
        told = facts.facts(server)["memory"]
        wanted = int(self.value)
        host = (self._host or facts.host_of(server))["memory"]
        room, share = facts.room_for(host), float(self.params["memory_share"])
        whose = "the limit of its cgroup" if host["limit"] else "the host's memory"
        allowed = int(room * share / 100)
        if wanted == 0:
            raise Failed(f"maxmemory 0 is no limit at all, and {whose} is {size_of(room)}: name a size")
        if wanted > allowed:
            raise Failed(
                f"maxmemory {size_of(wanted)} is more than {share:g}% of {whose}: {size_of(room)} × {share:g}% = "
                f"{size_of(allowed)}; name less, or give it more memory (memory_share moves the line)"
            )
        grows, free = wanted - told["rss"], host["available"]
        if grows > free and wanted > live:
            raise Failed(
                f"maxmemory {size_of(wanted)} − {size_of(told['rss'])} that Redis holds = {size_of(grows)} more, and "
                f"{size_of(free)} of the host's memory are available: free some first, or name less"
            )
        if wanted < told["counted"]:
            raise Failed(_below_use(wanted, told["counted"], told["policy"]))

    def _guard_undo(self, live: str) -> None:
        told = facts.facts(self._server())["memory"]
        limit, policy = told["maxmemory"], told["policy"]
        # In check mode what was changed later has not been brought back yet.
        for key, state in self.host.foreseen.items():
            if key == f"{self._place}:maxmemory":
                limit = int(state["live"])
            elif key.partition(" = ")[0] == f"{self._place}:maxmemory-policy":
                policy = state["live"]
        if self.name == "maxmemory":
            limit = int(live)
        else:
            policy = live
        if limit and limit < told["counted"] and (self.name == "maxmemory" or policy != "noeviction"):
            raise Failed(
                f"{_below_use(limit, told['counted'], policy, by_now=True)}. {self.name} stays {self.read()['live']}"
            )

    def _guard_clients(self, server: Session) -> None:
        told, wanted = facts.facts(server)["clients"], int(self.value)
        if wanted < told["connected"]:
            raise Failed(
                f"maxclients {wanted} is less than the {told['connected']} that are connected: close some first"
            )
        files = (self._host or facts.host_of(server))["open_files"]
        if files and files["hard"] is not None and wanted + _SPARE_FILES > files["hard"]:
            raise Failed(
                f"maxclients {wanted} + {_SPARE_FILES} that Redis needs itself = {wanted + _SPARE_FILES} open files, "
                f"and it may have {files['hard']}: raise LimitNOFILE of its unit first, or name at most "
                f"{files['hard'] - _SPARE_FILES}"
            )
        if wanted < 1:
            raise Failed("maxclients 0 would let nobody in")

    def _guard_policy(self, server: Session, live: str) -> None:
        told = facts.facts(server)
        if self.value.startswith("volatile-"):
            keys = sum(each.get("keys", 0) for each in told["keyspace"].values())
            expiring = sum(each.get("expires", 0) for each in told["keyspace"].values())
            if expiring < keys:
                self._note(
                    f"{self.value} lets go only of keys with a time to live: {expiring} of {keys} have one"
                    + ("; so it is noeviction by another name" if not expiring else "")
                )
        if live == "noeviction" and self.value != "noeviction":
            self._note(f"{live} → {self.value}: when Redis is full it deletes keys in silence from now on")

    def _note(self, text: str) -> None:
        self.host.warn(text)
        self._notes = (*self._notes, text)

    def _server(self) -> Session:
        return session(self.host, self.params)


class Evicting(Setting):
    """A policy that lets keys go."""

    destructive = True

    def key(self) -> str:
        """Return what it is, and what it will do: approval shows this."""
        return f"{super().key()} = {self.value}: keys are deleted in silence when it is full"


def _below_use(limit: int, used: int, policy: str, *, by_now: bool = False) -> str:
    """Return what a maxmemory below what is used would do; `by_now`: it was enough once."""
    then = "every write would fail" if policy == "noeviction" else "keys would be deleted at once"
    how = f" by now: with {policy} {then}" if by_now else f": {then} ({policy})"
    return f"maxmemory {size_of(limit)} is less than the {size_of(used)} that are used{how}; delete first what may go"
