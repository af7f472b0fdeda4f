"""What a sweep took is told, the largest first, and hidden where its task says no_log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remedy.events import Changed
from tests.engine.fake import play

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - old_files: {paths: [/var/tmp], age: 3d}
      no_log: HIDDEN
"""
ITEMS = [
    {"item": "/var/tmp/a", "reason": "old", "size": 1, "identity": [1]},
    {"item": "/var/tmp/b", "reason": "old", "size": 2, "identity": [2]},
]
TOLD = [{"item": item["item"], "reason": "old", "size": item["size"]} for item in reversed(ITEMS)]


def swept(host: str, step: dict[str, Any]) -> dict[str, Any]:
    change = {
        "kind": "sweep",
        "object": "old files",
        "before": {"items": 2},
        "after": {"items": 0},
        "bytes_freed": 3,
        "items": ITEMS,
    }
    return {"status": "changed", "change": change}


@pytest.mark.parametrize(("hidden", "told"), [("false", TOLD), ("true", [])])
def test_its_items_travel_with_the_change(tmp_path: Path, hidden: str, told: list[Any]) -> None:
    played = play(tmp_path, PLAY.replace("HIDDEN", hidden), behaviour=swept)
    (changed,) = (event for event in played.memory.events if isinstance(event, Changed))
    assert changed.items == told
