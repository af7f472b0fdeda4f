"""Lookups over lists and mappings: what is behind Ansible's `with_` loops."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from remedy.template.filters.data import flatten, subelements
from remedy.template.trouble import FilterError

if TYPE_CHECKING:
    from remedy.template.lookups.request import Request

_MOST = 1_000_000


def items(request: Request, *terms: Any) -> list[Any]:
    return flatten(terms, levels=1, skip_nulls=False)


def as_list(request: Request, *terms: Any) -> list[Any]:
    return list(terms)


def as_dict(request: Request, *terms: Any) -> list[Any]:
    for term in terms:
        if not isinstance(term, Mapping):
            raise FilterError(f"lookup dict: expected a mapping, found {type(term).__name__}")
    return [{"key": key, "value": value} for term in terms for key, value in term.items()]


def indexed_items(request: Request, *terms: Any) -> list[Any]:
    return [[index, item] for index, item in enumerate(items(request, *terms))]


def together(request: Request, *terms: Any) -> list[Any]:
    return [list(row) for row in itertools.zip_longest(*_lists("together", terms))]


def nested(request: Request, *terms: Any) -> list[Any]:
    return [flatten(row, levels=1, skip_nulls=False) for row in itertools.product(*_lists("nested", terms))]


def random_choice(request: Request, *terms: Any) -> list[Any]:
    choices = items(request, *terms)
    return [random.SystemRandom().choice(choices)] if choices else []


def of_subelements(request: Request, *terms: Any) -> list[Any]:
    if len(terms) < 2:
        raise FilterError("lookup subelements: expected a list, and the name of a list in its elements")
    skip = bool(terms[2].get("skip_missing")) if len(terms) > 2 and isinstance(terms[2], Mapping) else False
    # As in Ansible the lookup leaves the list out of its element; the filter keeps it.
    return [
        [{key: value for key, value in element.items() if key != terms[1]}, item]
        for element, item in subelements(terms[0], terms[1], skip)
    ]


def sequence(request: Request, *terms: Any, **options: Any) -> list[Any]:
    """Return numbers as texts: `start=1 end=3 stride=1 count=3 format=%02d`, or those as options."""
    given = {**options}
    for term in terms:
        given |= dict(part.split("=", 1) for part in str(term).split() if "=" in part)
    unknown = set(given) - {"start", "end", "stride", "count", "format"}
    if unknown or ("count" in given) == ("end" in given):
        raise FilterError("lookup sequence: expected start=, and end= or count=, stride= and format=")
    start, stride = _number(given.get("start", 1)), _number(given.get("stride", 1))
    count = _number(given["count"]) if "count" in given else None
    end = start + stride * (count - 1) if count is not None else _number(given["end"])
    if stride == 0 or count == 0:
        return []
    numbers = range(start, end + (1 if stride > 0 else -1), stride)
    if len(numbers) > _MOST:
        raise FilterError(f"lookup sequence: more than {_MOST} numbers")
    return [str(given.get("format", "%d")) % number for number in numbers]


def _number(value: Any) -> int:
    return value if isinstance(value, int) else int(str(value), 0)


def _lists(name: str, terms: tuple[Any, ...]) -> list[list[Any]]:
    if not terms:
        raise FilterError(f"lookup {name}: expected one list at least")
    return [list(term) if isinstance(term, list | tuple) else [term] for term in terms]


LOOKUPS = {
    "items": items,
    "list": as_list,
    "dict": as_dict,
    "indexed_items": indexed_items,
    "together": together,
    "nested": nested,
    "random_choice": random_choice,
    "subelements": of_subelements,
    "sequence": sequence,
}
