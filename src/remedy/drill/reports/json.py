"""The report as one document for programs: schema `remedy.drill/1`."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from remedy.drill.record import SCHEMA, DrillRecord, DrillReport
from remedy.drill.reports.clean import for_programs


def as_json(report: DrillReport) -> str:
    """Return the document as text."""
    return json.dumps(document(for_programs(report)), indent=2, default=str, allow_nan=False) + "\n"


def document(report: DrillReport) -> dict[str, Any]:
    """Return the document; `started` is ISO 8601 in UTC, durations are seconds, null for what was not reached."""
    return {
        "schema": SCHEMA,
        "drill_run": {
            "id": report.id,
            "provider": report.provider,
            "user": report.user,
            "started": instant(report.started),
            "seconds": _short(report.seconds),
            "exit_code": report.exit_code,
            "passed": report.passed,
            "failed": len(report.drills) - report.passed,
        },
        "drills": [_drill(one) for one in report.drills],
    }


def instant(seconds: float) -> str | None:
    """Return a moment as ISO 8601 in UTC; None for what has not come."""
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _drill(one: DrillRecord) -> dict[str, Any]:
    made = asdict(one)
    for name in ("seconds", "time_to_detect", "time_to_heal"):
        made[name] = _short(made[name])
    made["started"] = instant(one.started)
    made["deviations"] = [asdict(each) for each in one.deviations]
    made["collateral_changed"] = one.collateral_changed
    for phase in made["phases"]:
        phase["started"] = instant(phase["started"])
        phase["seconds"] = _short(phase["seconds"])
    for recovery in made["recoveries"]:
        recovery["point"] = instant(recovery["point"])
        recovery["lost_seconds"] = _short(recovery["lost_seconds"])
    for finding in made["findings"]:
        finding["after"] = _short(finding["after"])
    return made


def _short(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
