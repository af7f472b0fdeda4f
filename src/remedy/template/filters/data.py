"""Filters over mappings and lists of mappings."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jinja2 import Environment, pass_environment

from remedy.template.missing import Missing
from remedy.template.trouble import FilterError

_MERGES = ("replace", "keep", "append", "prepend", "append_rp", "prepend_rp")


def combine(*terms: Any, recursive: bool = False, list_merge: str = "replace") -> dict[Any, Any]:
    """Return the mappings merged, the last one winning; `recursive` and `list_merge` as in Ansible."""
    if list_merge not in _MERGES:
        raise FilterError(
            f"combine: list_merge '{list_merge}' is not known; expected one of {', '.join(_MERGES)}"
        )
    merged: dict[Any, Any] = {}
    for term in flatten(terms):
        if not isinstance(term, Mapping):
            raise FilterError(f"combine: expected mappings, found {type(term).__name__}")
        merged = _merged(merged, term, recursive, list_merge)
    return merged


def _merged(low: Mapping[Any, Any], high: Mapping[Any, Any], recursive: bool, lists: str) -> dict[Any, Any]:
    result = dict(low)
    for key, value in high.items():
        below = result.get(key)
        if recursive and isinstance(below, Mapping) and isinstance(value, Mapping):
            result[key] = _merged(below, value, recursive, lists)
        elif isinstance(below, list) and isinstance(value, list):
            result[key] = _merged_lists(below, value, lists)
        else:
            result[key] = value
    return result


def _merged_lists(below: list[Any], value: list[Any], lists: str) -> list[Any]:
    if lists == "keep":
        return below
    if lists == "append":
        return below + value
    if lists == "prepend":
        return value + below
    if lists == "append_rp":
        return [item for item in below if item not in value] + value
    if lists == "prepend_rp":
        return value + [item for item in below if item not in value]
    return value


def dict2items(value: Any, key_name: str = "key", value_name: str = "value") -> list[dict[str, Any]]:
    if not isinstance(value, Mapping):
        raise FilterError(f"dict2items: expected a mapping, found {type(value).__name__}")
    return [{key_name: key, value_name: item} for key, item in value.items()]


def items2dict(value: Any, key_name: str = "key", value_name: str = "value") -> dict[Any, Any]:
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise FilterError(f"items2dict: expected a list of mappings, found {type(value).__name__}")
    for item in value:
        if not isinstance(item, Mapping) or key_name not in item or value_name not in item:
            raise FilterError(
                f"items2dict: expected items with '{key_name}' and '{value_name}', found {item!r}"
            )
    return {item[key_name]: item[value_name] for item in value}


def flatten(value: Iterable[Any], levels: int | None = None, skip_nulls: bool = True) -> list[Any]:
    """Return a list of lists as one list, nulls left out."""
    flat: list[Any] = []
    for item in value:
        if skip_nulls and (item is None or (isinstance(item, str) and item in ("None", "null"))):
            continue
        if isinstance(item, list | tuple) and (levels is None or levels >= 1):
            flat += flatten(item, None if levels is None else int(levels) - 1, skip_nulls)
        else:
            flat.append(item)
    return flat


def subelements(value: Any, subelements: Any, skip_missing: bool = False) -> list[tuple[Any, Any]]:
    """Return pairs of an element and each item of the list found in it under a dotted name."""
    elements = list(value.values()) if isinstance(value, Mapping) else value
    if not isinstance(elements, list | tuple):
        raise FilterError(f"subelements: expected a list or a mapping, found {type(value).__name__}")
    path = subelements.split(".") if isinstance(subelements, str) else list(subelements)
    pairs: list[tuple[Any, Any]] = []
    for element in elements:
        found: Any = element
        for part in path:
            if not isinstance(found, Mapping) or part not in found:
                if skip_missing:
                    found = []
                    break
                raise FilterError(f"subelements: there is no '{part}' in {found!r}")
            found = found[part]
        if not isinstance(found, list | tuple):
            raise FilterError(f"subelements: '{'.'.join(path)}' is no list but {type(found).__name__}")
        pairs += [(element, item) for item in found]
    return pairs


@pass_environment
def extract(environment: Environment, item: Any, container: Any, morekeys: Any = None) -> Any:
    keys = [item, *([] if morekeys is None else morekeys if isinstance(morekeys, list) else [morekeys])]
    for key in keys:
        container = environment.getitem(container, key)
        if isinstance(container, Missing):
            break
    return container


def rekey_on_member(data: Any, key: str, duplicates: str = "error") -> dict[Any, Any]:
    """Return mappings keyed by one of their members."""
    found: dict[Any, Any] = {}
    for item in data.values() if isinstance(data, Mapping) else data:
        if not isinstance(item, Mapping) or key not in item:
            raise FilterError(f"rekey_on_member: there is no '{key}' in {item!r}")
        if item[key] in found and duplicates != "overwrite":
            raise FilterError(f"rekey_on_member: '{item[key]}' occurs twice; or say duplicates='overwrite'")
        found[item[key]] = item
    return found


def zipped(*lists: Iterable[Any], strict: bool = False) -> list[tuple[Any, ...]]:
    return list(zip(*lists, strict=strict))


def zip_longest(*lists: Iterable[Any], fillvalue: Any = None) -> Iterator[tuple[Any, ...]]:
    return itertools.zip_longest(*lists, fillvalue=fillvalue)


FILTERS: dict[str, Callable[..., Any]] = {
    "combine": combine,
    "dict2items": dict2items,
    "items2dict": items2dict,
    "flatten": flatten,
    "subelements": subelements,
    "extract": extract,
    "rekey_on_member": rekey_on_member,
    "zip": zipped,
    "zip_longest": zip_longest,
    "product": itertools.product,
    "permutations": itertools.permutations,
    "combinations": itertools.combinations,
}
