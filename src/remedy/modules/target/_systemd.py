"""systemd as service sees it: what a unit is now, and the systemctl calls that change it."""

import os
from difflib import get_close_matches

from remedy.agent.kinds import Failed

PROPERTIES = (
    "Id Description LoadState LoadError ActiveState SubState UnitFileState FragmentPath Type RemainAfterExit"
    " Result MainPID ExecMainPID ExecMainStatus ExecMainCode InvocationID NRestarts Restart CanReload"
    " ReloadResult NeedDaemonReload Job ActiveEnterTimestamp ActiveEnterTimestampMonotonic"
    " InactiveExitTimestampMonotonic InactiveEnterTimestamp StatusText MemoryCurrent TasksCurrent"
    " TriggeredBy ConditionResult"
).split()

RUNNING = ("active", "reloading", "refreshing", "activating")

# `enable` has nothing to do for these, as Ansible sees it too (is-enabled answers them with success).
ON = ("enabled", "static", "generated", "transient", "linked", "linked-runtime")
FIXED = ("static", "generated", "transient")


def booted():
    """Say whether systemd runs this host, as sd_booted(3) does."""
    return os.path.isdir("/run/systemd/system")


class Units(object):
    """The units of one manager (scope: system, user or global)."""

    def __init__(self, host, scope="system", no_block=False, force=False):
        self.host = host
        self.scope = scope
        self.options = ["--no-ask-password", "--no-pager"]
        self.options += [] if scope == "system" else ["--" + scope]
        self.jobs = ["--no-block"] if no_block else []
        self.force = ["--force"] if force else []

    def call(self, *words, **how):
        """Run systemctl; return (rc, stdout, stderr) as texts."""
        environment = dict(self.host.environment or {})
        if self.scope == "user" and "XDG_RUNTIME_DIR" not in os.environ:
            environment["XDG_RUNTIME_DIR"] = "/run/user/%d" % os.geteuid()
        argv = ["systemctl"] + self.options + list(words)
        done = self.host.run(argv, ok=how.get("ok"), environment=environment, c_locale=True)
        return done.rc, _text(done.stdout), _text(done.stderr)

    def show(self, name):
        """Return a unit's properties; raise Failed when the manager does not answer."""
        rc, out, err = self.call("show", "--property=" + ",".join(PROPERTIES), "--", name)
        found = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        if "LoadState" not in found:
            raise Failed("systemd does not say what it knows of %s: %s" % (name, err or "rc %d" % rc), rc=rc)
        if found["LoadState"] in ("error", "bad-setting"):
            reason = found.get("LoadError") or "systemd-analyze verify %s says more" % name
            raise Failed("systemd cannot load %s: %s" % (name, reason))
        return found

    def enabled(self, name):
        """Return the word of `systemctl is-enabled`: enabled, disabled, static, masked, alias..."""
        _, out, _ = self.call("is-enabled", "--", name)
        return out.split()[-1] if out else "not-found"

    def change(self, verb, name):
        """Run one verb on a unit; raise Failed with what the unit and its log say."""
        options = self.jobs if verb in ("start", "stop", "restart", "reload") else self.force
        runtime = ["--runtime"] if verb == "enable-runtime" else []
        rc, _, err = self.call(verb.split("-")[0], *(runtime + options + ["--", name]))
        if rc:
            cause = "permission" if "authentication required" in err or "Access denied" in err else None
            raise Failed(
                "cannot %s %s: %s" % (verb, name, self._why(name, err)), cause=cause, rc=rc, stderr=err
            )

    def manager(self, verb):
        """Run daemon-reload or daemon-reexec."""
        rc, _, err = self.call(verb)
        if rc:
            raise Failed("systemctl %s failed: %s" % (verb, err or "rc %d" % rc), rc=rc, stderr=err)

    def missing(self, name):
        """Return (text, nearest unit or None) about a unit that does not exist."""
        _, out, _ = self.call("list-unit-files", "--no-legend", "--full")
        names = [line.split()[0] for line in out.splitlines() if line.split()]
        _, out, _ = self.call("list-units", "--all", "--no-legend", "--full", "--plain")
        names += [line.split()[0] for line in out.splitlines() if line.split()]
        wanted = name if "." in name else name + ".service"
        close = get_close_matches(wanted, sorted(set(names)), n=1, cutoff=0.75)
        return "there is no unit %s on this host" % wanted, close[0] if close else None

    def _why(self, name, err):
        first = err.splitlines()[0] if err else "no reason given"
        if self.scope != "system":
            return first
        log = self.host.run(
            ["journalctl", "--unit=" + name, "--lines=5", "--output=cat", "--no-pager", "--quiet"],
            ok=None,
            timeout=5,
            c_locale=True,
        )
        lines = _text(log.stdout).strip() if log.rc == 0 else ""
        hint = ""
        if "too quickly" in err + lines:
            hint = "; `systemctl reset-failed %s` lifts the start limit" % name
        elif "already exists" in err:
            hint = "; a unit whose own file is in /etc/systemd/system cannot be masked: stop and disable it"
        return first + hint + ("\nits last log lines:\n" + lines if lines else "")


def _text(output):
    return output.decode("utf-8", "surrogateescape").strip()
