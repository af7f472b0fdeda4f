"""Tell which binary logs a MySQL or MariaDB server has, how much each would free, and what keeps the others.

Reads only, with the same judgement as mysql_binlog_purge. Returns `takes` and `kept` (item, size, reason; the oldest
first), `bytes` that `takes` would free, `total` bytes, `replicas` (name, needs, why, reached; holds: the bytes that it
alone keeps), `waiting`: the sessions that wait for space (id, user, host, seconds), `disk` (folder, mount, device,
type, size; free: bytes as the server's user has them), `lendable`: the bytes that ext4 keeps back for root (None: not
asked, for there is room), `port` (0: it takes no TCP) and `socket` of the server, and `notes`.
"""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import Probe
from remedy.modules.controller import _binlogs

PARAMS = _binlogs.PARAMS
VARIABLES = _binlogs.VARIABLES
EXAMPLES = """
- mysql_binlogs: {keep: 3d}
  register: binlogs
"""
check_params = _binlogs.check_params


def kind(params: dict[str, Any]) -> type[Probe]:
    return Binlogs


class Binlogs(Probe):
    def read(self) -> dict[str, Any]:
        """Return what was found."""
        login, server = _binlogs.opened(self.host, self.params, looks=True)
        found = _binlogs.survey(self.host, server, login, self.params)
        # Asked only where it matters: it takes another program on the host.
        short = found.disk["free"] < _binlogs.LEAST
        place = server.place(self.params)
        return {**found.told(), **place, "lendable": _binlogs.lendable(self.host, found.disk)[0] if short else None}
