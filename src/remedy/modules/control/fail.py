"""Fail with a message."""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import Failed, Param
from remedy.modules.control import Engine

PARAMS = (Param("msg", type="raw", default="Failed as requested from task", help="Why."),)
EXAMPLES = """
- fail:
    msg: this host has no replica
  when: replicas | length == 0
"""


def run(params: dict[str, Any], engine: Engine) -> dict[str, Any]:
    raise Failed(str(params["msg"]))
