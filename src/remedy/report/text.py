"""Texts for people: safe to print, sizes and times they can read, names grouped and cut."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_FEW = 3
_COLOURS = re.compile("\x1b\\[[0-9;:]*m")

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


def whose(host: str, delegated: Sequence[str]) -> str:
    """Return a task's host, with those that it was delegated to, as Ansible writes it: "db1 -> db2"."""
    return f"{host} -> {', '.join(delegated)}" if delegated else host


def safe(text: str) -> str:
    """Return the text with everything escaped that could paint the terminal or deceive the reader.

    Control and format characters (escape sequences, right-to-left marks) become `\\x1b`, `\\u202e`; bytes that were
    no UTF-8 become `\\xff`. Colours, which programs like to add, are left away.
    """
    if text.isprintable():
        return text
    text = _COLOURS.sub("", text)
    return "".join(_escaped(char) if unicodedata.category(char) in _UNSAFE else char for char in text)


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    names = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return names.get(char) or (
        f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    )


def cells(text: str) -> int:
    """Return how many columns a safe text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return the text filled with spaces to a width, on its right or left."""
    space = " " * (width - cells(text))
    return space + text if right else text + space


def cut(text: str, width: int) -> str:
    """Return the text, or its beginning and three dots where it is wider."""
    if cells(text) <= width:
        return text
    kept = ""
    for char in text:
        if cells(kept + char) > width - 3:
            break
        kept += char
    return kept + "..."


def size(count: float) -> str:
    """Return a number of bytes as people read it: 48.3 GiB."""
    amount = float(count)
    for unit in _UNITS:
        if abs(amount) < 1024 or unit == _UNITS[-1]:
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" or abs(amount) >= 100 else f"{amount:.1f} {unit}"


def duration(seconds: float) -> str:
    """Return a time as people read it: 0.4 s, 42 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for large, name, small, lesser in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large} {name} {rest} {lesser}" if rest else f"{whole // large} {name}"
    return f"{whole} s"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return "1 host", "12 hosts"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def some(names: Sequence[str], most: int | None) -> str:
    """Return names joined by commas, at most so many (None: all)."""
    if most is None or len(names) <= most + 1:  # "and 1 more" takes as long as the name
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def on_hosts(hosts: Sequence[str], everyone: int) -> tuple[str, bool]:
    """Return how hosts are called at the start of a line, and whether their names must still be listed."""
    if len(hosts) <= _FEW:
        return ", ".join(hosts), False
    if len(hosts) == everyone:
        return f"all {everyone} hosts", False
    return f"on {len(hosts)} hosts", True


def grouped(items: Iterable[T], key: Callable[[T], K]) -> list[tuple[K, list[T]]]:
    """Return the items in groups of one key, in the order in which the keys first appear."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.items())


def unique(names: Iterable[str]) -> list[str]:
    """Return the names, each once, in order."""
    return list(dict.fromkeys(names))


def one_line(value: Any) -> str:
    """Return a value as short text: yes and no, lists by commas, mappings as key=value."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}={one_line(item)}" for key, item in value.items()) or "(empty)"
    if isinstance(value, list | tuple):
        return ", ".join(map(one_line, value)) or "(none)"
    return str(value)
