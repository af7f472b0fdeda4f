"""Daemons as processes, over a real history database: one acts, each due time runs once, whoever dies is replaced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(900)

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


class Site:
    """A project whose one host is this machine, and the daemons that serve it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "ops"
        self.marks = folder / "marks"
        self.environment = {**os.environ, "REMEDY_STATE": str(folder / "state")}
        self._logs = folder
        self.daemons: list[subprocess.Popen[bytes]] = []
        for name in ("playbooks", "inventory", "schedules"):
            (self.root / name).mkdir(parents=True)
        self.write("inventory/hosts.yml", "all: {hosts: {box: {ansible_connection: local}}}\n")
        self.write("playbooks/quick.yml", PLAY.format(path=self.marks, seconds=0))
        self.write(
            "playbooks/slow.yml",
            PLAY.format(path=f"{self.marks}; echo begun >> {self.marks}.slow", seconds=8),
        )

    def write(self, path: str, text: str) -> None:
        (self.root / path).write_text(text)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a daemon; it may log in nowhere but here."""
        number = len(self.daemons)
        with (self._logs / f"daemon{number}.log").open("wb") as log:
            argv = [sys.executable, "-m", "remedy.cli", "scheduler", "--lease", "3", *words]
            daemon = subprocess.Popen(argv, cwd=self.root, env=self.environment, stdout=log, stderr=log)
        self.daemons.append(daemon)
        return daemon

    def said(self, number: int) -> str:
        return (self._logs / f"daemon{number}.log").read_text()

    def past(self, name: str) -> list[dict[str, Any]]:
        argv = [sys.executable, "-m", "remedy.cli", "schedule", "show", name, "-n", "50", "--format", "json"]
        done = subprocess.run(
            argv, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=120, check=True
        )
        return list(json.loads(done.stdout)["last"])

    def until(self, what: str, true: Callable[[], Any], seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := true()):
            logs = "\n".join(self.said(number) for number in range(len(self.daemons)))
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s\n{logs}"
            time.sleep(0.5)
        return found

    def lines(self, ending: str = "") -> list[str]:
        path = Path(f"{self.marks}{ending}")
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    for daemon in site.daemons:
        if daemon.poll() is None:
            daemon.kill()
        daemon.wait(30)


def _done(site: Site, name: str) -> list[dict[str, Any]]:
    return [entry for entry in site.past(name) if entry["state"] == "done"]


@pytest.mark.soak
def test_two_daemons_run_each_due_time_once_and_replace_each_other(site: Site) -> None:
    site.write("schedules/minutely.yml", SCHEDULE.format(playbook="quick"))
    first = site.start()
    site.until("the first at work", lambda: "at work as" in site.said(0), 60)
    second = site.start()
    site.until("the second standing by", lambda: "another daemon is at work" in site.said(1), 60)
    site.until("a run", lambda: _done(site, "minutely"), 150)

    # The one at work is killed: the other one takes over, and no due time is lost or run twice.
    first.kill()
    first.wait(30)
    site.until("the second at work", lambda: "at work as" in site.said(1), 60)
    before = len(_done(site, "minutely"))
    # A file that comes is noticed, without a word to the daemon.
    site.write("schedules/other.yml", SCHEDULE.format(playbook="quick") + "title: Another\n")
    site.until("the new file seen", lambda: "other: next at" in site.said(1), 60)
    site.until("a run of the second's", lambda: len(_done(site, "minutely")) > before, 150)
    site.until("a run of the new one", lambda: _done(site, "other"), 60)
    # And one that goes.
    (site.root / "schedules" / "other.yml").unlink()
    site.until("the file gone", lambda: "other: its file is gone" in site.said(1), 60)

    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0
    entries = site.past("minutely")
    assert {entry["exit_code"] for entry in entries} == {0}
    assert len(site.lines()) == len(_done(site, "minutely")) + 1  # and the one of the other
    dues = sorted(datetime.fromisoformat(entry["due"]) for entry in entries)
    assert [(due - dues[0]).total_seconds() for due in dues] == [60.0 * number for number in range(len(dues))]
    for entry in entries:
        late = datetime.fromisoformat(entry["updated"]) - datetime.fromisoformat(entry["due"])
        assert late.total_seconds() < 90
    assert "Traceback" not in site.said(0) + site.said(1)


@pytest.mark.soak
def test_sigterm_waits_for_the_run_and_a_second_one_ends_it(site: Site) -> None:
    site.write("schedules/slow.yml", SCHEDULE.format(playbook="slow"))
    daemon = site.start()
    site.until("a run at work", lambda: site.lines(".slow"), 150)
    daemon.send_signal(signal.SIGTERM)
    site.until("the daemon waiting", lambda: "1 at work, waiting" in site.said(0), 30)
    assert daemon.wait(90) == 0
    (entry,) = site.past("slow")
    assert (entry["state"], entry["exit_code"]) == ("done", 0)

    again = site.start()
    site.until("another run at work", lambda: len(site.lines(".slow")) == 2, 150)
    began = datetime.now(UTC)
    again.send_signal(signal.SIGTERM)
    site.until("the daemon waiting", lambda: "1 at work, waiting" in site.said(1), 30)
    again.send_signal(signal.SIGTERM)
    assert again.wait(90) == 0
    newest, _ = (entry for entry in site.past("slow") if entry["state"] == "done")
    assert newest["exit_code"] == 99
    assert (datetime.now(UTC) - began).total_seconds() < 60
