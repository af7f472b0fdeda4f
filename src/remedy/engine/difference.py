"""What changed, as a unified diff."""

from __future__ import annotations

import difflib
from typing import Any, Protocol

_LARGEST = 100_000  # characters; past this a diff is noise, and difflib quadratic


class Contents(Protocol):
    """Where the content of sources stands."""

    def text(self, source: str) -> str | None:
        """Return a source's content as text, None where it is binary or large."""
        ...


def unified(diff: Any, name: str, contents: Contents) -> str:
    """Return the unified diff of {"before", "after" or "after_source"} (or a list of such), "" where there is none.

    {"note"} is a text in place of a diff.
    """
    if not diff:
        return ""
    if isinstance(diff, list):
        return "".join(unified(part, name, contents) for part in diff)
    if "note" in diff:
        return f"{diff['note']}\n"
    before = _text(diff.get("before"))
    after = contents.text(diff["after_source"]) if "after_source" in diff else _text(diff.get("after"))
    if before is None or after is None or len(before) + len(after) > _LARGEST:
        return "(binary or large content)\n"
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        fromfile=str(diff.get("before_header") or f"{name} (before)"),
        tofile=str(diff.get("after_header") or f"{name} (after)"),
    )
    return "".join(line if line.endswith("\n") else line + "\n\\ no newline at the end\n" for line in lines)


def counted(diff: str) -> str:
    """Return what may be shown of a unified diff that has secrets: how many lines came and went."""
    body = [line for line in diff.splitlines() if not line.startswith(("+++", "---"))]
    came, went = (sum(line.startswith(mark) for line in body) for mark in "+-")
    if not came and not went:
        return "(has secrets)\n" if diff else ""
    return f"(has secrets: {came} line{'' if came == 1 else 's'} added, {went} removed)\n"


def _text(value: Any) -> str | None:
    if value is None:
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(value, dict):
        return "".join(f"{key}: {value[key]}\n" for key in sorted(value))
    return str(value)
