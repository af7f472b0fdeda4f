"""The batches that `serial` makes of a play's hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from remedy.errors import Position
from remedy.playbook import readers

T = TypeVar("T")


def batches(hosts: Sequence[T], serial: Sequence[object], position: Position) -> list[list[T]]:
    """Split hosts into batches; the last size repeats, a percentage is of all hosts and at least one.

    `serial` is a play's, rendered: numbers, "5" or "30%"; empty is one batch. `position` is for errors.
    """
    sizes = [_size(one, len(hosts), position) for one in serial] or [len(hosts)]
    left = list(hosts)
    found: list[list[T]] = []
    while left:
        size = sizes[min(len(found), len(sizes) - 1)]
        found.append(left[:size])
        left = left[size:]
    return found


def _size(written: object, count: int, position: Position) -> int:
    text = str(written).strip()
    percent = text.removesuffix("%")
    if isinstance(written, bool) or not (percent.isascii() and percent.isdecimal() and int(percent)):
        raise readers.wrong(written, "serial", position, "a number of hosts (5) or a percentage (30%)")
    return max(1, int(percent) * count // 100) if text.endswith("%") else int(text)
