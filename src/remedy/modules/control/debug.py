"""Show a message or the value of a variable."""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import Param
from remedy.modules.control import Engine

UNRENDERED = ("var",)
PARAMS = (
    Param("msg", type="raw", default="Hello world!", help="What to show."),
    Param("var", type="raw", help="A variable or expression whose value to show; not together with msg."),
    Param("verbosity", type="int", default=0, help="Shown only with at least so many -v."),
)
EXAMPLES = """
- debug:
    var: disk.full
"""


def run(params: dict[str, Any], engine: Engine) -> dict[str, Any]:
    name = params.get("var")
    if name is None:
        result = {"msg": params["msg"]}
        shown = params["msg"]
    else:
        shown = engine.expression(str(name))
        result = {str(name): shown}
        shown = {str(name): shown}
    engine.say(shown, int(params["verbosity"]))
    return result
