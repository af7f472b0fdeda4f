"""Steer the play: flush the handlers, end the host or the play."""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import REQUIRED, Param
from remedy.modules.control import Engine

FREE_FORM = "action"
PARAMS = (
    Param(
        "action",
        default=REQUIRED,
        choices=("flush_handlers", "end_host", "end_play", "clear_facts", "clear_host_errors", "noop"),
        help="flush_handlers runs the notified handlers now; end_host and end_play stop without a failure; "
        "clear_facts forgets what setup found; noop does nothing.",
    ),
)
EXAMPLES = """
- meta: flush_handlers
"""


def run(params: dict[str, Any], engine: Engine) -> dict[str, Any]:
    engine.meta(params["action"])
    return {"msg": params["action"]}
