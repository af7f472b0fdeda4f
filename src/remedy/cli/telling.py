"""What is said when a command cannot be carried out: one text for people, one document for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import date, time
from itertools import pairwise
from math import isfinite
from typing import Any

import click

_OUTCOMES = {2: "failed", 3: "refused", 4: "unreachable", 5: "bad_input", 99: "interrupted"}


def tell(text: str, code: int, *, color: bool | None = None) -> int:
    """Say what went wrong on standard error; return the exit code. `color` None asks the stream and NO_COLOR."""
    if color is None and os.environ.get("NO_COLOR"):
        color = False
    click.echo(f"{click.style('error:', fg='red', bold=True)} {harmless(text)}", err=True, color=color)
    return code


def harmless(text: str) -> str:
    """Return a text of one or more lines in which nothing steers the terminal: names and reasons come from hosts."""
    from remedy.report.text import safe

    return "\n".join(safe(line) for line in text.split("\n"))


def wants_color(arguments: Sequence[str]) -> bool | None:
    """Return what a command line says of colours, though it may not be one that can be read; None: nothing."""
    said = [word == "--color" for word in arguments if word in ("--color", "--no-color")]
    return said[-1] if said else None


def wants_json(arguments: Sequence[str]) -> bool:
    """Say whether a command line asks for a document, though it may not be one that can be read."""
    pairs = pairwise(arguments)
    return "--format=json" in arguments or ("--format", "json") in pairs


def as_json(document: dict[str, Any], error: str | None = None, code: int | None = None) -> str:
    """Return a run's document as text; a run that went wrong as a whole says why in it, with its exit code."""
    if error is not None:
        document["run"]["error"] = error
    if code is not None:
        document["run"].update(outcome=_OUTCOMES.get(code, "error"), exit_code=code)
    return json.dumps(_plain(document), indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    """Return a value as JSON has words for it: results hold what YAML and templates make, and numbers that are none."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(_plain, value), key=str)
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "surrogateescape")
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _key(key: Any) -> str:
    plain = _plain(key)
    return plain if isinstance(plain, str) else json.dumps(plain)


def never_begun(error: str, code: int) -> str:
    """Return the document of a run that never began: outcome bad_input mostly, and the error."""
    from remedy.report import JsonReport

    document = JsonReport().document()
    return as_json(document, error, code)
