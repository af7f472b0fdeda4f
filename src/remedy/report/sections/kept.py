"""What was left alone, by reason, with examples: what a tired person would else go and delete."""

from __future__ import annotations

from remedy.report.sections.view import View
from remedy.report.sheet import Sheet
from remedy.report.story import Story
from remedy.report.text import grouped, unique

_REASONS = 6
_EXAMPLES = 3


def kept(sheet: Sheet, story: Story, view: View) -> None:
    """Tell what was kept and why, the reason with the most items first."""
    every = list(story.kept)
    if not every:
        return
    sheet.heading(f"KEPT: {len(every)}")
    groups = sorted(grouped(every, lambda item: item.reason), key=lambda group: -len(group[1]))
    limit = view.most(_REASONS)
    for reason, items in groups if limit is None else groups[:limit]:
        number = f" ({len(items)})" if len(items) > 1 else ""
        sheet.line(("bold", (reason or "no reason given") + number), indent=2)
        most = view.most(_EXAMPLES)
        several = len(unique(item.host for item in items)) > 1 or view.everyone > 1
        names = [f"{item.host} {item.item}" if several else item.item for item in items]
        shown = names if most is None or len(names) <= most + 1 else names[:most]
        for name in shown:
            sheet.line(name, indent=4, hang=2)
        if len(shown) < len(names):
            sheet.line(("dim", f"... and {len(names) - len(shown)} more"), indent=4)
    if limit is not None and len(groups) > limit:
        rest = sum(len(items) for _, items in groups[limit:])
        sheet.line(
            ("dim", f"... and {rest} for {len(groups) - limit} other reasons (-v shows them)"), indent=2
        )
