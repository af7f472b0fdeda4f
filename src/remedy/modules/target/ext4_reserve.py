"""Set how many blocks of an ext4 file system are kept back for root.

Lent to a service for a moment, they are the headroom with which a full disk can be cleaned up: a database that
waits for space runs as a user of its own, and may not use them. It works while the file system is mounted, and
is undone by a rollback. Returns `device`, `blocks` (kept back now) and `free` (bytes, for ordinary users).
"""

import os

from remedy.agent.kinds import REQUIRED, Param, Resource
from remedy.modules.target import _ext4

PARAMS = (
    Param("path", "path", default=REQUIRED, help="Any path on the file system."),
    Param("blocks", "int", default=REQUIRED, help="How many blocks only root may use; 0 lends all of them."),
)

EXAMPLES = """
- ext4_reserve: {path: /var/lib/mysql, blocks: 0}
"""


def check_params(params):
    if isinstance(params["blocks"], int) and params["blocks"] < 0:
        return "blocks must be 0 or more"
    return None


def kind(params):
    return Reserve


class Reserve(Resource):
    destructive = True
    _device = None

    def key(self):
        return "ext4_reserve:" + self._found()

    def read(self):
        return {"blocks": _ext4.reserve(self.host, self._found())["blocks"]}

    def wanted(self, have):
        return {"blocks": self.params["blocks"]}

    def write(self, have, want):
        self.host.run(["tune2fs", "-r", str(want["blocks"]), self._found()], c_locale=True, timeout=20)

    def returns(self, have, now):
        room = os.statvfs(self.params["path"])
        return {"device": self._found(), "blocks": now["blocks"], "free": room.f_bavail * room.f_frsize}

    def why(self, have):
        return "%d blocks are kept back for root" % have["blocks"]

    def _found(self):
        if self._device is None:
            self._device = _ext4.device(self.params["path"])
        return self._device
