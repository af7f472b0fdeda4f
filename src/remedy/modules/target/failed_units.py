"""Tell which units of systemd have failed, and which are started again and again.

Returns `units` (unit, description, state: failed or restarting, result, exit: the last exit status, since,
restarts, log: its last lines), `more`: how many further ones there are, and `available`: whether systemd runs
this host.
"""

from remedy.agent.kinds import Param, Probe
from remedy.modules.target._systemd import Units, booted

PARAMS = (
    Param(
        "excludes",
        "list",
        elements="str",
        help="Units to leave out, such as those that fail whenever they run.",
    ),
    Param("lines", "int", default=5, help="How many last lines of each are told."),
    Param(
        "restarts",
        "int",
        default=3,
        help="From how many restarts on a unit that starts is one that restarts.",
    ),
)

EXAMPLES = """
- failed_units: {excludes: [apt-daily.service]}
  register: failed
"""

_MANY = 20
_SHOWN = "Id Description ActiveState SubState Result ExecMainStatus NRestarts StateChangeTimestamp".split()


def kind(params):
    return Failing


class Failing(Probe):
    def read(self):
        if not booted():
            return {"units": [], "more": 0, "available": False}
        units = Units(self.host)
        listing = "list-units --state=failed,auto-restart --all --plain --no-legend --full".split()
        _, out, _ = units.call(*listing, ok=(0,))
        names = [line.split()[0] for line in out.splitlines() if line.split()]
        names = [name for name in names if name not in (self.params["excludes"] or ())]
        found = [each for each in (self._about(units, name) for name in names[:_MANY]) if each]
        return {"units": found, "more": max(0, len(names) - _MANY), "available": True}

    def _about(self, units, name):
        _, out, _ = units.call("show", "--property=" + ",".join(_SHOWN), "--", name, ok=(0,))
        about = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        restarts = int(about.get("NRestarts") or 0)
        failed = about.get("ActiveState") == "failed"
        if not failed and (about.get("SubState") != "auto-restart" or restarts < self.params["restarts"]):
            return None  # it has recovered meanwhile, or is at its first tries
        exit = about.get("ExecMainStatus") or ""
        return {
            "unit": name,
            "description": about.get("Description", ""),
            "state": "failed" if failed else "restarting",
            "result": about.get("Result", ""),
            "exit": int(exit) if exit.isdigit() else None,
            "since": about.get("StateChangeTimestamp", ""),
            "restarts": restarts,
            "log": self._log(name),
        }

    def _log(self, name):
        lines = self.params["lines"]
        if lines < 1 or not self.host.which("journalctl"):
            return []
        argv = [
            "journalctl",
            "--unit=" + name,
            "--lines=%d" % lines,
            "--output=short-iso",
            "--no-pager",
            "--quiet",
        ]
        done = self.host.run(argv, ok=None, timeout=10, c_locale=True)
        return done.stdout.decode("utf-8", "surrogateescape")[-8192:].splitlines()
