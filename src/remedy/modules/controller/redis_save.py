"""Let a Redis or Valkey server write its dump now, and wait until it has.

With a BGSAVE that comes to an end a server that refuses writes (MISCONF) takes them again. Refused before it begins
where its disk has no room for a dump as large as its data. Returns `seconds`.
"""

from __future__ import annotations

import time
from threading import Event
from typing import Any

from remedy.agent.kinds import Action, Failed, Param
from remedy.modules.controller._redis import LOGIN_PARAMS, LOGIN_VARIABLES, Session, session
from remedy.modules.controller._redis_facts import host_of
from remedy.modules.controller._redis_words import size_of

PARAMS = (
    Param("wait", "duration", default=300, help="How long it may take."),
    Param(
        "if_older", "duration", default=0, help="Do nothing where the last good save is not older than this."
    ),
    *LOGIN_PARAMS,
)
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- redis_save: {wait: 10m}
- redis_save: {if_older: 1m}
"""
_LOOK = 0.2


def kind(params: dict[str, Any]) -> type[Action]:
    return Save


class Save(Action):
    happened = "saved"
    interruptible = False
    deadline = 3600

    def key(self) -> str:
        """Return what is written."""
        return f"the dump of redis:{self.params.get('login_unix_socket') or self.params['login_port']}"

    def ready(self) -> str | None:
        """Return why there is nothing to save; raises Failed where there is no room."""
        server = self._server()
        told = server.info("persistence")
        age = int(server.ask("TIME")[0]) - int(told.get("rdb_last_save_time", 0))
        unsaved = int(told.get("rdb_changes_since_last_save", 0))
        if told.get("rdb_last_bgsave_status") == "ok" and self.params["if_older"]:
            if age <= self.params["if_older"]:
                return f"saved {age} s ago"
            if not unsaved and told.get("rdb_last_save_time") != "0" and self._dumped(server):
                return f"nothing has changed since it was saved {age} s ago"
        disk = host_of(server)["disk"]
        # Dumps are compressed: half of the data is the usual size, a tenth the least worth a try.
        data = int(server.info("memory").get("used_memory_dataset", 0))
        if disk and (disk["free"] < data // 10 or disk["free"] < 64 << 10 or disk["read_only"]):
            raise Failed(
                f"{disk['mount'] or disk['folder']} has {size_of(disk['free'])} free"
                + (", read-only," if disk["read_only"] else "")
                + f" for a dump of {size_of(data)} of data: make room first (disk-full)",
                "disk_full",
            )
        return None

    def state(self) -> dict[str, Any]:
        """Return when it was last saved."""
        told = self._server().info("persistence")
        return {"last_save": told.get("rdb_last_save_time"), "status": told.get("rdb_last_bgsave_status")}

    def do(self) -> dict[str, Any]:
        """Begin, and wait for the end."""
        server = self._server()
        began = time.monotonic()
        if server.info("persistence").get("rdb_bgsave_in_progress") == "1":
            self._wait(server, began)  # one that began before what counts now
        try:
            server.ask("BGSAVE", "SCHEDULE")
        except Failed as failed:
            if "in progress" not in failed.message:
                raise
        self._wait(server, began)
        return {"seconds": round(time.monotonic() - began, 1)}

    def proof(self, before: dict[str, Any]) -> dict[str, Any]:
        """Return the new time; raises Failed where the save failed."""
        after = self.state()
        if after["status"] != "ok":
            raise Failed(
                "the save failed: the server's log says why (its disk, or fork: vm.overcommit_memory)"
            )
        if int(after["last_save"] or 0) < int(before["last_save"] or 0):
            raise Failed("the server was started anew in the middle of the save")
        return after

    def _wait(self, server: Session, began: float) -> None:
        while True:
            told = server.info("persistence")
            if told.get("rdb_bgsave_in_progress") != "1" and told.get("rdb_bgsave_scheduled", "0") != "1":
                return
            if time.monotonic() - began > float(self.params["wait"]):
                raise Failed(f"the save did not end within {self.params['wait']:g} s; it goes on", "timeout")
            Event().wait(_LOOK)

    def _dumped(self, server: Session) -> bool:
        """Say whether the last save is one of its own; at start it tells the time of the start."""
        started = int(server.ask("TIME")[0]) - int(server.info("server").get("uptime_in_seconds", 0))
        return int(server.info("persistence").get("rdb_last_save_time", 0)) > started + 1

    def _server(self) -> Session:
        return session(self.host, self.params)
