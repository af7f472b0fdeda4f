"""Processes that stay when the run has ended: transient units of systemd named remedy-drill-NAME.

Where no systemd runs they are orphans in a session of their own, found again by their environment. They do not
carry the mark by which an agent ends what its steps have left behind (agent/family.py): they are meant to stay.
"""

import os
import signal
import sys
import time

from remedy.agent import family, process
from remedy.agent.kinds import Failed
from remedy.modules.target._systemd import Units, booted
from remedy.modules.target.faults._fault import MARK, Fault

_VARIABLE = "REMEDY_DRILL"
_SECONDS = 30.0

READY = """
import os, signal, sys
def ready():
    where = os.environ.get("NOTIFY_SOCKET")
    if where is None:
        os.write(1, b"ready")
        os.dup2(0, 1)
        return
    import socket
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.connect(chr(0) + where[1:] if where.startswith("@") else where)
    told.send(b"READY=1")
    told.close()
def stay():
    ready()
    while True:
        signal.pause()
"""
"""What every such program begins with: `ready()` says that the fault is there, `stay()` waits for the end, too."""


class Daemon(object):
    """One such process. `name` without the prefix."""

    def __init__(self, host, name):
        self.unit = "%s-%s.service" % (MARK, name)
        self._host = host
        self._units = Units(host) if booted() else None

    def pid(self):
        """Return the id of the process, None where it does not run."""
        if self._units is None:
            return next(iter(self._orphans()), None)
        status = self._units.show(self.unit)
        running = status["ActiveState"] in ("active", "activating", "reloading")
        return int(status.get("MainPID") or 0) or None if running else None

    def start(self, program, *words):
        """Run a program (Python text after READY) until it is ready; raises Failed with its last words."""
        if self.pid() is not None:
            self.stop()
        argv = [sys.executable, "-I", "-B", "-c", READY + program] + [str(word) for word in words]
        if self._units is None:
            self._orphan(argv)
            return
        self._units.call("reset-failed", "--", self.unit)
        run = ["systemd-run", "--quiet", "--unit=" + self.unit, "--property=Type=notify"]
        run += ["--description=A fault of a drill", "--property=TimeoutStartSec=%d" % _SECONDS]
        done = self._host.run(run + ["--"] + argv, ok=None, c_locale=True, timeout=_SECONDS + 5)
        if done.rc:
            said = done.stderr.decode("utf-8", "replace").strip()
            words = self._last_words()
            self.stop()
            raise Failed("%s did not start: %s" % (self.unit, words or said))

    def stop(self):
        """End the process, and leave nothing of its unit."""
        if self._units is None:
            self._end_orphans()
            return
        self._units.call("stop", "--", self.unit)
        self._units.call("reset-failed", "--", self.unit)
        if self.pid() is not None:
            raise Failed("%s does not end: systemctl status %s says more" % (self.unit, self.unit))

    def _last_words(self):
        log = self._host.run(
            ["journalctl", "--unit=" + self.unit, "--lines=5", "--output=cat", "--no-pager", "--quiet"],
            ok=None,
            timeout=5,
            c_locale=True,
        )
        lines = [line for line in log.stdout.decode("utf-8", "replace").splitlines() if "Error" in line]
        return lines[-1].strip() if lines else ""

    def _orphan(self, argv):
        """Start it by a shell that ends at once, so that nobody is its parent."""
        known = {name: value for name, value in os.environ.items() if name != family.MARK}
        known[_VARIABLE] = self.unit
        null = os.open(os.devnull, os.O_RDWR)
        told, tell = os.pipe()
        try:
            shell = process.spawn(["/bin/sh", "-c", '"$0" "$@" &'] + argv, (null, tell, null), known, "/")
            os.waitpid(shell, 0)
        finally:
            os.close(tell)
            os.close(null)
        try:
            if os.read(told, 16) != b"ready":
                raise Failed("%s did not start" % self.unit)
        finally:
            os.close(told)

    def _orphans(self):
        wanted = ("%s=%s" % (_VARIABLE, self.unit)).encode("ascii")
        for name in os.listdir("/proc"):
            try:
                with open("/proc/%s/environ" % name, "rb") as file:
                    if name.isdigit() and wanted in file.read().split(b"\0"):
                        yield int(name)
            except OSError:
                continue  # no process, or it has ended

    def _end_orphans(self):
        until = time.monotonic() + _SECONDS
        left = list(self._orphans())
        while left:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            if time.monotonic() > until:
                raise Failed("%s does not end: process %d" % (self.unit, left[0]))
            time.sleep(0.02)
            left = list(self._orphans())


class Running(Fault):
    """A fault that lasts as long as a process of its own. A subclass MUST also answer `label`, the process's name."""

    _daemon = None

    def label(self):
        """Return what the process is called, one name a fault."""
        raise NotImplementedError

    @property
    def daemon(self):
        if self._daemon is None:
            self._daemon = Daemon(self.host, self.label())
        return self._daemon
