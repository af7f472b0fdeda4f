"""What is said when a command cannot be carried out: one text for people, one document for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import click

_OUTCOMES = {2: "failed", 3: "refused", 4: "unreachable", 5: "bad_input", 99: "interrupted"}


def tell(text: str, code: int) -> int:
    """Say what went wrong on standard error; return the exit code."""
    click.echo(f"{click.style('error:', fg='red', bold=True)} {text}", err=True)
    return code


def wants_json(arguments: Sequence[str]) -> bool:
    """Say whether a command line asks for a document, though it may not be one that can be read."""
    pairs = pairwise(arguments)
    return "--format=json" in arguments or ("--format", "json") in pairs


def as_json(document: dict[str, Any], error: str | None = None) -> str:
    """Return a run's document as text; a run that was refused says why in it."""
    if error is not None:
        document["run"]["error"] = error
    return json.dumps(document, indent=2)


def never_begun(error: str, code: int) -> str:
    """Return the document of a run that never began: outcome bad_input mostly, and the error."""
    from remedy.report import JsonReport

    document = JsonReport().document()
    document["run"].update(outcome=_OUTCOMES.get(code, "error"), exit_code=code)
    return as_json(document, error)
