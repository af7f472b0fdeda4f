"""One database server and many: how the time grows against the bare program's, what memory each server costs."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .hosts import Host
from .measure import Cost, Failed, run
from .report import plural
from .servers import Asked, Server, note, running, variables
from .speed import say
from .tools import HERE, Tool, inventories, make

PLAY = HERE / "databases.yml"
NAMES = {"remedy": "remedy", "bare": "bare_databases"}
DEADLINE = 600  # seconds for one run
FACTOR = 2  # the time may grow by as many times as much as the bare program's
MEMORY = 10  # MB of the controller for each further server


@dataclass
class Databases:
    """The measurement; `costs` holds every round of each tool and number of servers."""

    work: Path
    rounds: int
    until: float  # time.monotonic() after which no new round starts
    costs: dict[tuple[str, int], list[Cost]] = field(default_factory=dict)
    statements: int = 0
    tools: dict[str, Tool] = field(default_factory=dict)

    def measure(self, hosts: list[Host]) -> None:
        """`rounds` rounds, each of both tools on one server and on all: a busy minute hits all alike."""
        for name in NAMES:
            (self.work / name).mkdir(exist_ok=True)
        self.tools = {name: make(of, self.work, PLAY) for name, of in NAMES.items()}
        say(f"starting MariaDB on {plural(len(hosts))}")
        with running(hosts, self.work / "databases") as servers:
            counts = sorted({1, len(hosts)})
            folders = {count: self._inventory(servers[:count]) for count in counts}
            self._warm_up(servers[0], folders)
            for number in range(1, self.rounds + 1):
                for count in counts:
                    for name, tool in self.tools.items():
                        if time.monotonic() > self.until:
                            raise Failed(
                                f"databases, round {number}: out of time before {name}; see --budget"
                            )
                        cost = self._run(tool, folders[count])
                        self.costs.setdefault((name, count), []).append(cost)
                        what = f"{plural(count)}, round {number}/{self.rounds}"
                        say(f"databases, {what}: {name} {cost.seconds:.2f} s, {cost.rss_mib:.0f} MiB")

    def _inventory(self, servers: list[Server]) -> Path:
        pairs = [(server.host, server.host.port) for server in servers]
        folder = inventories(self.work / f"databases-{len(servers)}", self.work / "id", pairs)
        note(folder, *variables(servers))
        return folder

    def _warm_up(self, server: Server, folders: dict[int, Path]) -> None:
        """Once each, not counted; the bare program learns here what remedy asks."""
        self._run(self.tools["remedy"], folders[1])
        with Asked(server) as by_remedy:
            self._run(self.tools["remedy"], folders[1])
        self.statements = len(by_remedy.statements)
        for folder in folders.values():
            (folder / "statements.json").write_text(json.dumps(by_remedy.statements, indent=1))
        with Asked(server) as by_bare:
            self._run(self.tools["bare"], folders[1])
        if not by_bare.statements or by_bare.statements != by_remedy.statements:
            raise Failed(f"bare asked {by_bare.statements}, remedy {by_remedy.statements}")

    def _run(self, tool: Tool, folder: Path) -> Cost:
        return run(tool.command(folder), self.work / tool.name.partition("_")[0], tool.env, DEADLINE)

    @property
    def counts(self) -> list[int]:
        return sorted({count for _, count in self.costs})

    def seconds(self, name: str, count: int) -> float:
        return statistics.median(cost.seconds for cost in self.costs[name, count])

    def growth(self, name: str) -> float:
        """The time of all servers by that of one."""
        return self.seconds(name, self.counts[-1]) / self.seconds(name, 1)

    def memory(self, name: str) -> float:
        """Peak MB of the controller for each further server: the worst of many against the best of one."""
        most = max(cost.rss_mib for cost in self.costs[name, self.counts[-1]])
        least = min(cost.rss_mib for cost in self.costs[name, 1])
        return (most - least) * 1.048576 / (self.counts[-1] - 1)

    @property
    def complete(self) -> bool:
        return len(self.counts) > 1 and len(self.costs) == len(NAMES) * len(self.counts)

    def verdicts(self) -> list[tuple[bool, str]]:
        if not self.complete:
            return []
        remedy, bare, servers = self.growth("remedy"), self.growth("bare"), self.counts[-1]
        quotient, memory = remedy / bare, self.memory("remedy")
        return [
            (
                quotient <= FACTOR,
                f"{servers} databases for one: remedy {remedy:.1f}×, bare {bare:.1f}×: "
                f"{quotient:.2f} times as much, at most {FACTOR}",
            ),
            (
                memory <= MEMORY,
                f"{servers} databases: {memory:.1f} MB of the controller for each, at most {MEMORY} MB",
            ),
        ]

    def table(self) -> str:
        """Medians of time and CPU, the highest peak of memory."""
        head = f"databases: {self.statements} statements each"
        lines = [[head, *NAMES], ["---", *["---:"] * len(NAMES)]]
        for count in self.counts:
            cells = []
            for name in NAMES:
                costs = self.costs.get((name, count), [])
                cpu, peak = (f(getattr(c, part) for c in costs) if costs else 0 for f, part in _PARTS)
                text = (
                    f"{self.seconds(name, count):.2f} s (CPU {cpu:.2f} s), {peak:.0f} MiB" if costs else "–"
                )
                cells.append(text)
            lines.append([plural(count), *cells])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def told(self) -> dict[str, object]:
        """Everything, for the file of results."""
        rows = [
            {"tool": name, "hosts": count, "rounds": [asdict(cost) for cost in costs]}
            for (name, count), costs in self.costs.items()
        ]
        return {"statements": self.statements, "rows": rows}


_PARTS = ((statistics.median, "cpu"), (max, "rss_mib"))
