"""The figures as a Markdown table, the verdicts, and the file they are kept in."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from .measure import Cost

FACTOR = 2  # remedy may take this many times as long as the bare program
FLOOR = 12  # ansible takes at least this many times as long as bare, or bare is no floor


def plural(hosts: int) -> str:
    return f"{hosts} host{'s' * (hosts > 1)}"


@dataclass
class Row:
    """One measured situation; `costs` holds every round of each tool."""

    hosts: int
    rtt: float
    again: bool  # the second run, with nothing to change
    costs: dict[str, list[Cost]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{plural(self.hosts)}, {self.rtt * 1000:.0f} ms, {self.run} run"

    @property
    def run(self) -> str:
        return "second" if self.again else "first"

    def median(self, tool: str) -> float | None:
        costs = self.costs.get(tool)
        return statistics.median(cost.seconds for cost in costs) if costs else None


def table(rows: list[Row], tools: list[str]) -> str:
    """Medians in seconds; in brackets how many times as long as bare."""
    head = ["hosts", "round trip", "run", *tools]
    lines = [head, ["---:", "---:", "---", *["---:"] * len(tools)]]
    for row in rows:
        floor = row.median("bare")
        cells = []
        for tool in tools:
            median = row.median(tool)
            text = "–" if median is None else f"{median:.2f} s"
            if median is not None and floor and tool != "bare":
                text += f" ({median / floor:.1f}×)"
            cells.append(text)
        lines.append([str(row.hosts), f"{row.rtt * 1000:.0f} ms", row.run, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def verdicts(rows: list[Row], changes: int) -> list[tuple[bool, str]]:
    """Whether bare is a floor, and whether remedy keeps to its bound in each row."""
    found = []
    for row in rows:
        bare, ansible, remedy = row.median("bare"), row.median("ansible"), row.median("remedy")
        if bare and ansible and (row.hosts, row.rtt) == (1, 0):
            ok = ansible >= FLOOR * bare
            text = f"{row.label}: bare is {ansible / bare:.1f}× as fast as ansible, at least {FLOOR}×"
            found.append((ok, text))
        if bare and "remedy" in row.costs:
            # The journal's word before each write: one trip a change, which no program with undo can save.
            journal = 0.0 if row.again else changes * row.rtt
            bound = FACTOR * bare + journal
            said = "no figure" if remedy is None else f"{remedy:.2f} s"
            why = f"{FACTOR} × {bare:.2f} s" + (f" + {changes} × {row.rtt:g} s" if journal else "")
            ok = remedy is not None and remedy <= bound
            found.append((ok, f"{row.label}: remedy {said}, at most {bound:.2f} s ({why})"))
    return found


def lines(found: list[tuple[bool, str]]) -> str:
    return "\n".join(f"{'PASS' if ok else 'FAIL'}  {text}" for ok, text in found)


def keep(folder: Path, document: dict, rows: list[Row], found: list[tuple[bool, str]]) -> Path:
    """Write the whole of it as JSON; the path."""
    folder.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    document = {
        "schema": "remedy.bench/1",
        "when": now.isoformat(timespec="seconds"),
        "machine": {
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "load": os.getloadavg(),
        },
        **document,
        "rows": [
            {
                "hosts": row.hosts,
                "rtt_ms": row.rtt * 1000,
                "run": row.run,
                "tools": {
                    tool: {"median": row.median(tool), "rounds": [asdict(cost) for cost in costs]}
                    for tool, costs in row.costs.items()
                },
            }
            for row in rows
        ],
        "verdicts": [{"pass": ok, "text": text} for ok, text in found],
    }
    path = folder / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path
