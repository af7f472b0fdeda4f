"""Fail unless all expressions are true."""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.control import Engine

UNRENDERED = ("that",)
PARAMS = (
    Param("that", type="raw", default=REQUIRED, help="An expression, or a list of them."),
    Param("fail_msg", type="raw", aliases=("msg",), help="What to say when one is false."),
    Param("success_msg", type="raw", help="What to say when all are true."),
    Param("quiet", type="bool", default=False, help="Say nothing when all are true."),
)
EXAMPLES = """
- assert:
    that: disk_limit is defined
    fail_msg: set disk_limit
"""


def run(params: dict[str, Any], engine: Engine) -> dict[str, Any]:
    that = params["that"]
    for expression in that if isinstance(that, list) else [that]:
        if not engine.condition(expression):
            raise Failed(
                str(params.get("fail_msg") or "Assertion failed"),
                assertion=str(expression),
                evaluated_to=False,
            )
    return {"msg": params.get("success_msg") or "All assertions passed"}
