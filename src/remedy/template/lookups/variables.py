"""Lookups of variables and of the environment."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from remedy.template.missing import Missing
from remedy.template.trouble import FilterError

if TYPE_CHECKING:
    from remedy.template.lookups.request import Request

_ABSENT = object()


def env(request: Request, *names: Any, default: Any = "") -> list[Any]:
    return [os.environ.get(str(name), default) for name in names]


def variables(request: Request, *names: Any, default: Any = _ABSENT) -> list[Any]:
    """Return variables by computed names."""
    found = []
    for name in names:
        value = request.templar.resolve(str(name), request.scope) if request.scope.has(str(name)) else _ABSENT
        if (value is _ABSENT or isinstance(value, Missing)) and default is not _ABSENT:
            value = default
        if value is _ABSENT:
            raise FilterError(f"lookup vars: there is no variable '{name}'; or give it a default=...")
        found.append(value)
    return found


def varnames(request: Request, *patterns: Any) -> list[Any]:
    """Return the names of variables that match regular expressions."""
    for name in request.scope.pending():
        request.templar.touch(name)
    wanted = [re.compile(str(pattern)) for pattern in patterns]
    return sorted(name for name in request.scope.names() if any(each.search(name) for each in wanted))


LOOKUPS = {"env": env, "vars": variables, "varnames": varnames}
