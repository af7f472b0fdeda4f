"""Raise a finding: a named fact about what is wrong, with its evidence."""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import REQUIRED, Param
from remedy.modules.control import Engine

PARAMS = (
    Param("id", default=REQUIRED, help="Its name; tasks ask for it with `when: \"'ID' in findings\"`."),
    Param("severity", default="P2", choices=("P0", "P1", "P2", "P3"), help="P0: all is down ... P3: slow."),
    Param("title", default=REQUIRED, help="One line for a tired person."),
    Param("evidence", type="raw", help="What was seen: any data."),
    Param("advice", help="What only a human can do about it."),
)
EXAMPLES = """
- finding:
    id: disk-full
    severity: P1
    title: /var is at 98 %
    evidence: "{{ disk.full }}"
  when: disk.full | length > 0
"""


def run(params: dict[str, Any], engine: Engine) -> dict[str, Any]:
    finding = {name: params.get(name) for name in ("id", "severity", "title", "evidence", "advice")}
    engine.raise_finding(finding)
    return {"finding": finding}
