"""Tell which PostgreSQL servers run on a host.

Looks at processes alone: no server is asked, and nobody logs in. Returns `servers` (pid, user, unit; data: the data
folder; port; sockets: the first folder of its sockets; listens: the first address; container: it has a root of its own;
None: this user may not see).
"""

from remedy.agent.kinds import Probe
from remedy.modules.target import _postmasters

PARAMS = ()

EXAMPLES = """
- postgresql_servers:
  register: postgres
"""


def kind(params):
    return Servers


class Servers(Probe):
    def read(self):
        return {"servers": _postmasters.postmasters()}
