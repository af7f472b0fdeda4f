"""How drills look on a console: a line for each phase while they run, a table at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from remedy.drill import record
from remedy.drill.matrix import Row
from remedy.drill.model import Drill
from remedy.drill.record import MEANING, DrillRecord, DrillReport, Phase
from remedy.drill.reports.words import recovered, span, verdict
from remedy.drill.teller import Teller
from remedy.errors import InputError
from remedy.events import Event, RunStarted, TaskDone
from remedy.report.text import safe

_STYLES = {
    record.OK: "green",
    "passed": "bold green",
    record.DEVIATED: "bold red",
    record.FAILED: "bold red",
    record.INTERRUPTED: "yellow",
    record.NOT_RUN: "dim",
    "broken": "bold red",
}


_WIDE = 200  # columns of what is no terminal: nothing is cut there


def _console(color: bool | None) -> Console:
    return Console(
        file=sys.stdout,
        width=None if sys.stdout.isatty() else _WIDE,
        force_terminal=True if color else None,
        no_color=None if color is None else not color,
        highlight=False,
        soft_wrap=True,
    )


class QuietTeller(Teller):
    """Leaves standard output to the report."""

    def say(self, text: str) -> None:
        """Say it beside the report."""
        click.echo(safe(text), err=True)


class ConsoleTeller(QuietTeller):
    """Says every phase as it ends, in the words of chaos engineering."""

    def __init__(self, color: bool | None) -> None:
        self._console = _console(color)

    def drill_begins(self, drill: Drill, number: int, total: int) -> None:
        """Say which drill, and its hypothesis."""
        place = f" ({number} of {total})" if total > 1 else ""
        self._console.print(Text(f"\nDRILL {safe(drill.name)}{place}: {safe(drill.title)}", style="bold"))

    def phase_ends(self, phase: Phase) -> None:
        """Say what became of a phase."""
        if phase.outcome == record.NOT_RUN:
            return
        line = Text(f"  {phase.name:<13}")
        line.append(f"{phase.outcome:<12}", style=_STYLES[phase.outcome])
        line.append(f"{span(phase.seconds):>9}  ")
        line.append(safe(phase.note or MEANING[phase.name]), style="dim")
        self._console.print(line)
        for each in phase.deviations:
            host = f"{safe(each.host)}: " if each.host else ""
            self._console.print(Text(f"    deviation: {host}{safe(each.text)}", style="red"))

    def drill_ends(self, record: DrillRecord) -> None:
        """Say the verdict."""
        if record.error:
            self._console.print(
                Text("    " + "\n    ".join(map(safe, record.error.splitlines())), style="red")
            )


class Tasks:
    """Says what the tasks of a drill's runs do, one line each; with a `verbosity` of 2 the skipped ones, too."""

    def __init__(self, color: bool | None, verbosity: int) -> None:
        self._console = _console(color)
        self._skipped = verbosity > 1

    def __call__(self, event: Event) -> None:
        """Take an event of a run."""
        if isinstance(event, RunStarted):
            self._console.print(Text(f"    run {safe(event.run)}", style="dim"))
        elif isinstance(event, TaskDone) and event.item is None:
            if event.status == "skipped" and not self._skipped:
                return
            line = Text(f"      {event.status:<8} ", style=_TASKS.get(event.status, "dim"))
            line.append(f"{safe(event.host)}: {safe(event.task)}", style="default")
            if event.reason and event.status not in ("ok", "changed"):
                line.append(f": {safe(event.reason)}", style="default")
            self._console.print(line)

    def close(self) -> None:
        """Nothing is to be closed."""


_TASKS = {"changed": "yellow", "failed": "red"}


def show_report(report: DrillReport, folder: Path, color: bool | None) -> None:
    """Print the table of all drills and where the report is."""
    console = _console(color)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for head in ("DRILL", "RESULT"):
        table.add_column(head)
    for head in ("DETECT", "HEAL", "CHANGES", "AGAIN", "COLLATERAL", "TOOK"):
        table.add_column(head, justify="right")
    for one in report.drills:
        changed = one.collateral_changed
        word = verdict(one)
        table.add_row(
            Text(safe(one.name)),
            Text(word, style=_STYLES[word]),
            span(one.time_to_detect),
            span(one.time_to_heal),
            str(len(one.changes)),
            "-" if one.second_run_changes is None else str(one.second_run_changes),
            "-" if changed is None else f"{changed} of {len(one.collateral)}",
            span(one.seconds),
        )
    console.print()
    console.print(table, soft_wrap=False)
    for name, came in ((one.name, each) for one in report.drills for each in one.recoveries):
        seconds, point, lost = recovered(came)
        said = f"{safe(came.database)} recovered in {seconds}, back to {point}; lost: {lost}"
        console.print(Text(f"{safe(name)}: {safe(came.host)}: {said}"))
    for name, about in ((one.name, each) for one in report.drills for each in one.deviations):
        host = f"{safe(about.host)}: " if about.host else ""
        console.print(
            Text(f"{safe(name)}: deviation in {about.phase}: {host}{safe(about.text)}", style="red")
        )
    passed = f"{report.passed} of {len(report.drills)} passed in {span(report.seconds)}"
    console.print(Text(f"\n{passed}. Report: {safe(str(folder / 'drill.html'))}"))


def show_matrix(rows: Sequence[Row], shape: str, color: bool | None) -> int:
    """Print which runbooks have a drill, json as a document; return the exit code: 5 where a file is broken."""
    code = InputError.exit_code if any(row.error for row in rows) else 0
    if shape == "json":
        click.echo(
            json.dumps({"schema": "remedy.drill-matrix/1", "rows": [asdict(row) for row in rows]}, indent=2)
        )
        return code
    if shape != "console":
        raise InputError(f"--matrix has no form '{shape}'", hint="expected --format console or json")
    console = _console(color)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for head in ("RUNBOOK", "DRILL", "LAST RUN", "RESULT", "LAST PASSED", "DETECT", "HEAL"):
        table.add_column(head)
    for row in rows:
        outcome = "deviation" if row.outcome == "failed" else "broken" if row.error else row.outcome
        table.add_row(
            Text(safe(row.runbook or "-")),
            Text(safe(row.drill)) if row.drill else Text("none", style="yellow"),
            _day(row.last_run),
            Text(outcome or "-", style=_STYLES.get(outcome or "", "")),
            _day(row.last_passed),
            span(row.time_to_detect),
            span(row.time_to_heal),
        )
    console.print(table, soft_wrap=False)
    for row in rows:
        for line in row.error.split("\n") if row.error else ():
            console.print(Text(safe(line), style="red"))
    return code


def _day(instant: str | None) -> str:
    return "never" if instant is None else f"{instant[:10]} {instant[11:16]}"
