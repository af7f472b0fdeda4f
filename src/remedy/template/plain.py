"""From the author's documents and from Jinja's objects to plain data."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import Undefined, UndefinedError
from markupsafe import Markup

from remedy.document import Text, VaultText
from remedy.template.missing import Missing
from remedy.template.signals import OMIT, Unknowable, UnknownValue

STARTS = ("{{", "{%", "{#")
_SCALARS = (bool, int, float, bytes, type(None), datetime.date, datetime.time, datetime.timedelta)


def may_be_template(text: str) -> bool:
    """Tell whether a text holds anything for Jinja."""
    return "{" in text and any(start in text for start in STARTS)


def is_static(value: Any) -> bool:
    """Tell whether a value holds neither template nor vaulted text, so that it is the same for everyone."""
    if isinstance(value, str):
        return not isinstance(value, VaultText) and not (isinstance(value, Text) and may_be_template(value))
    if isinstance(value, dict):
        return all(is_static(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(is_static(item) for item in value)
    return not isinstance(value, Unknowable)


def plain(value: Any) -> Any:
    """Return a value as str, numbers, dates, list and dict; what is omitted goes, what is missing raises.

    Generators, tuples, sets and ranges become lists. Raises UndefinedError, or the error that a Broken
    value keeps, and UnknownValue.
    """
    if value is OMIT or type(value) in (str, int, bool, type(None), float):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Missing):
        value._fail_with_undefined_error()
    if isinstance(value, Undefined):
        raise UndefinedError(value._undefined_message)
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, Unknowable):
        raise UnknownValue(value.reason, "")
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items() if item is not OMIT}
    if isinstance(value, Iterable):
        return [plain(item) for item in value if item is not OMIT]
    raise TypeError(f"a template cannot result in {type(value).__name__}")


def _key(key: Any) -> Any:
    return str.__str__(key) if isinstance(key, str) else key


def as_text(value: Any) -> str:
    """Return a value as it stands in a text between others: nothing for null."""
    if type(value) is Undefined:  # "{{ 'x' if no }}": Jinja's inline if without else
        return ""
    value = plain(value)
    if value is OMIT:
        raise ValueError("omit stands for a whole argument and cannot be a part of a text")
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value)


def concat(parts: Iterable[Any]) -> Any:
    """Join what a template's parts gave: one keeps its type, several join as text, nothing is re-parsed."""
    given = [part for part in parts if part is not None]
    if not given:
        return None
    if len(given) == 1:
        part = given[0]
        return str.__str__(part) if isinstance(part, Markup) else part
    return "".join(as_text(part) for part in given)
