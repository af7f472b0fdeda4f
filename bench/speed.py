"""The same twenty tasks by each tool in turn, on clean hosts and once more with nothing to change."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import yaml

from .hosts import Host, tree
from .measure import Cost, Failed, run
from .report import Row, plural
from .tools import HERE, Tool, settle

PLAY = HERE / "play.yml"
DEADLINE = 900  # seconds for one run of one tool; 50 hosts take ansible three minutes
RESOURCES = ("file", "copy", "template", "lineinfile")


def changes() -> int:
    """How many tasks of the play change an object of a clean host."""
    tasks = yaml.safe_load(PLAY.read_text())[0]["tasks"]
    return sum(key.removeprefix("ansible.builtin.") in RESOURCES for task in tasks for key in task)


def rounds_for(hosts: int) -> int:
    """Fewer rounds where each takes long."""
    return 5 if hosts == 1 else 3 if hosts <= 10 else 1


@dataclass
class Speed:
    """The measurement; whatever is in `rows` when it ends or is interrupted can be reported."""

    tools: list[Tool]
    work: Path
    until: float  # time.monotonic() after which no new round starts
    rows: list[Row] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    left: dict[str, dict] = field(default_factory=dict)  # host → what the first tool left there
    started: float = field(default_factory=time.monotonic)

    def warm_up(self, hosts: list[Host], inventory: Path) -> None:
        """Once each, not counted: byte code gets compiled, and the work proves to be the same."""
        row = Row(1, 0, False), Row(1, 0, True)
        for tool in self.tools:
            self._try(tool, hosts, inventory, row, "warm-up")

    def measure(self, hosts: list[Host], rtt: float, inventory: Path, rounds: int) -> None:
        """`rounds` rounds of all tools, interleaved, so that a busy minute of the machine hits all alike."""
        pair = Row(len(hosts), rtt, False), Row(len(hosts), rtt, True)
        self.rows += pair
        for number in range(1, rounds + 1):
            what = f"{plural(len(hosts))}, {rtt * 1000:.0f} ms, round {number}/{rounds}"
            for tool in self.tools:
                for row in pair:
                    row.costs.setdefault(tool.name, [])
                if tool.name in self.broken:
                    continue
                if time.monotonic() > self.until:
                    self._failed(f"{what}: out of time before {tool.name}; see --budget")
                    return
                self._try(tool, hosts, inventory, pair, what)

    def _try(self, tool: Tool, hosts: list[Host], inventory: Path, pair: Iterable[Row], what: str) -> None:
        try:
            costs = self._both(tool, hosts, inventory)
        except Failed as problem:
            self.broken.add(tool.name)  # it would fail again, slowly
            self._failed(f"{what}: {tool.name}: {problem}")
            return
        for row, cost in zip(pair, costs, strict=True):
            row.costs.setdefault(tool.name, []).append(cost)
        passed = timedelta(seconds=round(time.monotonic() - self.started))
        seconds = ", again ".join(f"{cost.seconds:.2f} s" for cost in costs)
        say(f"[{passed}] {what}: {tool.name} {seconds}")

    def _failed(self, text: str) -> None:
        self.failures.append(text)
        say(text)

    def _both(self, tool: Tool, hosts: list[Host], inventory: Path) -> tuple[Cost, Cost]:
        for host in hosts:
            host.clean()
        first = self._run(tool, inventory)
        for host in hosts:
            have = tree(host) if host.tree.exists() else {}
            wanted = self.left.setdefault(host.name, have)
            same(wanted, have, f"{tool.name} left other files on {host.name} than the tools before it")
        before = [tree(host, times=True) for host in hosts]
        second = self._run(tool, inventory)
        for host, files in zip(hosts, before, strict=True):
            same(files, tree(host, times=True), f"{tool.name} changed {host.name} in its second run")
        return first, second

    def _run(self, tool: Tool, inventory: Path) -> Cost:
        home = self.work / tool.name
        home.mkdir(exist_ok=True)
        try:
            return run(tool.command(inventory), home, tool.env, DEADLINE)
        finally:
            settle(self.work)


def same(wanted: dict, have: dict, problem: str) -> None:
    """Times of different work cannot be compared."""
    other = sorted(path for path in {*wanted, *have} if wanted.get(path) != have.get(path))
    if other or not have:
        listed = "\n".join(f"  {path}: {wanted.get(path)} → {have.get(path)}" for path in other[:8])
        raise Failed(f"{problem}:\n{listed or '  nothing at all is there'}")


def say(text: str) -> None:
    """Progress: standard output is for the figures."""
    print(text, file=sys.stderr, flush=True)
