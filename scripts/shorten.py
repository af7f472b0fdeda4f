"""Shorten a report for the docs (standard input to output): no long results, no paths of this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 300


def shorten(report: dict[str, Any]) -> dict[str, Any]:
    """Return the report with long task results and long evidence left out, each saying so."""
    report["run"]["playbook"] = report["run"]["playbook"].removeprefix(f"{ROOT}/")
    for task in report["tasks"]:
        if len(json.dumps(task["result"])) > LONGEST:
            task["result"] = {"msg": "left out of this example"}
    for finding in report["findings"]:
        evidence = finding["evidence"]
        for name in evidence if isinstance(evidence, dict) else ():
            evidence[name] = evidence[name][:1]
    return report


if __name__ == "__main__":
    json.dump(shorten(json.load(sys.stdin)), sys.stdout, indent=2)
    sys.stdout.write("\n")
