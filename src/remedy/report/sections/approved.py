"""On whose word something was destroyed or interrupted: of who was asked, or of who had granted it to a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remedy.events import Approved
from remedy.report.sections.view import View
from remedy.report.sheet import Sheet
from remedy.report.story import Story
from remedy.report.text import count

_STEPS = 8


def approved(sheet: Sheet, story: Story, view: View) -> None:
    """Tell who has approved which steps, in the order in which that was."""
    if not story.approved:
        return
    sheet.heading(f"APPROVED: {count(sum(len(each.steps) for each in story.approved), 'step')}")
    limit = view.most(_STEPS)
    for leave, steps in by_whom(story.approved).items():
        sheet.line(("bold", leave), indent=2, hang=2)
        shown = steps if limit is None else steps[:limit]
        for step in shown:
            sheet.line(step, indent=4, hang=2)
        if len(shown) < len(steps):
            sheet.line(("dim", f"... and {len(steps) - len(shown)} more (-v shows them)"), indent=4)


def by_whom(events: list[Approved]) -> dict[str, list[str]]:
    """Return each leave that was given, as a text, and the steps that it was given for."""
    found: dict[str, list[str]] = {}
    for each in events:
        found.setdefault(_leave(each), []).extend(map(_step, each.steps))
    return found


def _leave(event: Approved) -> str:
    if not event.schedule:
        return f"by {event.by}, who was asked"
    kinds = " and ".join(event.kinds)
    return (
        f"by {event.by}: the permission of the schedule '{event.schedule}' for {kinds}, "
        f"on at most {event.at_most} of the hosts, until {event.until}"
    )


def _step(step: Mapping[str, Any]) -> str:
    perhaps = "perhaps " if step.get("perhaps") else ""
    kinds = " ".join(map(str, step.get("kinds") or ()))
    return f"{step.get('host')}: {perhaps}{step.get('task')}: {step.get('object')} ({kinds})"
