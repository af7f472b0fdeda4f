"""Projects whose one host is this machine, and the daemons that serve them: on one machine, or each as in its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Diagnose takes no lock: this machine may be another test's host at the same time.
PLAY = """\
- hosts: all
  gather_facts: false
  runbook: {{severity: P3}}
  diagnose:
    - shell: date +%s >> {path}; sleep {seconds}
      args: {{reads: true}}
"""
SCHEDULE = """\
playbook: {playbook}
inventory: hosts
when: every 1 minute
"""
REMEDY = (sys.executable, "-m", "remedy.cli")


class Site:
    """A copy of the project for each machine, all of the same name; `url` is where the history is, if not in files."""

    def __init__(self, folder: Path, url: str | None = None, machines: tuple[str, ...] = ("here",)) -> None:
        self.folder = folder
        self.marks = folder / "marks"
        self.daemons: list[subprocess.Popen[bytes]] = []
        self._url = url
        self._machines = machines
        for machine in machines:
            for name in ("playbooks", "inventory", "schedules"):
                (folder / machine / "ops" / name).mkdir(parents=True)
        self.write("inventory/hosts.yml", "all: {hosts: {box: {ansible_connection: local}}}\n")
        self.write("playbooks/quick.yml", PLAY.format(path=self.marks, seconds=0))
        self.write(
            "playbooks/slow.yml",
            PLAY.format(path=f"{self.marks}; echo begun >> {self.marks}.slow", seconds=8),
        )

    def root(self, machine: str = "") -> Path:
        return self.folder / (machine or self._machines[0]) / "ops"

    def environment(self, machine: str = "") -> dict[str, str]:
        given = {"REMEDY_STATE": str(self.folder / (machine or self._machines[0]) / "state")}
        return {**os.environ, **given, **({"REMEDY_HISTORY_URL": self._url} if self._url else {})}

    def write(self, path: str, text: str) -> None:
        for machine in self._machines:
            (self.root(machine) / path).write_text(text)

    def delete(self, path: str) -> None:
        for machine in self._machines:
            (self.root(machine) / path).unlink()

    def start(self, *words: str, machine: str = "", apart: bool = False) -> subprocess.Popen[bytes]:
        """Start a daemon. `apart`: as in a container: the first process of its own, nobody outside sees them."""
        number = len(self.daemons)
        argv = [*REMEDY, "scheduler", "--lease", "3", *words]
        if apart:
            unshare = shutil.which("unshare")
            assert unshare is not None
            argv = [unshare, "--pid", "--fork", "--mount-proc", "--kill-child", *argv]
        with (self.folder / f"daemon{number}.log").open("wb") as log:
            daemon = subprocess.Popen(
                argv, cwd=self.root(machine), env=self.environment(machine), stdout=log, stderr=log
            )
        self.daemons.append(daemon)
        return daemon

    def end(self) -> None:
        """Kill all that is still at work."""
        for daemon in self.daemons:
            if daemon.poll() is None:
                daemon.kill()
            daemon.wait(30)

    def said(self, number: int) -> str:
        return (self.folder / f"daemon{number}.log").read_text()

    def past(self, name: str, machine: str = "") -> list[dict[str, Any]]:
        done = self.run("schedule", "show", name, "-n", "50", "--format", "json", machine=machine)
        return list(json.loads(done.stdout)["last"])

    def run(self, *words: str, machine: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*REMEDY, *words],
            cwd=self.root(machine),
            env=self.environment(machine),
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )

    def done(self, name: str, machine: str = "") -> list[dict[str, Any]]:
        return [entry for entry in self.past(name, machine) if entry["state"] == "done"]

    def until(self, what: str, true: Callable[[], Any], seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := true()):
            logs = "\n".join(f"--- {number}:\n{self.said(number)}" for number in range(len(self.daemons)))
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s\n{logs}"
            time.sleep(0.5)
        return found

    def lines(self, ending: str = "") -> list[str]:
        path = Path(f"{self.marks}{ending}")
        return path.read_text().split() if path.exists() else []


def inside(daemon: subprocess.Popen[bytes]) -> int:
    """Return the process number of a daemon that was started apart."""
    (child,) = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
    return int(child)


def tell(daemon: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> None:
    """Send a signal to a daemon that was started apart."""
    os.kill(inside(daemon), number)
