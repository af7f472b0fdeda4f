"""Leave rotated logs of some age, and a big one that a process still writes.

They are `remedy-drill-NAME.log`, `.log.1` and so on in the folder; who writes is the unit
`remedy-drill-log-NAME`, which opens its log anew on SIGHUP. `absent` removes whatever became of them: `.gz`, dated
names. Returns `files` and `unit`.
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
        help="Where the logs are; the default is made if missing.",
    ),
    Param("rotated", "int", default=4, help="How many rotated logs there are."),
    Param("size", "size", default=5 << 20, help="How many bytes each of them holds."),
    Param("age", "duration", default=14 * 86400, help="How old the youngest is; each other is a day older."),
    Param(
        "live",
        "size",
        default=0,
        help="How many bytes the log holds that is still written; 0: there is none.",
    ),
    name_param("app"),
    STATE,
)

EXAMPLES = """
- fault_logs: {rotated: 6, size: 50M, age: 30d}
- fault_logs: {name: big, rotated: 0, live: 200M}
- fault_logs: {name: big, state: absent}
"""

_DAY = 86400


def check_params(params):
    if isinstance(params["rotated"], int) and params["rotated"] < 0:
        return "rotated cannot be less than 0"
    if params["rotated"] == 0 and params["live"] == 0:
        return "give rotated or live: there would be no log"
    return wrong_path(params, "folder") or wrong_name(params)


def kind(params):
    return Logs


class Logs(Fault):
    _writer = None

    @property
    def writer(self):
        if self._writer is None:
            path = os.path.join(
                _folder.real(self.params["folder"]), "%s-%s.log" % (MARK, self.params["name"])
            )
            self._writer = Writer(self.host, "log-" + self.params["name"], path)
        return self._writer

    def key(self):
        return "fault:" + self.writer.path

    def found(self):
        files, pid = _folder.family(self.writer.path), self.writer.pid()
        if not files and pid is None:
            return False if _folder.left(self.params["folder"]) else None
        if not all(_filling.is_old(path, self.params["size"], age) for path, age in self._wanted()):
            return False
        if not self.params["live"]:
            return True
        held = self.writer.held(pid) if pid is not None else None
        return held is not None and not held[0] and held[1] >= self.params["live"]

    def inject(self):
        _folder.make(self.params["folder"])
        try:
            for path, age in self._wanted():
                if not _filling.is_old(path, self.params["size"], age):
                    self._room(self.params["size"] - (_filling.size_of(path) or 0))
                    _filling.write(path, self.params["size"], age)
            if self.params["live"]:
                self._room(self.params["live"] - (_filling.size_of(self.writer.path) or 0))
                self.writer.start(self.params["live"])
        finally:
            _folder.drop(self.params["folder"])  # where nothing came of it

    def lift(self):
        self.writer.stop()
        for path in _folder.family(self.writer.path):
            _filling.remove(path)
        _folder.drop(self.params["folder"])

    def returns(self, have, now):
        return {"files": _folder.family(self.writer.path), "unit": self.writer.unit if self.params["live"] else None}

    def _wanted(self):
        """Return the rotated logs that shall be there, as (path, age in seconds)."""
        numbers = range(1, self.params["rotated"] + 1)
        return [
            ("%s.%d" % (self.writer.path, number), self.params["age"] + (number - 1) * _DAY)
            for number in numbers
        ]

    def _room(self, size):
        folder = os.path.dirname(self.writer.path)
        if _filling.room(folder)[0] < size:
            raise Failed("%s has no room for %d bytes more" % (folder, size))
