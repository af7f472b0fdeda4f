"""Measure what a disaster drill came to: how long the data were away, and what did not come back.

Reads what fault_data_loss and a swap (mysql_restore, postgresql_restore) returned, and says it to the operator. Returns
`seconds` (from the accident to the swap), `lost_seconds` (from the moment that came back to the last commit before the
accident; 0 where every row came back), `lost_rows`, `point` (that moment, seconds since the epoch), `may_take` and
`may_lose` (seconds), `within` (both limits are kept) and `said` (all of it in words).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.control import Engine

PARAMS = (
    Param("title", default=REQUIRED, help="What was drilled, in a word or two."),
    Param("accident", type="dict", default=REQUIRED, help="What fault_data_loss returned."),
    Param("restored", type="dict", default=REQUIRED, help="What mysql_restore or postgresql_restore returned for "
          "the swap."),
    Param("may_take", type="duration", default=REQUIRED, help="After this time the data must be back (RTO)."),
    Param("may_lose", type="duration", default=REQUIRED, help="So much of what was committed may be lost (RPO)."),
)  # fmt: skip
EXAMPLES = """
- recovery: {title: MySQL, accident: "{{ lost }}", restored: "{{ back }}", may_take: 5m, may_lose: 0s}
  register: measured
"""


def run(params: dict[str, Any], engine: Engine) -> dict[str, Any]:
    """Measure, and say it."""
    accident, restored = params["accident"], params["restored"]
    for given, name, where in ((accident, "at", "accident"), (restored, "finished", "restored")):
        if not isinstance(given.get(name), int | float):
            raise Failed(
                f"'{where}' has no '{name}': expected what the module of that step returned when it changed something"
            )
    seconds = max(0.0, float(restored["finished"]) - float(accident["at"]))
    rows = sum(
        max(0, int(accident[name]) - int(each.get("restored") or 0))
        for each in restored.get("tables") or ()
        if isinstance(accident.get(name := str(each["table"]).rpartition(".")[2]), int)
    )
    point = float(restored["point"])
    lost = max(0.0, float(accident["last_commit"]) - point) if rows else 0.0
    told = {
        "seconds": round(seconds, 3),
        "lost_seconds": round(lost, 3),
        "lost_rows": rows,
        "point": point,
        "may_take": params["may_take"],
        "may_lose": params["may_lose"],
        "within": seconds <= params["may_take"] and lost <= params["may_lose"],
    }
    moment = datetime.fromtimestamp(point, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    told["said"] = (
        f"{params['title']}: back {seconds:.1f} s after the accident (limit {params['may_take']:g} s), as of {moment}; "
        f"lost {lost:.1f} s and {rows} rows (limit {params['may_lose']:g} s)"
    )
    engine.say(told["said"], 0)
    return told
