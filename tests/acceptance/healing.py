"""Healing with disk-full, as an operator does it: in time, and once."""

from __future__ import annotations

import time
from typing import Any

from remedy.lab import Lab
from tests.acceptance.causes import sh
from tests.acceptance.operator import Operator, Result

HEALED = 15.0  # seconds from command to healthy
SIZES = ("-e", "big_log=8M", "-e", "journal_size=2M", "-e", "docker_age=0")


def percent(lab: Lab, name: str, mount: str) -> int:
    """Return how full a file system is, of bytes or inodes, as df prints it."""
    told = sh(lab, name, f"df --output=pcent,ipcent {mount} | tail -1")
    return max(int(word.rstrip("%")) for word in told.split())


def found(result: Result) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the findings by host and id."""
    return {(each["host"], each["id"]): each for each in result.report["findings"]}


def why(result: Result) -> str:
    """Return what went wrong, in short."""
    told = [f"{task['task']}: {task['status']}: {task['reason']}" for task in result.report.get("tasks", ())]
    return "\n".join([f"exit code {result.code}", result.stderr, *told])


def heal(operator: Operator, *flags: str, **options: Any) -> Result:
    """Play, in time."""
    begun = time.monotonic()
    healed = operator.play("disk-full", "--yes", *SIZES, *flags, **options)
    assert time.monotonic() - begun < 3 * HEALED
    return healed


def nothing_left(operator: Operator, *flags: str, **options: Any) -> None:
    """Play once more: nothing is found, nothing changes."""
    again = operator.play("disk-full", "--yes", *SIZES, *flags, **options)
    assert again.code == 0, why(again)
    assert again.report["changes"] == again.report["findings"] == []
    assert {host["changed"] for host in again.report["hosts"].values()} == {0}
