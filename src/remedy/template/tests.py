"""Ansible's tests (`x is failed`), over Jinja's own; each also under its `ansible.builtin.` name."""

from __future__ import annotations

import functools
import math
import os.path
import re
from collections.abc import Callable, Container, Mapping
from typing import Any

from jinja2 import Undefined
from jinja2.tests import TESTS as OF_JINJA

from remedy.template.filters.text import to_bool
from remedy.template.missing import Broken, Missing
from remedy.template.trouble import FilterError
from remedy.template.versions import compare

Test = Callable[..., Any]


def _flag(name: str) -> Test:
    def test(result: Any) -> bool:
        if not isinstance(result, Mapping):
            raise FilterError(f"'is {name}' asks a task's result, found {type(result).__name__}")
        return bool(result.get(name))

    return test


def _not(test: Test) -> Test:
    return lambda result: not test(result)


_failed, _skipped, _unreachable = _flag("failed"), _flag("skipped"), _flag("unreachable")


def changed(result: Any) -> bool:
    if isinstance(result, Mapping) and "changed" not in result and isinstance(result.get("results"), list):
        return any(isinstance(item, Mapping) and item.get("changed") for item in result["results"])
    return bool(_flag("changed")(result))


def _regex(how: str) -> Test:
    def test(value: Any, pattern: str = "", ignorecase: bool = False, multiline: bool = False) -> bool:
        flags = (re.IGNORECASE if ignorecase else 0) | (re.MULTILINE if multiline else 0)
        return getattr(re.compile(pattern, flags), how)(str(value)) is not None

    return test


def regex(
    value: Any,
    pattern: str = "",
    ignorecase: bool = False,
    multiline: bool = False,
    match_type: str = "search",
) -> bool:
    if match_type not in ("search", "match", "fullmatch"):
        raise FilterError(f"regex: '{match_type}' is not known; expected search, match or fullmatch")
    return bool(_regex(match_type)(value, pattern, ignorecase, multiline))


def truthy(value: Any, convert_bool: bool = False) -> bool:
    if convert_bool:
        return to_bool(value) if isinstance(value, str) else bool(value)
    return bool(value)


def falsy(value: Any, convert_bool: bool = False) -> bool:
    return not truthy(value, convert_bool)


def subset(a: Any, b: Any) -> bool:
    return all(item in b for item in a)


def superset(a: Any, b: Any) -> bool:
    return subset(b, a)


def contains(container: Container[Any], value: Any) -> bool:
    return value in container


def is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def defined(value: Any) -> bool:
    if isinstance(value, Broken):
        value.reveal()
    return not isinstance(value, Undefined)


def undefined(value: Any) -> bool:
    return not defined(value)


_OWN: dict[str, Any] = {
    "failed": _failed,
    "failure": _failed,
    "success": _not(_failed),
    "succeeded": _not(_failed),
    "successful": _not(_failed),
    "changed": changed,
    "change": changed,
    "skipped": _skipped,
    "skip": _skipped,
    "unreachable": _unreachable,
    "reachable": _not(_unreachable),
    "timedout": lambda result: (
        isinstance(result, Mapping) and bool((result.get("timedout") or {}).get("period"))
    ),
    "finished": lambda result: bool(result.get("finished", True)),
    "started": lambda result: bool(result.get("started", True)),
    "match": _regex("match"),
    "search": _regex("search"),
    "regex": regex,
    "version": compare,
    "version_compare": compare,
    "truthy": truthy,
    "falsy": falsy,
    "subset": subset,
    "issubset": subset,
    "superset": superset,
    "issuperset": superset,
    "contains": contains,
    "any": any,
    "all": all,
    "nan": is_nan,
    "isnan": is_nan,
    # the control machine's files
    "abs": os.path.isabs,
    "is_abs": os.path.isabs,
    "directory": os.path.isdir,
    "is_dir": os.path.isdir,
    "exists": os.path.exists,
    "file": os.path.isfile,
    "is_file": os.path.isfile,
    "link": os.path.islink,
    "is_link": os.path.islink,
    "link_exists": os.path.lexists,
    "mount": os.path.ismount,
    "is_mount": os.path.ismount,
    "same_file": os.path.samefile,
    "is_same_file": os.path.samefile,
}


def _passing_missing(test: Test) -> Test:
    @functools.wraps(test)
    def asked(*args: Any, **kwargs: Any) -> Any:
        for arg in (*args, *kwargs.values()):
            if isinstance(arg, Missing):
                return arg
        return test(*args, **kwargs)

    return asked


TESTS: dict[str, Test] = {
    **{name: _passing_missing(test) for name, test in {**OF_JINJA, **_OWN}.items()},
    "defined": defined,
    "undefined": undefined,
}
TESTS |= {f"ansible.builtin.{name}": test for name, test in TESTS.items()}
"""Every test by its names."""
