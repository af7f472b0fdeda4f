"""A project with a small runbook and its drill, and `remedy drill` as a program in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from remedy.lab import Host, Lab
from tests.acceptance.operator import REMEDY

RUNBOOK = """
- name: A flag is up
  hosts: all
  become: true
  runbook: {severity: P2}
  diagnose:
    - stat: {path: /run/flag}
      register: flag
    - finding: {id: flag, severity: P2, title: the flag is up}
      when: flag.stat.exists
  tasks:
    - name: Take it down
      file: {path: /run/flag, state: absent}
  verify:
    - stat: {path: /run/flag}
      register: flag
      failed_when: flag.stat.exists
"""

DRILL = """
title: Somebody puts the flag up
runbook: flag
hosts:
  h1: {role: base}
limits: {detect: 5s}
method:
  - name: Put it up
    shell: echo up > /run/flag; mkdir -p /run/kept; echo precious > /run/kept/book
expect: [flag]
collateral:
  - folder: /run/kept
  - {file: /etc/hostname, since: steady state}
restore:
  - file: {path: /run/flag, state: absent}
  - file: {path: /run/kept, state: absent}
"""


@dataclass(frozen=True)
class Drilled:
    """How a `remedy drill` ended; `report` is its JSON document, {} where it printed none."""

    code: int
    out: str
    err: str
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def only(self) -> dict[str, Any]:
        """The one drill of the report."""
        (one,) = self.report["drills"]
        return dict(one)

    def deviations(self) -> list[tuple[str, str]]:
        """Return (phase, what) of the one drill."""
        return [(each["phase"], each["what"]) for each in self.only["deviations"]]

    def outcomes(self) -> dict[str, str]:
        """Return what became of the phases of the one drill."""
        return {phase["name"]: phase["outcome"] for phase in self.only["phases"]}


class Rehearser:
    """A folder with drills/ and playbooks/; `static` hosts stand in its inventory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.write("playbooks/flag.yml", RUNBOOK)
        self.write("drills/flag.yml", DRILL)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def change(self, name: str, old: str, new: str) -> None:
        """Replace a part of a file that must be there."""
        text = (self.folder / name).read_text()
        assert text.count(old) == 1, (old, text)
        self.write(name, text.replace(old, new))

    def static(self, lab: Lab, *hosts: Host, **variables: Any) -> None:
        """Write an inventory of lab hosts, marked unless `variables` say otherwise."""
        known = self.write("known_hosts", "")
        known.write_text("".join(f"{h.address} {' '.join(h.host_key.split()[:2])}\n" for h in hosts))
        common = {
            "ansible_user": "admin",
            "ansible_ssh_private_key_file": str(lab.identity.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes",
            "drill": True,
            **variables,
        }
        named = {host.name: {"ansible_host": host.address} for host in hosts}
        self.write("inventory/staging.yml", yaml.safe_dump({"all": {"vars": common, "hosts": named}}))

    def environment(self) -> dict[str, str]:
        return {**os.environ, "REMEDY_STATE": str(self.state), "NO_COLOR": "1"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(REMEDY), "drill", *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def drill(self, *arguments: str, timeout: float = 90) -> Drilled:
        """Run to the end, with the report as a document."""
        with self.start(*arguments, "--format", "json") as process:
            try:
                return drilled(process, timeout)
            finally:
                process.kill()

    def on_static(self, *arguments: str) -> Drilled:
        return self.drill("flag", "--provider", "static", "-i", "staging", *arguments)

    def states(self) -> list[dict[str, Any]]:
        """Return the states that stand on disk."""
        return [json.loads(path.read_text()) for path in sorted(self.state.glob("drills/*/state.json"))]


def drilled(process: subprocess.Popen[str], timeout: float = 90) -> Drilled:
    """Wait for a drill's end."""
    out, err = process.communicate(timeout=timeout)
    assert "Traceback (most recent call last)" not in out + err, out + err
    return Drilled(process.returncode, out, err, json.loads(out) if out.startswith("{") else {})


def until_line(process: subprocess.Popen[str], words: str) -> str:
    """Read what a drill prints up to the line with these words; return all of it."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if words in line:
            return seen
    raise AssertionError(f"no line with {words!r} in:\n{seen}")


def interrupt(process: subprocess.Popen[str], number: int = signal.SIGINT) -> None:
    """Send a signal to a drill and to every program that it has started, as a terminal does."""
    os.killpg(process.pid, number)


def there(lab: Lab, path: str, host: str = "h1") -> bool:
    """Say whether something is at a path of a host."""
    return lab.run(host, ["test", "-e", path], ok=(0, 1)).code == 0
