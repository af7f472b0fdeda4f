"""Walking the keys of Redis and Valkey with SCAN, within a budget; patterns that are too wide."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from remedy.agent.kinds import Failed
from remedy.modules.controller._redis import Session, Words

_PAGE = 1000
BATCH = 200
_LENGTH = {
    "string": "STRLEN",
    "list": "LLEN",
    "hash": "HLEN",
    "set": "SCARD",
    "zset": "ZCARD",
    "stream": "XLEN",
}


@dataclass
class Walk:
    """How far a walk has come: `complete` where every key has been seen."""

    scanned: int = 0
    complete: bool = False
    seen: set[str] | None = None
    """The keys so far, where none may come twice: SCAN may give one again."""


def pages(
    server: Session, walk: Walk, *, pattern: str | None, keys: int, seconds: float, count: int = _PAGE
) -> Iterator[list[str]]:
    """Give keys page by page until the budget of keys looked at, or of time, is used up."""
    end = time.monotonic() + seconds
    cursor = "0"
    match = ("MATCH", pattern) if pattern is not None else ()
    while True:
        cursor, found = server.ask("SCAN", cursor, *match, "COUNT", count)
        walk.scanned += len(found) if pattern is None else count
        fresh = [key for key in dict.fromkeys(found) if walk.seen is None or key not in walk.seen]
        if walk.seen is not None:
            walk.seen.update(fresh)
        if cursor == "0":
            walk.complete = True
        if fresh:
            yield fresh
        if walk.complete or walk.scanned >= keys or time.monotonic() > end:
            return


def about(server: Session, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return {key, bytes, type, length, ttl} of keys; those that went in between are left out."""
    found = []
    for at in range(0, len(keys), BATCH):
        some = keys[at : at + BATCH]
        asked: list[Words] = []
        for key in some:
            asked += [("MEMORY", "USAGE", key, "SAMPLES", 5), ("PTTL", key), ("TYPE", key)]
        answers = server.ask_all(asked, seconds=20)
        rows = []
        for key, (size, ttl, kind) in zip(some, zip(*[iter(answers)] * 3, strict=True), strict=True):
            if isinstance(ttl, Failed) or isinstance(kind, Failed):
                raise ttl if isinstance(ttl, Failed) else kind
            if kind != "none":
                known = None if isinstance(size, Failed) or size is None else size
                rows.append(
                    {"key": key, "bytes": known, "type": kind, "ttl": None if ttl < 0 else ttl / 1000}
                )
        if any(row["bytes"] is None for row in rows):
            _measure(server, rows)
        found += rows
    return found


def lengths(server: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Add to each key how many elements it has, or how many bytes a string."""
    asked = [row for row in rows if row["type"] in _LENGTH]
    answers = server.ask_all([(_LENGTH[row["type"]], row["key"]) for row in asked]) if asked else []
    for row, answer in zip(asked, answers, strict=True):
        row["length"] = None if isinstance(answer, Failed) else answer


def too_wide(pattern: str) -> str | None:
    """Return why a pattern is refused: one without a letter of its own matches every key, or nearly."""
    literal, at = 0, 0
    while at < len(pattern):
        letter = pattern[at]
        if letter == "\\" and at + 1 < len(pattern):
            literal, at = literal + 1, at + 2
        elif letter == "[":
            at = _after_class(pattern, at + 1)
        else:
            literal, at = literal + (letter not in "*?"), at + 1
    if not pattern:
        return "the pattern is empty"
    if literal == 0:
        return f"the pattern '{pattern}' would match every key, or nearly: name more, such as cache:*"
    return None


def _after_class(pattern: str, at: int) -> int:
    """Return where a class of letters ends, as the server reads it (util.c): a ] that is escaped, or the end of a
    range, belongs to it."""
    at += pattern[at : at + 1] == "^"
    while at < len(pattern) and pattern[at] != "]":
        if pattern[at] == "\\" and at + 1 < len(pattern):
            at += 2
        else:
            at += 3 if pattern[at + 1 : at + 2] == "-" and at + 2 < len(pattern) else 1
    return min(at + 1, len(pattern))


def _measure(server: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Where MEMORY USAGE is not to be had: a guess from the length, a string's own bytes, 64 for an element."""
    lengths(server, rows)
    for row in rows:
        if row["bytes"] is None:
            row["bytes"] = (row.get("length") or 0) * (1 if row["type"] == "string" else 64)
