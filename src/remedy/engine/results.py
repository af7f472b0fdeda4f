"""The shape of results: what `register` holds, for one item and for a loop."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from remedy.engine.flight import CHANGED, FAILED, SKIPPED, Item


def combined(items: list[Item], looped: bool) -> dict[str, Any]:
    """Return a task's result: the item's own, or {"results": [...]} for a loop."""
    passes = [_merged(list(group)) for _, group in groupby(items, key=lambda item: item.index)]
    if not looped:
        return passes[0] if passes else {"changed": False, "skipped": True}
    failed = any(item.status == FAILED for item in items)
    result: dict[str, Any] = {
        "changed": any(item.status == CHANGED for item in items),
        "failed": failed,
        "results": passes,
        "msg": "One or more items failed" if failed else "All items completed",
    }
    if not passes or all(item.status == SKIPPED for item in items):
        result["skipped"] = True
        result["msg"] = "All items skipped"
    return result


def _merged(parts: list[Item]) -> dict[str, Any]:
    """Return the result of one pass; a module that became several steps (a folder copied) gives one result."""
    first = parts[0]
    result = dict(first.result)
    if len(parts) > 1:
        worst = next((part for part in parts if part.status == FAILED), first)
        result = dict(worst.result)
        result["changed"] = any(part.status == CHANGED for part in parts)
        result["failed"] = worst.status == FAILED
        result["parts"] = [part.result for part in parts]
    if first.looped:
        result["ansible_loop_var"] = next(iter(first.layers[0].values)) if first.layers else "item"
        result[result["ansible_loop_var"]] = first.value
    return result


def name_of_command(item: Item, *, hidden: bool) -> str:
    """Return what reports and journal call a Command: its text, which with no_log nobody but the host may see."""
    return "(a command, hidden: the task says no_log)" if hidden else text_of_command(item)


def text_of_command(item: Item) -> str:
    """Return what a Command would run, as one text."""
    params = (item.message or {}).get("params", {})
    argv = params.get("argv")
    given = params.get("cmd") or params.get("free_form") or params.get("query") or ""
    text = " ".join(map(str, argv)) if argv else str(given)
    return f"{text} {params.get('chdir') or ''}".strip()
