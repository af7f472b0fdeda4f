"""Let a service fail at each start, so that systemd starts it again and again.

Of a service that is there it is a drop-in below /run, 50-remedy-drill.conf: a command ahead of its start fails,
and systemd tries again after `pause`, without an end. Without `name` it is a unit of its own, remedy-drill-crash.
`absent` starts the service again if it ran before. Returns `unit`, `active` (systemd's word) and `restarts`.
"""

import os

from remedy.agent.kinds import Failed, Param
from remedy.agent.paths import native
from remedy.modules.target._systemd import RUNNING
from remedy.modules.target.faults._dropin import FOLDER, DropIn
from remedy.modules.target.faults._fault import MARK, STATE, Fault
from remedy.modules.target.faults._until import until

OWN = MARK + "-crash.service"

PARAMS = (
    Param("name", default=OWN, aliases=("unit", "service"), help="The unit; without it one of its own."),
    Param("pause", "duration", default=1, help="How long systemd waits before it starts it again."),
    STATE,
)

EXAMPLES = """
- fault_crash_loop: {}
- fault_crash_loop: {name: nginx, pause: 5s}
- fault_crash_loop: {name: nginx, state: absent}
"""

_UNIT = """# %s: a unit of its own
[Unit]
Description=A service that a drill lets crash
[Service]
ExecStart=/bin/sleep infinity
"""
_RAN = "it ran"


def check_params(params):
    if isinstance(params["pause"], (int, float)) and params["pause"] <= 0:
        return "pause must be more than 0"
    return None


def kind(params):
    return CrashLoop


class CrashLoop(Fault):
    _dropin = None

    @property
    def dropin(self):
        if self._dropin is None:
            self._dropin = DropIn(self.host, self.params["name"])
        return self._dropin

    @property
    def own(self):
        return self.params["name"] in (OWN, OWN.rpartition(".")[0])

    def key(self):
        return "fault:crash:" + (OWN if self.own else self.dropin.unit)

    def found(self):
        if self.own and not os.path.exists(_path()):
            return None
        if self.dropin.note() is None:
            return False if self.own else None
        return self._crashes()

    def inject(self):
        if self.own:
            with open(native(_path()), "w", encoding="utf-8") as file:
                file.write(_UNIT % MARK)
            self.dropin.units.manager("daemon-reload")
        status = self.dropin.status()
        unit = self.dropin.unit
        if status.get("Type") == "oneshot":
            raise Failed("%s runs once and ends (Type=oneshot): systemd does not start it again" % unit)
        note = self.dropin.note() or (_RAN if status["ActiveState"] in RUNNING else "it did not run")
        self.dropin.write(
            note,
            "[Unit]",
            "StartLimitIntervalSec=0",
            "[Service]",
            "ExecStartPre=/bin/sh -c 'echo a drill lets this start fail; exit 1'",
            "Restart=always",
            "RestartSec=%dms" % (self.params["pause"] * 1000),
        )
        self.dropin.units.call("restart", "--no-block", "--", unit)
        until(self._crashes, "%s is to crash" % unit, 90.0)  # it may take its time to stop

    def lift(self):
        note, unit = self.dropin.note(), self.dropin.unit
        if self.own or note != _RAN:
            self.dropin.units.call("stop", "--", unit)
        self.dropin.remove()
        if self.own:
            os.unlink(native(_path()))
            self.dropin.units.manager("daemon-reload")
        self.dropin.units.call("reset-failed", "--", unit)
        if note == _RAN and not self.own:
            self.dropin.units.change("restart", unit)

    def returns(self, have, now):
        if self.own and not os.path.exists(_path()):
            return {"unit": OWN, "active": "inactive", "restarts": 0}
        status = self.dropin.status()
        restarts = int(status.get("NRestarts") or 0)
        return {"unit": self.dropin.unit, "active": status["ActiveState"], "restarts": restarts}

    def _crashes(self):
        status = self.dropin.status()
        failed = status["Result"] != "success" or status.get("NRestarts") not in (None, "", "0")
        return failed and status["ActiveState"] in ("activating", "deactivating", "failed")


def _path():
    return os.path.join(FOLDER, OWN)
