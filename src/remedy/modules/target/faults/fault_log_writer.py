"""Let a service write a log of numbered lines that nobody rotates, so that a line that gets lost can be told.

The log is `remedy-drill-NAME.log` in the folder, who writes it the unit `remedy-drill-lines-NAME`: `fill` bytes at
once, then `rate` lines a second, each beginning with its number, from 1 on. With `reopens` it opens its log anew on
SIGHUP; without, it has no use for any signal. `absent` removes whatever became of the log: `.gz`, dated names.
Returns `path` and `unit`.
"""

import os

from remedy.agent.kinds import Failed, Param
from remedy.modules.target.faults import _filling, _folder
from remedy.modules.target.faults._daemon import Running
from remedy.modules.target.faults._fault import MARK, STATE, name_param, wrong_name, wrong_path

PARAMS = (
    Param(
        "folder", "path", default="/var/log/" + MARK, help="Where the log is; the default is made if missing."
    ),
    Param("fill", "size", default=0, help="How many bytes it writes at once."),
    Param("rate", "float", default=100.0, help="How many lines a second it writes from then on."),
    Param("reopens", "bool", default=False, help="It opens its log anew on SIGHUP."),
    Param("appends", "bool", default=True, help="It opens its log for appending."),
    name_param("lines"),
    STATE,
)

EXAMPLES = """
- fault_log_writer: {fill: 60M, rate: 200, reopens: true}
- fault_log_writer: {state: absent}
"""

_PROGRAM = """
import time
path, fill, pause, reopens, appends = sys.argv[1], int(sys.argv[2]), 1 / float(sys.argv[3]), sys.argv[4], sys.argv[5]
def opened():
    return os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if appends == "True" else 0), 0o640)
def reopen(*_):
    new = opened()
    os.dup2(new, log)
    os.close(new)
def line():
    global number
    number += 1
    return b"%012d remedy drill: a line of a service that goes on writing" % number + bytes([10])
log, number, size = opened(), 0, 0
while size < fill:
    size += os.write(log, b"".join(line() for _ in range(1000)))
if reopens == "True":
    signal.signal(signal.SIGHUP, reopen)
ready()
while True:
    time.sleep(pause)
    os.write(log, line())
"""


def check_params(params):
    if isinstance(params["rate"], (int, float)) and not 0 < params["rate"] <= 10000:
        return "rate: expected up to 10000 lines a second"
    return wrong_path(params, "folder") or wrong_name(params)


def kind(params):
    return LogWriter


class LogWriter(Running):
    @property
    def path(self):
        return os.path.join(_folder.real(self.params["folder"]), "%s-%s.log" % (MARK, self.params["name"]))

    def label(self):
        return "lines-" + self.params["name"]

    def key(self):
        return "fault:" + self.daemon.unit

    def found(self):
        if self.daemon.pid() is None:
            return False if _folder.family(self.path) or _folder.left(self.params["folder"]) else None
        return (_filling.size_of(self.path) or 0) >= self.params["fill"]

    def inject(self):
        _folder.make(self.params["folder"])
        try:
            if _filling.room(os.path.dirname(self.path))[0] < self.params["fill"]:
                raise Failed("%s has no room for %d bytes" % (self.params["folder"], self.params["fill"]))
            params = self.params
            self.daemon.start(
                _PROGRAM, self.path, params["fill"], params["rate"], params["reopens"], params["appends"]
            )
        finally:
            _folder.drop(self.params["folder"])

    def lift(self):
        self.daemon.stop()
        for path in _folder.family(self.path):
            _filling.remove(path)
        _folder.drop(self.params["folder"])

    def returns(self, have, now):
        return {"path": self.path, "unit": self.daemon.unit}
