"""Filters that look at values that may be missing: default, mandatory, type_debug."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import Undefined

from remedy.template.missing import Broken, Missing
from remedy.template.trouble import FilterError


def default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    if isinstance(value, Broken):
        value.reveal()
    if isinstance(value, Undefined) or (boolean and not value):
        return default_value
    return value


def mandatory(value: Any, msg: str | None = None) -> Any:
    if isinstance(value, Broken):
        value.reveal()
    if isinstance(value, Missing):
        if msg is None:
            value._fail_with_undefined_error()
        raise FilterError(msg)
    return value


def type_debug(value: Any) -> str:
    return "undefined" if isinstance(value, Undefined) else type(value).__name__


FILTERS: dict[str, Callable[..., Any]] = {
    "default": default,
    "d": default,
    "mandatory": mandatory,
    "type_debug": type_debug,
}
