"""Start, stop, restart, reload, enable or mask a unit of systemd.

`started`, `stopped`, `enabled` and `masked` are states: nothing happens where they hold, and they can be
rolled back. `restarted` and `reloaded` happen each time; a restart counts only when the unit has a new
invocation id. A unit that is not running is started by both. `daemon_reload` reads unit files again where
systemd says that they changed. Where no systemd runs, `state` works through the `service` program,
`enabled` and `masked` are refused. Returns `name`, `state`, `enabled` and `status` (the unit's main
properties).
"""

import os

from remedy.agent.kinds import Action, Failed, Param, Resource, Unknown
from remedy.modules.target._systemd import FIXED, ON, RUNNING, Units, booted
from remedy.modules.target._sysv import Scripts

ALIASES = ("systemd", "systemd_service")

PARAMS = (
    Param("name", aliases=("service", "unit"), help="The unit; .service is meant where no suffix stands."),
    Param("state", choices=("started", "stopped", "restarted", "reloaded"), help="What it should do."),
    Param("enabled", "bool", help="Whether it starts at boot."),
    Param("masked", "bool", help="Whether it cannot be started at all."),
    Param("daemon_reload", "bool", default=False, aliases=("daemon-reload",), help="Read unit files again."),
    Param("daemon_reexec", "bool", default=False, aliases=("daemon-reexec",), help="Execute systemd again."),
    Param("scope", default="system", choices=("system", "user", "global"), help="Whose manager."),
    Param("no_block", "bool", default=False, help="Do not wait until the job is done."),
    Param("force", "bool", default=False, help="Replace links of other units."),
    Param("pattern", help="Accepted for Ansible's sake: systemd knows what runs."),
    Param("sleep", "int", help="Accepted for Ansible's sake: a restart is one job."),
    Param("arguments", default="", aliases=("args",), help="Accepted for Ansible's sake, for init scripts."),
    Param("runlevel", default="default", help="Accepted for Ansible's sake."),
    Param("use", default="auto", help="Accepted for Ansible's sake: remedy sees itself what runs the host."),
)

EXAMPLES = """
- service: {name: nginx, state: started, enabled: true}
- systemd: {name: app, state: restarted, daemon_reload: true}
"""


def check_params(params):
    wants = [name for name in ("state", "enabled", "masked") if params[name] is not None]
    if wants and not params["name"]:
        return "'%s' needs a name" % wants[0]
    if not wants and not params["daemon_reload"] and not params["daemon_reexec"]:
        return "give a state, enabled, masked, daemon_reload or daemon_reexec"
    if params["scope"] == "global" and params["state"]:
        return "scope global only enables and masks: it is no running manager"
    return None


def kind(params):
    if params["state"] == "restarted":
        return Restart
    if params["state"] == "reloaded":
        return Reload
    if params["state"] is None and params["enabled"] is None and params["masked"] is None:
        return Manager
    return Stopped if params["state"] == "stopped" else Unit


class _Named(object):
    """What the states and the acts share: the unit's canonical name and properties."""

    deadline = 300
    _status = None

    def units(self):
        if not booted() and self.params["scope"] == "system":
            for name in ("enabled", "masked"):
                if self.params[name] is not None:
                    raise Failed("no systemd runs this host: '%s' needs one; only state works here" % name)
            return Scripts(self.host)
        return Units(self.host, self.params["scope"], self.params["no_block"], self.params["force"])

    def key(self):
        return "unit:" + self._look()["Id"]

    def _look(self):
        if self._status is None:
            name = self.params["name"]
            self._status = self.units().show(name)
            if self._status["LoadState"] == "not-found":
                self._absent(name)
        return self._status

    def _absent(self, name):
        if self.params["state"] is None and self.params["enabled"] is None:
            return  # a unit can be masked before it is installed
        text, close = self.units().missing(name)
        if self.host.check and self._predicted(name):
            self._status.update(ActiveState="inactive")
            return
        if close is None and self.host.check:
            raise Unknown("the unit %s does not exist (yet)" % name)
        raise Failed(
            text + ("; did you mean %s?" % close if close else "; install what brings it, or correct name")
        )

    def _predicted(self, name):
        file = name if "." in name else name + ".service"
        folders = (
            "/etc/systemd/system",
            "/run/systemd/system",
            "/usr/local/lib/systemd/system",
            "/lib/systemd/system",
        )
        return any(self.host.files.lstat(os.path.join(folder, file)) for folder in folders)

    def _values(self):
        status = self._look()
        found = {"name": status["Id"], "status": status}
        if self.params["state"]:
            found["state"] = "started" if status["ActiveState"] in RUNNING else "stopped"
        return found


