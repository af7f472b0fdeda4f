"""Tell which PostgreSQL servers run on a host.

Looks at processes alone: no server is asked, and nobody logs in. Returns `servers` (pid, user, unit; data: the data
folder; port; sockets: the first folder of its sockets; listens: the first address; container: it has a root of its own;
None: this user may not see).
"""

from remedy.agent.kinds import Param, Probe
from remedy.modules.target import _postmasters

PARAMS = (Param("unit", help="Their unit, where it is not to be seen. Else the variable postgres_unit."),)
VARIABLES = {"unit": "postgres_unit"}

EXAMPLES = """
- postgresql_servers:
  register: postgres
"""


def kind(params):
    return Servers


class Servers(Probe):
    def read(self):
        found = _postmasters.postmasters()
        for each in found:
            each["unit"] = self.params["unit"] or each["unit"]
        return {"servers": found}
