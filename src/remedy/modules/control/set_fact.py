"""Set variables for this host, for the rest of the run."""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import Failed, Param
from remedy.modules.control import Engine

ANY_PARAMS = True
PARAMS = (
    Param(
        "cacheable",
        type="bool",
        default=False,
        help="Accepted; remedy keeps no facts from one run to the next.",
    ),
)
EXAMPLES = """
- set_fact:
    keep_days: 7
"""


def run(params: dict[str, Any], engine: Engine) -> dict[str, Any]:
    facts = {name: value for name, value in params.items() if name != "cacheable"}
    for name in facts:
        if not name.isidentifier():
            raise Failed(f"'{name}' cannot be a variable: letters, digits and underscores, no digit first")
    engine.set_facts(facts)
    return {"ansible_facts": facts}
