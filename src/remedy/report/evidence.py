"""Evidence of a finding, condensed: rows become a small table, long lists are cut and say so."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from remedy.report.text import cells, count, cut, duration, one_line, pad, safe, size, some

# The columns that matter most at night; others follow as far as there is room.
_FIRST = (
    *(
        "name",
        "mount",
        "path",
        "item",
        "unit",
        "host",
        "pid",
        "user",
        "percent",
        "available",
        "inode_percent",
        "lacks",
        "used",
    ),
    *(
        "size",
        "bytes",
        "state",
        "status",
        "reason",
        "message",
        "error",
        "seconds",
        "command",
        "query",
    ),
    *("type", "device", "inodes_free"),
)
_STORAGE = {"size", "used", "available", "free", "reserved", "total"}
_AMOUNTS = {"size", "bytes"}
_ABOUT_STORAGE = {"mount", "path", "file", "device", "item", "sha1"}
_NAMES = set(_FIRST[:6])  # what a row is about is never cut
_WIDEST = 48
_COLUMNS = 8
_GAP = 2


def told(value: Any, *, width: int, most: int | None, longest: int | None = None) -> list[str]:
    """Return the lines that tell a value, at most `most` rows of each list (None: all), `width` columns wide.

    `longest`: at most about so many lines as a whole.
    """
    lines = _told(value, width, most, 0)
    # A mapping is several pieces of evidence: a table must not be cut right behind its head.
    limit = None if most is None else most * (4 if isinstance(value, dict) else 2)
    if limit is not None and longest is not None:
        limit = min(limit, longest)
    for fewer in range((most or 0) - 1, 0, -1):
        if limit is None or len(lines) <= limit + 1:
            break
        lines = _told(value, width, fewer, 0)  # a little of every list, rather than all of the first ones
    if limit is not None and len(lines) > limit + 1:
        lines = [*lines[:limit], f"... and {len(lines) - limit} more lines (-v shows more)"]
    return lines


def _told(value: Any, width: int, most: int | None, depth: int) -> list[str]:
    if value is None or value == "" or value == [] or value == {}:
        return []
    if isinstance(value, dict):
        return _mapping(value, width, most, depth)
    if isinstance(value, list | tuple):
        return _sequence(value, width, most, depth)
    return one_line(value).expandtabs(4).splitlines()


def _mapping(value: dict[str, Any], width: int, most: int | None, depth: int) -> list[str]:
    lines = []
    for key, item in value.items():
        if _flat(item) and "\n" not in str(item):
            lines += _wrapped(f"{key}: {_cell(item, str(key), value)}", width)
        elif depth < 3:
            shown = item
            if key == "log" and isinstance(item, list) and most is not None and len(item) > most + 1:
                shown = item[-most:]  # what a log said last is what counts
            inner = _told(shown, width - 2, most, depth + 1)
            if shown is not item:
                inner = [f"... {count(len(item) - len(shown), 'earlier line')}", *inner]
            lines += [f"{key}:", *(f"  {line}" for line in inner)] if inner else [f"{key}: (none)"]
        else:
            lines.append(f"{key}: {cut(one_line(item), _WIDEST)}")
    return lines


def _sequence(value: Sequence[Any], width: int, most: int | None, depth: int) -> list[str]:
    if all(isinstance(item, dict) and item for item in value):
        return _table(value, width, most)
    if all(_flat(item) for item in value):
        texts = [one_line(item) for item in value]
        if any(" " in text or "\n" in text for text in texts):
            shown = texts if most is None or len(texts) <= most + 1 else texts[:most]
            lines = [line for text in shown for line in text.expandtabs(4).splitlines()]
            return lines + _more(len(texts) - len(shown))
        return _wrapped(some(texts, None if most is None else most * 2), width)
    shown_items = value if most is None or len(value) <= most + 1 else value[:most]
    lines = []
    for item in shown_items:
        inner = _told(item, width - 2, most, depth + 1) or ["-"]
        lines += [f"- {inner[0]}", *(f"  {line}" for line in inner[1:])]
    return lines + _more(len(value) - len(shown_items))


def _table(rows: Sequence[dict[str, Any]], width: int, most: int | None) -> list[str]:
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if _worth(rows, name)]
    if not names:
        return [one_line(row) for row in rows]
    shown = rows if most is None or len(rows) <= most + 1 else rows[:most]
    texts = {name: [safe(_cell(row.get(name), name, row)) for row in shown] for name in names}
    if most is not None:
        texts = {
            name: [cut(text, _WIDEST) if name not in _NAMES else text for text in texts[name]]
            for name in names
        }
    widths = {name: max(cells(name), *map(cells, texts[name])) for name in names}
    chosen = _fitting(names, widths, width, len(names) if most is None else _COLUMNS)
    if len(rows) == 1 and len(chosen) == 1:
        return [f"{chosen[0]}: {texts[chosen[0]][0]}", *_more(len(rows) - len(shown))]
    numeric = {name for name in chosen if all(isinstance(row.get(name), int | float | None) for row in rows)}
    lines = [_row({name: name.upper() for name in chosen}, widths, numeric)]
    lines += [_row({name: texts[name][at] for name in chosen}, widths, numeric) for at in range(len(shown))]
    return lines + _more(len(rows) - len(shown))


def _fitting(names: list[str], widths: dict[str, int], width: int, columns: int) -> list[str]:
    """Return the columns that fit, those that matter most first taken, in their own order; at least one."""
    ranked = sorted(names, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    chosen: list[str] = []
    room = width
    for name in ranked:
        needed = widths[name] + _GAP
        if not chosen or (needed <= room + _GAP and len(chosen) < columns):
            chosen.append(name)
            room -= needed
    chosen = [name for name in names if name in chosen]
    amount = next((name for name in ranked if name in _AMOUNTS and name not in chosen), None)
    if len(chosen) == 1 and amount is not None:
        # A long path fills the line; what it takes stands before it, where it needs no room behind.
        return [amount, *chosen]
    return chosen


def _row(texts: dict[str, str], widths: dict[str, int], numeric: set[str]) -> str:
    return (
        (" " * _GAP)
        .join(pad(text, widths[name], right=name in numeric) for name, text in texts.items())
        .rstrip()
    )


def _worth(rows: Sequence[dict[str, Any]], name: str) -> bool:
    """Say whether a column tells anything."""
    values = [row.get(name) for row in rows]
    if not all(_flat(value) for value in values):
        return False
    return any(value not in (None, "", False, []) for value in values)


def _flat(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return len(value) <= 3 and all(not isinstance(item, dict | list | tuple) for item in value)
    return not isinstance(value, dict)


def _cell(value: Any, name: str, row: dict[str, Any]) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if name == "percent" or name.endswith("_percent"):
            return f"{value:g}%"
        stored = name in _STORAGE and not _ABOUT_STORAGE.isdisjoint(row)
        if stored or name == "bytes" or name.startswith("bytes_") or name.endswith("_bytes"):
            return size(value)
        if name in ("seconds", "age") or name.endswith("_seconds"):
            return duration(value)
    return one_line(value).replace("\n", " ")


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(text, max(width, 20), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _more(number: int) -> list[str]:
    return [f"... and {count(number, 'more', 'more')}"] if number > 0 else []
