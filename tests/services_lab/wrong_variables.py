"""Variables of runbooks that make no sense: what is tried, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.healing import why
from tests.acceptance.operator import Operator

BOOKS = Path(__file__).parents[2] / "playbooks"
WRONG: dict[str, tuple[tuple[Any, str], ...]] = {  # values that are not of a type, and what is said of them
    "percent": (("most", "a percentage from 0 to 100"), ("150%", "a percentage from 0 to 100")),
    "duration": (("soon", "a duration such as 90s"), ("60 lightyears", "a duration")),
    "size": (("1GG", "a size in bytes, such as 512, 10K"), ("much", "a size")),
    "int": (("abc", "a whole number"), ("1.5", "a whole number")),
    "days": (("soon", "a number of days, such as 14"),),
    "bool": (("perhaps", "yes or no"),),
    "names": (({"a": "b"}, "a list of names"), ([7], "a list of names")),
}
MINUS = {
    "duration": (("-5m", "0 or more"),),
    "size": (("-1G", "0 or more"),),
    "int": (("-5", "0 or more"),),
    "days": (("-3", "0 or more"),),
}



def variables(book: str, elsewhere: Collection[str]) -> dict[str, str]:
    """Return the variables that a runbook checks, and their types; `elsewhere` are those that others ask."""
    (play,) = yaml.safe_load((BOOKS / f"{book}.yml").read_text())
    check = play["diagnose"][0]
    assert check["import_tasks"] == "check-variables.yml", "before anything else"
    types: dict[str, str] = check["vars"]["variable_types"]
    assert set(types) == set(play["vars"]) - set(elsewhere), "all variables of the runbook"
    return types


def all_are_refused(operator: Operator, book: str, service: str, elsewhere: Collection[str]) -> None:
    """Play a runbook with each variable wrong in each way: it says so, and asks no module of the service."""
    for name, kind in variables(book, elsewhere).items():
        first, _, above = kind.partition(" above ")
        least = (("0s", f"more than {above}"), ("-5m", f"more than {above}")) if above else (*MINUS.get(first, ()),)
        for value, text in (*WRONG[first], *least):
            done = operator.here("play", book, "--yes", "-e", json.dumps({name: value}))
            assert done.code == 2, (name, value, why(done))
            assert done.report["changes"] == []
            (failed,) = [each for each in done.report["tasks"] if each["status"] == "failed"]
            assert f"{name} '{value}': expected {text}" in failed["reason"], failed["reason"]
            assert "nothing was changed" in failed["reason"]
            assert not [each for each in done.report["tasks"] if each["module"].startswith(service)], name
