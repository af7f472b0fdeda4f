"""What a change was, in one line: before -> after, in the words of its kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from remedy.events import Changed
from remedy.report.text import count, cut, one_line, size, some

_HASHES = ("sha1", "sha256", "checksum", "hash")
_NAMED_ELSE = {"uid": "owner", "gid": "group"}  # numbers say nothing more where names do
_LONGEST = 60
_UNLIKE = "unlike"  # of a folder with recurse: {path below: state} of what has other attributes
_PATHS = 3


def difference(change: Changed) -> str:
    """Return what happened to the object, or would happen where it is predicted."""
    if change.kind == "sweep":
        return _swept(change)
    if change.kind == "command":
        return "would run" if change.predicted else "ran"
    if change.kind == "action":
        happened = change.happened or "done"
        return f"would be {happened}" if change.predicted else happened
    return states(change.before, change.after)


def taken(change: Changed) -> int | None:
    """Return how many items a sweep took, None where it does not say."""
    before, after = (
        state.get("items") if isinstance(state, dict) else None for state in (change.before, change.after)
    )
    return before - (after if isinstance(after, int) else 0) if isinstance(before, int) else None


def noun(items: Iterable[Mapping[str, Any]]) -> str:
    """Return what items are called: as their module does, file where they are paths, else item."""
    every = list(items)
    nouns = {item.get("noun") for item in every}
    if len(nouns) == 1 and (own := nouns.pop()):
        return str(own)
    names = [str(item.get("item")) for item in every]
    return "file" if names and all(name.startswith("/") for name in names) else "item"


def amount(items: Iterable[Mapping[str, Any]]) -> int:
    """Return how many things items stand for: a pattern for its keys, most for one."""
    return sum(item["count"] if item.get("count") is not None else 1 for item in items)


def _swept(change: Changed) -> str:
    freed = size(change.bytes_freed) if change.bytes_freed else ""  # empty files free their inodes alone
    number = taken(change)
    if number is not None:
        every = change.before["items"]
        if any(item.get("count") is not None for item in change.items):
            number = every = amount(change.items)
        text = count(number, noun(change.items)) + (f" of {every}" if number != every else "")
        happened = change.happened or "removed"
        if change.predicted:
            return f"{text} would be {happened}, freeing {freed}" if freed else f"{text} would be {happened}"
        return f"{text} {happened}, {freed} freed" if freed else f"{text} {happened}"
    return f"{freed} freed" if freed else "swept"


def states(before: Any, after: Any) -> str:
    """Return in what two states of an object differ."""
    if before is None and after is None:
        return "changed (hidden: its task has secrets)"
    if before is None:
        return f"created{_about(after)}"
    if after is None:
        return f"removed{_about(before)}"
    if isinstance(before, dict) and isinstance(after, dict):
        return ", ".join(_keys(before, after)) or "changed"
    return f"{_value(before)} -> {_value(after)}"


def _keys(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    differing = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    content = any(name in _HASHES for name in differing)
    parts = []
    for name in differing:
        if name in _HASHES or _NAMED_ELSE.get(name) in differing:
            continue
        if name == "size" and content:
            continue
        if name == _UNLIKE and isinstance(paths := before.get(name) or after.get(name), dict):
            parts.append(f"{count(len(paths), 'path')} below it ({some(sorted(paths), _PATHS)})")
            continue
        old, new = (_value(state.get(name), name) for state in (before, after))
        parts.append(f"{name} {old} -> {new}")
    if content:
        old, new = (_value(state.get("size"), "size") for state in (before, after))
        parts.append("content changed" if old == new else f"content changed ({old} -> {new})")
    return parts


def _about(state: Any) -> str:
    """Return the few words about a new or a removed object that are worth their place."""
    if not isinstance(state, dict):
        return "" if state in (None, True) else f" ({_value(state)})"
    words = [str(state["type"])] if state.get("type") not in (None, "file") else []
    words += [f"mode {state['mode']}"] if state.get("mode") else []
    words += [f"{state['owner']}:{state['group']}"] if state.get("owner") and state.get("group") else []
    words += [f"to {state['target']}"] if state.get("target") else []
    if isinstance(state.get("size"), int) and state.get("type") == "file":
        words.append(size(state["size"]))
    if not words:
        told = {name: value for name, value in state.items() if name not in _HASHES and value is not None}
        words = [cut(one_line(told), _LONGEST)] if told else []
    return f" ({', '.join(words)})" if words else ""


def _value(value: Any, name: str = "") -> str:
    if name == "size" and isinstance(value, int):
        return size(value)
    if value == "":
        return "''"
    return cut(one_line(value).replace("\n", "\\n"), _LONGEST)
