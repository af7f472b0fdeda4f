"""Tell which binary logs a MySQL or MariaDB server has, how much each would free, and what keeps the others.

Reads only, with the same judgement as mysql_binlog_purge. Returns `binlogs` (name, size, take, reason; the oldest
first), `would_free` and `total` (bytes), `replicas` (name, needs, why, reached), `disk` (free bytes as the server's
user has them) and `notes`.
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
        login, server = _binlogs.opened(self.host, self.params)
        try:
            return _binlogs.survey(self.host, server, login, self.params).told()
        finally:
            server.close()
