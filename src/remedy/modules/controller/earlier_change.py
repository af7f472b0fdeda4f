"""Tell what the last run did to an object of the host that changed it, by the journals on this control machine.

For what is asked for relatively, and must not be done twice (disk-grow: +20%). The host is not asked. Returns `run`
(None where no run changed it), `before` and `want` (the object's states; whether the write came to its end, the host
says).
"""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import REQUIRED, Param, Probe

PARAMS = (Param("object", default=REQUIRED, help="The object as reports name it, such as filesystem:/data."),)
EXAMPLES = """
- earlier_change: {object: "filesystem:/data"}
  register: earlier
"""


def kind(params: dict[str, Any]) -> type[Probe]:
    return Earlier


class Earlier(Probe):
    def read(self) -> dict[str, Any]:
        """Return the last change."""
        found: dict[str, Any] = self.host.earlier(self.params["object"])
        return found
