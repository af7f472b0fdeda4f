"""A curve in one line of text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

_STEPS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """Return the values as a curve of at most so many characters, between the lowest and the highest of them.

    Where there are more values, a character is the highest of its stretch.
    """
    if not values:
        return ""
    if len(values) > width:
        edges = [len(values) * number // width for number in range(width + 1)]
        values = [max(values[low:high]) for low, high in pairwise(edges)]
    low, high = min(values), max(values)
    if high == low:
        return _STEPS[0] * len(values)
    return "".join(_STEPS[min(7, int((value - low) / (high - low) * 8))] for value in values)
