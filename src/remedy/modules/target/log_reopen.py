"""Let services open their logs anew that still write what was rotated away, or was deleted.

`paths` are the logs as they should be (/var/log/nginx/access.log, not access.log.1). The service that holds the old
file is told in its own way: a signal that its main process has a handler for (nginx, rsyslog, syslog-ng, Apache,
PHP-FPM, MySQL, and what `signals` names), or a flush of its logs (MariaDB, MySQL). It is not restarted; one that
cannot be told is refused, with the unit to restart. It counts only when no process writes the old file any more.
Nothing is deleted: the old file keeps its lines. Works only as root. Returns `reopened` (path, writers, how).
"""

import os
import time

from remedy.agent.kinds import REQUIRED, Action, Failed, Param
from remedy.modules.target import _holders, _log_writers

PARAMS = (
    Param("paths", "list", default=REQUIRED, elements="path", help="The logs that should be written."),
    _log_writers.SIGNALS,
    Param("wait", "duration", default=10, help="How long services may take."),
)

EXAMPLES = """
- log_reopen: {paths: [/var/log/nginx/access.log]}
"""

_PAUSE = 0.05


def check_params(params):
    if any(not path.startswith("/") for path in params["paths"]):
        return "paths must be absolute"
    return _log_writers.wrong_signals(params)


def kind(params):
    return Reopening


class Reopening(Action):
    happened = "opened anew"
    _stale = None

    def key(self):
        return "logs " + ", ".join(self.params["paths"])

    def ready(self):
        if os.geteuid() != 0:
            raise Failed("only root sees who writes which log; add become: true", cause="permission")
        self._stale = self._look()
        if not self._stale:
            return "nobody writes a file that was rotated from it"
        self._ways = {}
        for path, holders in sorted(self._stale.items()):
            way = _log_writers.way(self.host, path, holders, self.params["signals"])
            if not way.script:
                unit = way.unit or _holders.unit(holders[0].pid)
                raise Failed(
                    "%s still writes what was %s, and cannot be told to open it anew: %s"
                    % (
                        _holders.told(holders),
                        path,
                        "restart " + unit if unit else "end it, or let its owner do so",
                    )
                )
            self._ways[path] = way
        return None

    def state(self):
        return {"held": {path: sorted({each.target for each in held}) for path, held in self._stale.items()}}

    def do(self):
        for script in sorted({"\n".join(way.script) for way in self._ways.values()}):
            self.host.run(script, shell=True, timeout=self.params["wait"] + 20)
        return {
            "reopened": [
                {
                    "path": path,
                    "writers": sorted({_holders.process(holder.pid) for holder in self._stale[path]}),
                    "how": self._ways[path].why,
                }
                for path in sorted(self._stale)
            ]
        }

    def proof(self, before):
        until = time.monotonic() + self.params["wait"]
        left = self._look()
        while left and time.monotonic() < until:
            time.sleep(_PAUSE)
            left = self._look()
        if left:
            _, holders = sorted(left.items())[0]
            raise Failed("%s was told, and still writes %s" % (_holders.told(holders), holders[0].target))
        return {"held": {}}

    def _look(self):
        found = _log_writers.stale(self.host, self.params["paths"])
        return {path: holders for path, holders in found.items() if holders}
