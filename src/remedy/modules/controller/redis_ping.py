"""Ask a Redis or Valkey server for an answer: PING, or with `write` a real write.

`write` sets a key of remedy's own, remedy:write:NUMBER, that lasts a minute, reads it back and removes it. It fails
with the server's own words where the server refuses: OOM, MISCONF, READONLY. Returns `ping`, and `wrote`.
"""

from __future__ import annotations

import secrets
from typing import Any

from remedy.agent.kinds import Command, Failed, Module, Param, Probe
from remedy.modules.controller._redis import LOGIN_PARAMS, LOGIN_VARIABLES, session

PARAMS = (
    Param("write", "bool", default=False, help="Write, too."),
    Param("login_db", "int", default=0, help="The database to write to."),
    *LOGIN_PARAMS,
)
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- redis_ping:
- redis_ping: {write: true}
"""


def kind(params: dict[str, Any]) -> type[Module]:
    return Write if params.get("write") else Ping


class Ping(Probe):
    def read(self) -> dict[str, Any]:
        """Return the answer."""
        return {"ping": session(self.host, self.params).ask("PING")}


class Write(Command):
    deadline = 60

    def run(self) -> dict[str, Any]:
        """Write, read, remove."""
        server = session(self.host, self.params)
        key, value = f"remedy:write:{secrets.randbelow(1 << 32)}", secrets.token_hex(8)
        if server.ask("SET", key, value, "EX", 60, "NX") is None:
            raise Failed(f"{key} is there already: run it again")
        try:
            got = server.ask("GET", key)
        finally:
            gone = server.ask_all([("DEL", key)])[0]
        if got != value or gone != 1:
            raise Failed(f"{server.called} took a write, but gives it back as {got!r} and removes {gone}: "
                         "does it evict at once?")  # fmt: skip
        return {"rc": 0, "changed": False, "ping": "PONG", "wrote": key}
