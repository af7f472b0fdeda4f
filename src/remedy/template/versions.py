"""Comparing versions, for the `version` test."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from remedy.template.trouble import FilterError

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    **dict.fromkeys(("==", "=", "eq"), operator.eq),
    **dict.fromkeys(("<", "lt"), operator.lt),
    **dict.fromkeys(("<=", "le"), operator.le),
    **dict.fromkeys((">", "gt"), operator.gt),
    **dict.fromkeys((">=", "ge"), operator.ge),
    **dict.fromkeys(("!=", "<>", "ne"), operator.ne),
}
_STRICT = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:([ab])(\d+))?")
_SEMANTIC = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
_LOOSE = re.compile(r"\d+|[a-z]+", re.IGNORECASE)


def _word(part: str) -> tuple[int, int, str]:
    """Return a key that sorts numbers among numbers, and above words."""
    return (1, int(part), "") if part.isdigit() else (0, 0, part)


def _loose(version: str) -> Any:
    return tuple(_word(part) for part in _LOOSE.findall(version))


def _strict(version: str) -> Any:
    found = _STRICT.fullmatch(version)
    if found is None:
        raise FilterError(f"version: '{version}' is no strict version; expected 1.2 or 1.2.3, then a1 or b1")
    major, minor, patch, stage, count = found.groups()
    return int(major), int(minor), int(patch or 0), (stage, int(count)) if stage else ("z", 0)


def _semantic(version: str) -> Any:
    found = _SEMANTIC.fullmatch(version)
    if found is None:
        raise FilterError(f"version: '{version}' is no semantic version; expected 1.2.3 or 1.2.3-rc.1")
    *numbers, stage = found.groups()
    # In a stage numbers sort below words, and a release above all its stages.
    parts = tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in stage.split(".")) if stage else ()
    return tuple(int(number) for number in numbers), not stage, parts


_TYPES = {"loose": _loose, "strict": _strict, "semver": _semantic, "semantic": _semantic}


def compare(
    value: Any,
    version: Any,
    operator: str = "eq",
    strict: bool | None = None,
    version_type: str | None = None,
) -> bool:
    """Tell whether a version stands to another as the operator says; types are loose, strict and semver."""
    if operator not in _OPERATORS:
        raise FilterError(f"version: the operator '{operator}' is not known; one of {', '.join(_OPERATORS)}")
    if not str(value) or not str(version):
        raise FilterError("version: a version is empty")
    kind = version_type or ("strict" if strict else "loose")
    if kind not in _TYPES:
        raise FilterError(f"version: the type '{kind}' is not known; expected one of {', '.join(_TYPES)}")
    parse = _TYPES[kind]
    return _OPERATORS[operator](parse(str(value)), parse(str(version)))