class Unit(_Named, Resource):
    _queued = None
    _ran = False
    _enabled = False

    def read(self):
        self._status = None
        status = self._look()
        state = {}
        if self.params["masked"] is not None:
            state["masked"] = status["LoadState"] == "masked" or status.get("UnitFileState", "").startswith(
                "masked"
            )
        if self.params["enabled"] is not None:
            state["enabled"] = self._boot_word(status)
        if self.params["state"] is not None:
            state["active"] = self._queued or self._active(status)
        if self.params["daemon_reload"]:
            state["reload_needed"] = status.get("NeedDaemonReload") == "yes"
        return state

    def wanted(self, have):
        want = dict(have)
        if self.params["masked"] is not None:
            want["masked"] = self.params["masked"]
        if self.params["enabled"] is not None:
            want["enabled"] = self._wanted_word(have["enabled"])
        if self.params["state"] is not None:
            want["active"] = self.params["state"]
        if self.params["daemon_reload"]:
            want["reload_needed"] = False
        return want

    def write(self, have, want):
        units = self.units()
        name = self._look()["Id"]
        if have.get("masked") and not want["masked"]:
            units.change("unmask", name)
        if self.params["daemon_reexec"]:
            units.manager("daemon-reexec")
        if have.get("reload_needed") and not want["reload_needed"]:
            units.manager("daemon-reload")
        if have.get("enabled") != want.get("enabled"):
            units.change(_boot_verb(want["enabled"]), name)
            self._enabled = want["enabled"] == "enabled"
        if have.get("active") != want.get("active"):
            units.change("start" if want["active"] == "started" else "stop", name)
            self._queued = want["active"] if self.params["no_block"] else None
            self._ran = want["active"] == "started"
        if want.get("masked") and not have["masked"]:
            units.change("mask", name)

    def keep(self, have):
        # Unit files that were not read in yet are nothing to go back to.
        return {"state": dict(have, reload_needed=False) if "reload_needed" in have else have}

    def why(self, have):
        words = [have.get("active"), have.get("enabled"), "masked" if have.get("masked") else None]
        return (
            "already " + " and ".join(word for word in words if word) if any(words) else "already as wanted"
        )

    def returns(self, have, now):
        found = self._values()
        if "enabled" in now:
            found["enabled"] = now["enabled"] in ON
        if "active" in now:
            found["state"] = now["active"]
        return found

    def _active(self, status):
        if status["SubState"] == "auto-restart":
            return "stopped"  # it crashed, and waits for its next try
        once = status.get("Type") == "oneshot" and status.get("RemainAfterExit") != "yes"
        if once and self._ran and status.get("Result") == "success":
            return "started"  # it ran to its end, which is all that it does
        if status["ActiveState"] == "deactivating":
            return "stopping"
        return "started" if status["ActiveState"] in RUNNING else "stopped"

    def _boot_word(self, status):
        if status["LoadState"] == "not-found":
            return "disabled"
        word = self.units().enabled(status["Id"])
        return "enabled" if word == "indirect" and self._enabled else word

    def _wanted_word(self, word):
        if self.params["enabled"]:
            return word if word in ON else "enabled"
        if word in FIXED:
            self.host.warn(
                "%s is %s: it cannot be disabled; masked can keep it down" % (self.params["name"], word)
            )
            return word
        return word if word in ("disabled", "masked", "masked-runtime", "not-found") else "disabled"


