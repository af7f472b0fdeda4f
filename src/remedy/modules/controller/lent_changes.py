"""Tell what earlier runs changed for the time of a task and nobody has put back.

A run puts back what it lends (mysql_binlog_purge: what ext4 keeps back for root); where it is killed or loses the
host, the host's agent does. Where the host lost its power in between, nobody did. Asked are the journals on this
control machine, then the host; without such a run the host is not asked. Reads only. Returns `lent`: run, task,
object, before, module and params (of the change) for each that still is as the run left it.
"""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import Probe

PARAMS = ()
EXAMPLES = """
- lent_changes:
  register: lent
"""


def kind(params: dict[str, Any]) -> type[Probe]:
    return Lent


class Lent(Probe):
    def read(self) -> dict[str, Any]:
        """Return what is still lent."""
        return {"lent": self.host.lent()}
