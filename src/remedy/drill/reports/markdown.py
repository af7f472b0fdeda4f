"""The report as Markdown: a table of all drills, then each of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from remedy.drill.record import MEANING, DrillRecord, DrillReport
from remedy.drill.reports.clean import for_people
from remedy.drill.reports.words import moment, recovered, span, verdict

_HEAD = (
    "drill",
    "runbook",
    "result",
    "time to detect",
    "time to heal",
    "changes",
    "second run",
    "collateral",
)


def as_markdown(report: DrillReport) -> str:
    """Return the report as text."""
    report = for_people(report)
    lines = [
        f"# Drill report {_cell(report.id)}",
        "",
        f"{report.passed} of {len(report.drills)} passed, {moment(report.started)}, {span(report.seconds)}, "
        f"hosts of the provider {report.provider}, by {_cell(report.user)}.",
        "",
        *_table(_HEAD, [_row(one) for one in report.drills]),
    ]
    for one in report.drills:
        lines += ["", *_drill(one)]
    return "\n".join([*lines, ""])


def _row(one: DrillRecord) -> tuple[str, ...]:
    changed = one.collateral_changed
    return (
        _cell(one.name),
        _cell(one.runbook),
        f"**{verdict(one)}**",
        span(one.time_to_detect),
        span(one.time_to_heal),
        str(len(one.changes)),
        "-" if one.second_run_changes is None else f"{one.second_run_changes} changes",
        "-" if changed is None else f"{changed} of {len(one.collateral)} changed",
    )


def _drill(one: DrillRecord) -> list[str]:
    lines = [f"## {_cell(one.name)}: {_cell(one.title)}", ""]
    hosts = ", ".join(f"{name} ({about.get('role')})" for name, about in one.hosts.items())
    lines += [f"{verdict(one).capitalize()} after {span(one.seconds)} on {_cell(hosts)}.", ""]
    if one.error:
        lines += ["```", *one.error.replace("```", "'''").splitlines(), "```", ""]
    for each in one.deviations:
        lines.append(f"- **deviation** in {each.phase} ({each.what}): {_on(each.host)}{_cell(each.text)}")
    lines += [""] if one.deviations else []
    rows = [
        (
            each.name,
            MEANING[each.name],
            each.outcome,
            span(each.seconds),
            _cell(each.note),
            _cell(", ".join(each.runs)),
        )
        for each in one.phases
    ]
    lines += _table(("phase", "what", "outcome", "took", "note", "runs"), rows)
    if one.findings:
        found = [
            (
                _cell(each.host),
                _cell(each.id),
                _cell(each.severity),
                f"{each.after:.1f} s",
                "yes" if each.expected else "no",
                _cell(each.title),
            )
            for each in one.findings
        ]
        lines += ["", *_table(("host", "finding", "severity", "after", "expected", "title"), found)]
    if one.recoveries:
        came = [
            (_cell(each.host), f"{_cell(each.engine)} {_cell(each.database)}", *recovered(each))
            for each in one.recoveries
        ]
        lines += ["", *_table(("host", "database", "recovered in", "back to", "data lost"), came)]
    if one.collateral:
        guarded = [
            (
                _cell(each.host),
                f"{each.kind} {_cell(each.title)}",
                "unchanged" if each.same else "**changed**",
                _cell(each.after),
            )
            for each in one.collateral
        ]
        lines += ["", *_table(("host", "collateral", "state", "now"), guarded)]
    return lines


def _on(host: str | None) -> str:
    return f"{_cell(host)}: " if host else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{' --- |' * len(head)}",
        *(f"| {' | '.join(cell or ' ' for cell in row)} |" for row in rows),
    ]


def _cell(text: str) -> str:
    """Return a text that stays inside its cell, and is no markup: it may come from a host."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
