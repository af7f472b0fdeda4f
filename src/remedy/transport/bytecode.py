"""Byte code for hosts whose Python is of the control machine's kind: there, nothing has to be compiled.

Marshalled code means nothing to another Python. What decides is the number that Python itself compares before it
loads a .pyc file (importlib.util.MAGIC_NUMBER): the stage compares it on the host, and where it differs takes the
source, which travels too.
"""

from __future__ import annotations

import marshal
import sys
from collections.abc import Iterator, Mapping
from importlib.util import MAGIC_NUMBER
from types import CodeType

KIND = f"{sys.implementation.cache_tag}{MAGIC_NUMBER.hex()}"
"""The kind of this Python, as the stage on the host puts it together: name and number of its byte code."""

# What only few runs need stays source: byte code is twice as many bytes on the wire.
_SELDOM = {f"remedy.agent.{name}" for name in ("become", "children", "faults", "identity", "stage", "sweeps")}

_NO_COLUMNS, _NO_LINE = 13, 15  # kinds of entries in a table of locations (CPython, Objects/locations.md)
_MOST_UNITS = 8


def compiled(sources: Mapping[str, str]) -> dict[str, str | bytes]:
    """Return the modules as they travel to a Python of this kind: {name: marshalled code, or source}."""
    return {
        name: source if name in _SELDOM else _marshalled(name, source) for name, source in sources.items()
    }


def _marshalled(name: str, source: str) -> bytes:
    return marshal.dumps(_with_lines_only(compile(source, f"<{name}>", "exec", 0, dont_inherit=True)))


def _with_lines_only(code: CodeType) -> CodeType:
    """Return the code without the columns of its instructions: a third of its bytes, and of no use to a traceback
    whose source is not there. A Python that keeps them in another way keeps them."""
    inner = tuple(_with_lines_only(each) if isinstance(each, CodeType) else each for each in code.co_consts)
    shorter = code.replace(co_consts=inner, co_linetable=bytes(_lines(code)))
    if list(shorter.co_lines()) != list(code.co_lines()):
        return code.replace(co_consts=inner)
    return shorter


def _lines(code: CodeType) -> Iterator[int]:
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        units = (end - start) // 2
        while units > 0:
            length = min(units, _MOST_UNITS)
            units -= length
            if number is None:
                yield 0x80 | _NO_LINE << 3 | length - 1
            else:
                yield 0x80 | _NO_COLUMNS << 3 | length - 1
                yield from _varint(number - line)
                line = number


def _varint(number: int) -> Iterator[int]:
    """Six bits a byte, the lowest first; the lowest of all is the sign."""
    left = -number << 1 | 1 if number < 0 else number << 1
    while left >= 64:
        yield 0x40 | left & 63
        left >>= 6
    yield left
