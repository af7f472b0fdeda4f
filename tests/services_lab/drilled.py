"""The state that a drill makes on its host, for what a drill itself does not try: a schedule that heals it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.operator import Operator, Result

DRILLS = Path(__file__).parents[2] / "drills"


@contextmanager
def drilled(operator: Operator, name: str) -> Iterator[dict[str, Any]]:
    """Break a host, which its inventory marks for drills, as a drill does; yield the drill, and make the host whole."""
    drill: dict[str, Any] = yaml.safe_load((DRILLS / f"{name}.yml").read_text())
    faults = [(module, step[module]) for step in drill["method"] for module in step if module.startswith("fault_")]
    whole = [{module: {**_few(words), "state": "absent"}} for module, words in reversed(faults)]
    try:
        _play(operator, drill["method"])
        yield drill
    finally:
        _play(operator, [*whole, *drill["restore"]])


def told(done: Result) -> dict[str, bool]:
    """Return the findings of a run, and whether each is resolved."""
    return {each["id"]: bool(each["resolved"]) for each in done.report["findings"]}


def _few(words: dict[str, Any]) -> dict[str, Any]:
    return {name: words[name] for name in ("path", "name") if name in words}


def _play(operator: Operator, tasks: list[dict[str, Any]]) -> None:
    done = operator.here("play", operator.named([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), "--yes")
    assert done.code == 0, (done.stderr, done.report.get("tasks"))
