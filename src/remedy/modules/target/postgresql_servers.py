"""Tell which PostgreSQL servers run on a host, and which should and do not.

Looks at processes, units and logs alone: no server is asked, and nobody logs in. Returns `servers` (pid, user, unit;
data: the data folder; port; sockets: the first folder of its sockets; listens: the first address; container: it has a
root of its own; None: this user may not see) and `down`: units whose server does not run although it failed or, where
no server runs at all, is to start with the host (unit, state, result, exit, enabled, log: its last lines). Debian's
clusters that are started by hand (start.conf) count where they failed.
"""

from remedy.agent.kinds import Param, Probe
from remedy.modules.target import _postgres_units, _postmasters

PARAMS = (
    Param("unit", help="Their unit, where it is not to be seen. Else the variable postgres_unit."),
    Param("log_lines", "int", default=10, help="How many of the last lines of each log of `down`."),
)
VARIABLES = {"unit": "postgres_unit"}

EXAMPLES = """
- postgresql_servers:
  register: postgres
"""


def check_params(params):
    if isinstance(params["log_lines"], int) and not 0 <= params["log_lines"] <= 200:
        return "log_lines: expected 0 to 200"
    return None


def kind(params):
    return Servers


class Servers(Probe):
    def read(self):
        found = _postmasters.postmasters()
        down = _postgres_units.down(self.host, found, self.params["unit"], self.params["log_lines"])
        for each in found:
            each["unit"] = self.params["unit"] or each["unit"]
        return {"servers": found, "down": down}
