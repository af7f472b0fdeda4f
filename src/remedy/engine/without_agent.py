"""`raw`: a command that runs on a host without the agent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from remedy.engine.context import PlayContext
from remedy.engine.flight import FAILED, OK, Item
from remedy.engine.results import text_of_command

if TYPE_CHECKING:
    from remedy.engine.carrier import Carrier

_SECONDS = 1800.0


def run_raw(carrier: Carrier, play: PlayContext, item: Item) -> dict[str, Any]:
    """Run a raw command; return its `result` frame. Raises Unreachable where the host is lost."""
    message = item.message or {}
    if message["check"]:
        return {"status": "skipped", "reason": "check mode", "result": {}}
    began = time.monotonic()
    timeout = _SECONDS if message["timeout"] is None else message["timeout"]
    target = carrier.contact.target(play)
    try:
        rc, out, err = carrier.run.connector.raw(target, text_of_command(item), item.identity, timeout)
    except TimeoutError:
        outcome: dict[str, Any] = {
            "status": FAILED,
            "reason": f"no end within {timeout:g} s",
            "result": {"cause": "timeout"},
        }
    else:
        stdout, stderr = (part.decode("utf-8", "surrogateescape") for part in (out, err))
        outcome = {
            "status": FAILED if rc else OK,
            "reason": f"the command ended with {rc}" if rc else "",
            "result": {
                "rc": rc,
                "stdout": stdout,
                "stderr": stderr,
                "stdout_lines": stdout.splitlines(),
                "stderr_lines": stderr.splitlines(),
            },
        }
    carrier.round_trips += 1
    return {**outcome, "seconds": time.monotonic() - began}
