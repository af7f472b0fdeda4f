"""Tell how fast what earlier runs measured of the host grows, and in how many days each is full.

Disks, inodes, memory, swap, connections, databases, binary logs, write-ahead log and what Docker holds, as
disk_usage, setup, mysql_info, postgresql_info, postgresql_disk, redis_info and docker_usage told it in all runs of this
history. The host is not asked. Returns `resources`, the soonest full first: resource, object (a mount, a server, a
database), unit (bytes or count), used, limit and percent (None without a limit), per_day (None where the measures are
too few, or others of the host were measured long after it: reason), days_left (None: not within ten years), measured
(how often), curve; and `short`, those that are full within `below`.
"""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import Param, Probe

PARAMS = (
    Param("since", "duration", default=7776000, help="How far to look back."),
    Param("below", "duration", default=1209600, help="What is full within this time is in short."),
)
EXAMPLES = """
- capacity: {since: 30d, below: 14d}
  register: capacity
"""

_DAY = 86400.0  # seconds


def kind(params: dict[str, Any]) -> type[Probe]:
    return Capacity


class Capacity(Probe):
    def read(self) -> dict[str, Any]:
        """Return what grows."""
        found: list[dict[str, Any]] = self.host.growing(self.params["since"] / _DAY)
        below = self.params["below"] / _DAY
        short = [each for each in found if each["days_left"] is not None and each["days_left"] <= below]
        return {"resources": found, "short": short}
