"""What was changed, before -> after; what is the same on several hosts once."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from remedy.events import Changed
from remedy.report.sections.view import View
from remedy.report.sheet import Sheet
from remedy.report.states import difference, taken
from remedy.report.story import Story
from remedy.report.text import count, grouped, size, some, unique

_DIFF_LINES = 60
_FEW = 3
_ITEMS = 5
_SWEEPS = 6  # with more of them each shows less
_ITEMS_OF_MANY = 2
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
        few = _ITEMS if sum(bool(change.items) for change in those) <= _SWEEPS else _ITEMS_OF_MANY
        for _, same in grouped(those, partial(_look, few=few, view=view)):
            _one(sheet, same, few, view)


def _look(change: Changed, few: int, view: View) -> tuple[object, ...]:
    shown = change.diff if view.diff else ""
    return (
        change.task,
        change.module,
        change.object,
        difference(change),
        change.reversible,
        change.reason,
        shown,
        repr(_shown(change, few, view)),
    )


def _one(sheet: Sheet, same: list[Changed], few: int, view: View) -> None:
    first = same[0]
    hosts = unique(change.host for change in same)
    times = f" ({count(len(same), 'time')})" if len(same) > len(hosts) else ""
    style = "yellow" if first.kind == "resource" else "magenta"
    whose = unique(change.delegated_by for change in same if change.delegated_by)
    if whose:
        view = replace(view, everyone=0)  # the hosts may be others than the run's
    sheet.line(*view.hosts(hosts), first.object, ": ", (style, difference(first) + times), indent=2, hang=4)
    view.host_names(sheet, hosts, indent=4)
    why = "" if first.reversible else f"; cannot be rolled back{_reason(first)}"
    of = f", delegated by {some(whose, _FEW)}" if whose else ""
    sheet.line(("dim", f"{first.task} [{first.module}]{of}{why}"), indent=4, hang=2)
    _items(sheet, first, few, view)
    if view.diff and first.diff:
        _diff(sheet, first.diff, view)


def _items(sheet: Sheet, change: Changed, few: int, view: View) -> None:
    """Show the largest of what a sweep took, each with its reason."""
    shown = _shown(change, few, view)
    sizes = [size(item["size"]) if item["size"] else "" for item in shown]
    width = max(map(len, sizes), default=0)
    for item, amount in zip(shown, sizes, strict=True):
        reason = f"  ({item['reason']})" if item["reason"] else ""
        column = f"{amount}  " if amount else ""
        indent = 6 + (width - len(amount) if amount else width + 2 if width else 0)
        sheet.line(column, item["item"], ("dim", reason), indent=indent, hang=2)
    number = max(len(change.items), taken(change) or 0)
    if shown and number > len(shown):
        hint = " (-v lists them)" if len(shown) < len(change.items) else ""
        sheet.line(("dim", f"... and {number - len(shown)} more{hint}"), indent=6)


def _shown(change: Changed, few: int, view: View) -> list[dict[str, Any]]:
    most = few if view.verbosity <= 0 else len(change.items)
    return change.items if len(change.items) <= most + 1 else change.items[:most]


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
