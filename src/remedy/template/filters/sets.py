"""Filters over lists as sets; order is kept, and items may be mappings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from jinja2 import Environment, pass_environment
from jinja2.filters import make_attrgetter


def _once(items: Iterable[Any]) -> list[Any]:
    try:
        return list(dict.fromkeys(items))
    except TypeError:  # mappings and lists cannot be keys
        found: list[Any] = []
        for item in items:
            if item not in found:
                found.append(item)
        return found


def union(a: list[Any], b: list[Any]) -> list[Any]:
    return _once([*a, *b])


def intersect(a: list[Any], b: list[Any]) -> list[Any]:
    return [item for item in _once(list(a)) if item in b]


def difference(a: list[Any], b: list[Any]) -> list[Any]:
    return [item for item in _once(list(a)) if item not in b]


def symmetric_difference(a: list[Any], b: list[Any]) -> list[Any]:
    return difference(a, b) + difference(b, a)


@pass_environment
def unique(
    environment: Environment, items: list[Any], case_sensitive: bool | None = None, attribute: Any = None
) -> list[Any]:
    key = make_attrgetter(environment, attribute) if attribute is not None else lambda item: item
    seen: list[Any] = []
    found: list[Any] = []
    for item in items:
        mark = key(item)
        if case_sensitive is False and isinstance(mark, str):
            mark = mark.lower()
        if mark not in seen:
            seen.append(mark)
            found.append(item)
    return found


FILTERS: dict[str, Callable[..., Any]] = {
    "union": union,
    "intersect": intersect,
    "difference": difference,
    "symmetric_difference": symmetric_difference,
    "unique": unique,
}
