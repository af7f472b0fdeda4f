"""Host patterns of inventory files: `web[01:50].example.com`, `db-[a:f]`, `host:2222`."""

from __future__ import annotations

import re
import string
from pathlib import Path

from remedy.document import Map
from remedy.errors import InputError, Position
from remedy.inventory.draft import Draft

_PORT = re.compile(r"((?:[^:\[\]]|\[[^\]]*\])+):(\d+)")
_BRACKETED_PORT = re.compile(r"\[(.+)\]:(\d+)")
_RANGE = re.compile(r"\[([^\[\]]*)\]")
_MOST = 100_000


def expand(written: str, where: Position | None) -> tuple[list[str], int | None]:
    """Return the host names that a pattern stands for, and its port; InputError where it is wrong."""
    found = _BRACKETED_PORT.fullmatch(written) or _PORT.fullmatch(written)
    pattern, port = (found[1], int(found[2])) if found else (written, None)
    if not pattern or (pattern.endswith(":") and pattern.count(":") == 1 and "[" not in pattern):
        hint = "expected a name, or NAME:PORT"
        raise InputError(f"'{written}' is no host name", where=where, hint=hint)
    names = [pattern]
    while "[" in names[0]:
        parts = [_RANGE.split(name, maxsplit=1) for name in names]
        if len(parts[0]) != 3:
            raise _wrong(written, "a bracket is not closed", where)
        steps = _steps(written, parts[0][1], where)
        if len(names) * len(steps) > _MOST:
            raise _wrong(written, f"it stands for more than {_MOST} hosts", where)
        names = [f"{head}{step}{tail}" for head, _, tail in parts for step in steps]
    return names, port


def add_hosts(
    draft: Draft, written: str, group: str, variables: Map, where: Position | None, file: Path | None
) -> None:
    """Put the hosts that a pattern stands for into a group, with these variables."""
    names, port = expand(written, where)
    for name in names:
        draft.add_host(name, group, file)
        if port is not None:
            draft.set_host(name, "ansible_port", port, where)
        for key, value in variables.items():
            draft.set_host(name, key, value, variables.values_at.get(key, where))


def _steps(written: str, text: str, where: Position | None) -> list[str]:
    bounds = text.split(":")
    if len(bounds) not in (2, 3):
        raise _wrong(written, f"'[{text}]' has no begin and end", where)
    begin, end = bounds[0] or "0", bounds[1]
    step = bounds[2] if len(bounds) == 3 else "1"
    if not step.isdecimal() or int(step) == 0:
        raise _wrong(written, f"the step '{step}' is no number above 0", where)
    if len(begin) == len(end) == 1 and begin in string.ascii_letters and end in string.ascii_letters:
        letters = string.ascii_letters
        first, last = letters.index(begin), letters.index(end)
        names = list(letters[first : last + 1 : int(step)])
    elif begin.isdecimal() and end.isdecimal():
        width = len(begin) if begin[0] == "0" and len(begin) > 1 else 0
        if width and width != len(end):
            raise _wrong(written, f"'{begin}' and '{end}' differ in length", where)
        if int(end) - int(begin) >= _MOST * int(step):
            raise _wrong(written, f"it stands for more than {_MOST} hosts", where)
        names = [str(number).zfill(width) for number in range(int(begin), int(end) + 1, int(step))]
    else:
        raise _wrong(written, f"'{begin}' and '{end}' are neither numbers nor single letters", where)
    if not names:
        raise _wrong(written, f"'{begin}' comes after '{end}'", where)
    return names


def _wrong(written: str, why: str, where: Position | None) -> InputError:
    hint = "expected [BEGIN:END] or [BEGIN:END:STEP], such as web[01:50] or db-[a:f]"
    return InputError(f"the range in '{written}' is wrong: {why}", where=where, hint=hint)
