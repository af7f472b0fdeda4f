"""Stop, kill or hang a service of systemd that runs.

`stop` ends it properly. `kill` ends all its processes with SIGKILL, and it is not started again by itself. `hang`
stops all its processes with SIGSTOP: systemd still takes it for active, and nobody gets an answer. A drop-in
below /run, 50-remedy-drill.conf, tells that it was us. `absent` lets it run again; a service that does not run
is not broken by this. Returns `unit`, `how` and `active` (systemd's word).
"""

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.target._systemd import RUNNING
from remedy.modules.target.faults._dropin import DropIn
from remedy.modules.target.faults._fault import STATE, Fault
from remedy.modules.target.faults._until import until

PARAMS = (
    Param(
        "name",
        default=REQUIRED,
        aliases=("unit", "service"),
        help="The unit; .service is meant without a suffix.",
    ),
    Param("how", default="stop", choices=("stop", "kill", "hang"), help="What happens to it."),
    STATE,
)

EXAMPLES = """
- fault_service: {name: nginx}
- fault_service: {name: mariadb, how: kill}
- fault_service: {name: nginx, how: hang}
- fault_service: {name: nginx, state: absent}
"""

_STOPPED = ("T", "t")


def kind(params):
    return Service


class Service(Fault):
    _dropin = None

    @property
    def dropin(self):
        if self._dropin is None:
            self._dropin = DropIn(self.host, self.params["name"])
        return self._dropin

    def key(self):
        return "fault:service:" + self.dropin.unit

    def found(self):
        note = self.dropin.note()
        if note is None:
            return None
        return note == self.params["how"] and self._broken(note)

    def inject(self):
        if self.dropin.note() is not None:
            self.lift()
        status = self.dropin.status()
        unit, how = self.dropin.unit, self.params["how"]
        if status["ActiveState"] not in RUNNING:
            raise Failed("%s is %s: only what runs can be broken" % (unit, status["ActiveState"]))
        if how == "hang" and not self._processes():
            raise Failed("%s has no process that could hang" % unit)
        self.dropin.write(how, *(("[Service]", "Restart=no") if how == "kill" else ()))
        if how == "stop":
            self.dropin.units.change("stop", unit)
        else:
            self._signal("KILL" if how == "kill" else "STOP")
        until(lambda: self._broken(how), "%s is to %s" % (unit, how))

    def lift(self):
        how, unit = self.dropin.note(), self.dropin.unit
        if how == "hang":
            self._signal("CONT")
            until(lambda: not self._broken(how), "%s is to go on" % unit)
        if self.dropin.status()["ActiveState"] not in RUNNING:
            self.dropin.units.call("reset-failed", "--", unit)
            self.dropin.units.change("start", unit)
        self.dropin.remove()  # last: where it does not start, the next try knows that it was us

    def returns(self, have, now):
        status = self.dropin.status()
        return {"unit": self.dropin.unit, "how": self.params["how"], "active": status["ActiveState"]}

    def _broken(self, how):
        if how == "hang":
            states = [_state(pid) for pid in self._processes()]
            return bool(states) and all(state in _STOPPED for state in states)
        return self.dropin.status()["ActiveState"] in ("inactive", "failed")

    def _signal(self, name):
        unit = self.dropin.unit
        rc, _, err = self.dropin.units.call("kill", "--signal=SIG" + name, "--", unit)
        if rc and name != "CONT":
            raise Failed("cannot send SIG%s to %s: %s" % (name, unit, err or "rc %d" % rc))

    def _processes(self):
        """Return the ids of the processes of the unit, as its cgroup lists them, or else the main one."""
        status = self.dropin.status()
        _, group, _ = self.dropin.units.call("show", "--property=ControlGroup", "--", self.dropin.unit)
        group = group.partition("=")[2]
        for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"):
            try:
                with open("%s%s/cgroup.procs" % (top, group), encoding="ascii") as file:
                    found = [int(line) for line in file.read().split()]
            except OSError:
                continue
            if group and found:
                return found
        return [int(status["MainPID"])] if status.get("MainPID", "0") != "0" else []


def _state(pid):
    """Return the letter of a process's state, "" where it is gone."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode("ascii")
    except OSError:
        return ""
