"""What was changed, before -> after; what is the same on several hosts once."""

from __future__ import annotations

from remedy.events import Changed
from remedy.report.sections.view import View
from remedy.report.sheet import Sheet
from remedy.report.states import difference
from remedy.report.story import Story
from remedy.report.text import count, grouped, size, unique

_DIFF_LINES = 60
_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def changes(sheet: Sheet, story: Story, view: View) -> None:
    """Tell the changes; in check mode those that would be made."""
    every = story.told_changes()
    real = [change for change in every if not change.predicted]
    made, planned = ("ROLLED BACK", "WOULD ROLL BACK") if story.rolls_back else ("CHANGES", "WOULD CHANGE")
    for title, those in (
        (made, real),
        (planned, [change for change in every if change.predicted]),
    ):
        if not those:
            continue
        freed = sum(change.bytes_freed or 0 for change in those)
        verb = "would be freed" if title == planned else "freed"
        sheet.heading(f"{title}: {len(those)}" + (f", {size(freed)} {verb}" if freed else ""))
        for _, same in grouped(those, lambda change: _look(change, view)):
            _one(sheet, same, view)


def _look(change: Changed, view: View) -> tuple[object, ...]:
    shown = change.diff if view.diff else ""
    return (
        change.task,
        change.module,
        change.object,
        difference(change),
        change.reversible,
        change.reason,
        shown,
    )


def _one(sheet: Sheet, same: list[Changed], view: View) -> None:
    first = same[0]
    hosts = unique(change.host for change in same)
    times = f" ({count(len(same), 'time')})" if len(same) > len(hosts) else ""
    style = "yellow" if first.kind == "resource" else "magenta"
    sheet.line(*view.hosts(hosts), first.object, ": ", (style, difference(first) + times), indent=2, hang=4)
    view.host_names(sheet, hosts, indent=4)
    why = "" if first.reversible else f"; cannot be rolled back{_reason(first)}"
    sheet.line(("dim", f"{first.task} [{first.module}]{why}"), indent=4, hang=2)
    if view.diff and first.diff:
        _diff(sheet, first.diff, view)


def _reason(change: Changed) -> str:
    return f": {change.reason}" if change.reason else ""


def _diff(sheet: Sheet, diff: str, view: View) -> None:
    lines = diff.splitlines()
    limit = view.most(_DIFF_LINES)
    shown = lines if limit is None else lines[:limit]
    for line in shown:
        header = line.startswith(("+++", "---"))
        sheet.verbatim(line, "dim" if header else _DIFF_STYLES.get(line[:1], ""), indent=6)
    if len(shown) < len(lines):
        sheet.line(("dim", f"... and {len(lines) - len(shown)} more lines (-v shows more)"), indent=6)
