"""Start a process that holds a deleted log of so many bytes, and would go on writing it.

It is the unit `remedy-drill-deleted-NAME`; SIGUSR1 lets it write a line. The log was written, and deleted, as
`remedy-drill-NAME.deleted.log` in the folder. Returns `path`, `unit`, `pid` and `held` (bytes).
"""

import os

from remedy.agent.kinds import Failed, Param
from remedy.modules.target.faults import _filling, _folder
from remedy.modules.target.faults._fault import MARK, STATE, Fault, name_param, wrong_name, wrong_path
from remedy.modules.target.faults._writer import Writer

PARAMS = (
    Param(
        "folder",
        "path",
        default="/var/log/" + MARK,
        help="Where the log was; the default is made if missing.",
    ),
    Param("size", "size", default=20 << 20, help="How many bytes it holds."),
    name_param("app"),
    STATE,
)

EXAMPLES = """
- fault_deleted_open: {size: 500M}
- fault_deleted_open: {state: absent}
"""


def check_params(params):
    return wrong_path(params, "folder") or wrong_name(params)


def kind(params):
    return DeletedOpen


class DeletedOpen(Fault):
    _writer = None

    @property
    def writer(self):
        if self._writer is None:
            name = self.params["name"]
            # Not a name that fault_logs could give.
            path = os.path.join(_folder.real(self.params["folder"]), "%s-%s.deleted.log" % (MARK, name))
            self._writer = Writer(self.host, "deleted-" + name, path)
        return self._writer

    def key(self):
        return "fault:" + self.writer.unit

    def found(self):
        left = _filling.size_of(self.writer.path) is not None or _folder.left(self.params["folder"])
        pid = self.writer.pid()
        if pid is None:
            return False if left else None
        held = self.writer.held(pid)
        return held is not None and held[0] and held[1] >= self.params["size"]

    def inject(self):
        _folder.make(self.params["folder"])
        try:
            if _filling.room(os.path.dirname(self.writer.path))[0] < self.params["size"]:
                raise Failed("%s has no room for %d bytes" % (self.params["folder"], self.params["size"]))
            self.writer.start(self.params["size"], deleted=True)
        finally:
            _folder.drop(self.params["folder"])

    def lift(self):
        self.writer.stop()
        _filling.remove(self.writer.path)
        _folder.drop(self.params["folder"])

    def returns(self, have, now):
        pid = self.writer.pid()
        held = self.writer.held(pid) if pid is not None else None
        return {
            "path": self.writer.path,
            "unit": self.writer.unit,
            "pid": pid,
            "held": held[1] if held is not None else 0,
        }
