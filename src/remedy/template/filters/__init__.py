"""Ansible's filters, over Jinja's own; each also under its `ansible.builtin.` name.

A generator a filter returns becomes a list, so that it can be counted and looked at twice. A missing value
passes through a filter unchanged, so that a `default` behind it still sees it, and an error names what was
missing first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from jinja2.filters import FILTERS as OF_JINJA

from remedy.secret import Secrets
from remedy.template.filters import data, encoding, fallback, numbers, paths, sets, text, times
from remedy.template.missing import Missing

Filter = Callable[..., Any]

# What these make of a secret is as secret, and no longer contains the text that would be masked.
_DERIVING = frozenset(
    [
        "b64decode", "b64encode", "capitalize", "checksum", "comment", "e", "escape", "format",
        "hash", "indent", "lower", "md5", "quote", "regex_escape", "regex_replace", "replace",
        "reverse", "sha1", "string", "title", "to_json", "to_nice_json", "to_nice_yaml", "to_uuid",
        "to_yaml", "trim", "truncate", "upper", "urldecode", "urlencode", "urlsplit",
    ]
)  # fmt: skip
_SEES_MISSING = frozenset(fallback.FILTERS)


def filters(secrets: Secrets) -> dict[str, Filter]:
    """Return every filter by its names; what the deriving ones make of a secret is added to `secrets`."""
    own: dict[str, Filter] = {
        **text.FILTERS,
        **data.FILTERS,
        **sets.FILTERS,
        **paths.FILTERS,
        **encoding.FILTERS,
        **numbers.FILTERS,
        **times.FILTERS,
        **fallback.FILTERS,
    }
    found: dict[str, Filter] = {}
    for name, function in {**OF_JINJA, **own}.items():
        made = function if name in _SEES_MISSING else _listing(function)
        if name in _DERIVING:
            made = _deriving(made, secrets)
        found[name] = found[f"ansible.builtin.{name}"] = made
    return found


def _listing(function: Filter) -> Filter:
    @functools.wraps(function)
    def listed(*args: Any, **kwargs: Any) -> Any:
        for arg in (*args, *kwargs.values()):
            if isinstance(arg, Missing):
                return arg
        result = function(*args, **kwargs)
        return list(result) if isinstance(result, Iterator) else result

    return listed


def _deriving(function: Filter, secrets: Secrets) -> Filter:
    @functools.wraps(function)
    def derived(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        given = next((arg for arg in args if isinstance(arg, str)), None)
        if given is not None and isinstance(result, str) and secrets.mask(given) != given:
            secrets.add(result)
        return result

    return derived
