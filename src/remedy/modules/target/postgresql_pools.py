"""Tell the settings of connection pools in files of environment variables.

Of lines such as DB_POOL_SIZE=20 those whose names speak of a pool, and only where the value is a number, true or false:
no password leaves the host. Returns `pools` (path, settings, connections: what one process may open by them; error: why
a file was not read) and `total`, the connections of all files together, for one process each.
"""

import re

from remedy.agent.kinds import REQUIRED, Param, Probe
from remedy.modules.target import _postgres_host

PARAMS = (Param("env_files", "list", elements="str", default=REQUIRED, help="The files."),)

EXAMPLES = """
- postgresql_pools: {env_files: [/srv/shop/.env]}
  register: pools
"""

_SIZE = re.compile(r"POOL(_?MAX)?(_?SIZE)?$|MAX_?POOL|OVERFLOW|MAX_?CONN(ECTION)?S?$", re.I)


def kind(params):
    return Pools


class Pools(Probe):
    def read(self):
        pools = []
        for path in self.params["env_files"]:
            pool = _postgres_host.pools(path)
            sizes = [value for name, value in pool["settings"].items() if _SIZE.search(name)]
            pool["connections"] = sum(int(value) for value in sizes if value.isdigit())
            pools.append(pool)
        return {"pools": pools, "total": sum(pool["connections"] for pool in pools)}
