"""Words and numbers that several forms of the report share."""

from __future__ import annotations

from datetime import UTC, datetime

from remedy.drill.record import DrillRecord, Recovery


def verdict(one: DrillRecord) -> str:
    """Return passed, deviation, error, interrupted or not run."""
    return "deviation" if one.outcome == "failed" else one.outcome


def span(seconds: float | None) -> str:
    """Return a duration in words; a dash for what was not reached."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def moment(seconds: float) -> str:
    """Return a moment for people, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def recovered(one: Recovery) -> tuple[str, str, str]:
    """Return how long data took to come back, to which moment, and what is lost."""
    behind = f"{one.rows_behind} row{'' if one.rows_behind == 1 else 's'} behind the damaged copy"
    if not one.rows_behind:
        lost = "none"
    elif one.lost_seconds is None:
        lost = behind
    else:
        lost = f"{span(one.lost_seconds)}, {behind}"
    return span(one.seconds), moment(one.point), lost