def _boot_verb(word):
    if word == "enabled-runtime":
        return "enable-runtime"
    return "enable" if word in ON or word in ("alias", "indirect") else "disable"


class Stopped(Unit):
    disruptive = True


# systemd before 232 has no invocation id; init scripts have none of these.
_INVOCATION = ("InvocationID", "ExecMainPID", "InactiveExitTimestampMonotonic")


class _Job(_Named, Action):
    verb = "restart"

    def ready(self):
        if self._look()["LoadState"] == "masked" and self.params["masked"] is not False:
            raise Failed("%s is masked; give masked: false to let it run" % self._look()["Id"])
        if self._look()["ActiveState"] not in RUNNING:
            self.happened = "started"

    def state(self):
        self._status = None
        return self._mark()

    def do(self):
        units = self.units()
        name = self._look()["Id"]
        if self.params["masked"] is False and self._look()["LoadState"] == "masked":
            units.change("unmask", name)
        for verb in ("daemon-reexec", "daemon-reload"):
            if self.params[verb.replace("-", "_")]:
                units.manager(verb)
        if self.params["enabled"] is not None and (units.enabled(name) in ON) != self.params["enabled"]:
            units.change("enable" if self.params["enabled"] else "disable", name)
        running = self._look()["ActiveState"] in RUNNING
        units.change(self.verb if running else "start", name)
        if self.params["masked"]:
            units.change("mask", name)
        self._status = None
        found = self._values()
        found["state"] = "started"
        if self.params["enabled"] is not None:
            found["enabled"] = self.params["enabled"]
        return found

    def proof(self, before):
        self._status = None
        status = self._look()
        after = self._mark()
        once = status.get("Type") == "oneshot" and status.get("Result") == "success"
        if self.params["no_block"]:
            return after
        if not once and (status["ActiveState"] not in RUNNING or status["SubState"] == "auto-restart"):
            raise Failed(
                "%s did not stay up: it is %s (%s), result %s"
                % (status["Id"], status["ActiveState"], status["SubState"], status.get("Result", "unknown"))
            )
        self._happened(before, after, status)
        return after

    def _happened(self, before, after, status):
        # A oneshot unit that ended is forgotten by systemd, marks and all: systemctl's success is its proof.
        if before == after and any(after[name] not in ("", "0") for name in _INVOCATION):
            raise Failed("systemd reports success, but %s was not restarted: same invocation" % status["Id"])

    def _mark(self):
        status = self._look()
        return dict({name: status.get(name, "") for name in _INVOCATION}, ActiveState=status["ActiveState"])


class Restart(_Job):
    disruptive = True
    happened = "restarted"


class Reload(_Job):
    verb = "reload"
    happened = "reloaded"

    def ready(self):
        _Job.ready(self)
        status = self._look()
        if status["ActiveState"] in RUNNING and status.get("CanReload") == "no":
            raise Failed("%s cannot reload: its unit has no ExecReload; use state: restarted" % status["Id"])

    def _happened(self, before, after, status):
        if status.get("ReloadResult", "success") != "success":
            raise Failed("%s did not reload: %s" % (status["Id"], status["ReloadResult"]))


class Manager(Action):
    """daemon_reload and daemon_reexec alone."""

    happened = "reloaded"

    def key(self):
        return "systemd:" + self.params["scope"]

    def ready(self):
        if not booted():
            raise Failed("no systemd runs this host: there is nothing to reload")

    def do(self):
        units = Units(self.host, self.params["scope"])
        for verb in ("daemon-reexec", "daemon-reload"):
            if self.params[verb.replace("-", "_")]:
                units.manager(verb)
        return {"name": self.params["name"], "status": {}}

    def proof(self, before):
        return {"answers": True}
