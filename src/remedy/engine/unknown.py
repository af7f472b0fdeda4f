"""What check mode cannot know: tasks that hang on a command which was not run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_WORD = re.compile(r"[^\s'\"=;:,|&<>()]+")
_SHORTEST = 3
_NAMES = ("name", "unit", "service")  # of what is no file
_TEXTS = ("content", "line", "regexp", "search_string", "insertafter", "insertbefore", "stdin")


def hangs_on(left_out: Iterable[tuple[str, str]], params: Mapping[str, Any]) -> str | None:
    """Return why check mode cannot tell what a task would do, as far as its parameters show, else None.

    `left_out` are (reason, text), the text of a command or the names that an unknown task is about. A task hangs on
    what names its path, something above or below it, or its unit.
    """
    names = set(names_in(params))
    for reason, text in left_out:
        words = {word.rstrip("/") for word in _WORD.findall(text) if len(word) >= _SHORTEST}
        if any(_met(name, words) for name in names):
            return reason
    return None


def left_out_by(task: str) -> str:
    """Return the reason for what hangs on a command that was not run."""
    return f"hangs on '{task}', which check mode skipped"


def names_in(params: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths and units that a task is about."""
    for param, value in params.items():
        if param in _TEXTS:
            continue
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, str) or len(each) < _SHORTEST or "\n" in each:
                continue
            if each.startswith(("/", "~")) or param in _NAMES:
                yield each.rstrip("/")


def _met(name: str, words: set[str]) -> bool:
    if name in words:
        return True
    return name.startswith("/") and any(_within(name, word) or _within(word, name) for word in words)


def _within(path: str, folder: str) -> bool:
    return folder.startswith("/") and path.startswith(f"{folder}/")
