"""What check mode cannot know: tasks that hang on a command which was not run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_WORD = re.compile(r"[^\s'\"=;:,|&<>()]+")
_SHORTEST = 3


def hangs_on(commands: Iterable[tuple[str, str]], params: dict[str, Any]) -> str | None:
    """Return which skipped command a task hangs on, as far as its text tells, else None.

    `commands` are (task, text). A task hangs on a command that names its path, something above or below it, or
    its unit.
    """
    names = set(_names(params))
    for task, text in commands:
        words = {word.rstrip("/") for word in _WORD.findall(text) if len(word) >= _SHORTEST}
        for name in names:
            above = {name, *_folders(name)} if name.startswith("/") else {name}
            below = name.startswith("/") and any(word.startswith(f"{name}/") for word in words)
            if below or above & words:
                return f"hangs on '{task}', a command that check mode does not run"
    return None


def _names(params: dict[str, Any]) -> Iterable[str]:
    for value in params.values():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str) and len(each) >= _SHORTEST and "\n" not in each:
                yield each.rstrip("/")


def _folders(path: str) -> Iterable[str]:
    while path.count("/") > 1:
        path = path.rpartition("/")[0]
        yield path
