"""Jinja's errors, mapped to remedy's in one place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from jinja2 import (
    Template,
    TemplateAssertionError,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    UndefinedError,
)
from jinja2.exceptions import SecurityError

from remedy.errors import InputError, Position, RemedyError, UndefinedVariable, nearest

_ROOT = re.compile(r"'(.+)' is undefined$")
_UNKNOWN = re.compile(r"No (filter|test) named '(.+)'")
_SYNTAX = "expected Jinja: {{ expression }}, {% statement %}, {# comment #}"

REFUSED = {
    "password_hash": "hash the password once, and keep the hash in a vaulted variable",
    "vault": "encrypt with ansible-vault",
    "unvault": "keep the value as a !vault scalar",
    "json_query": "use map, selectattr and dict2items",
    "ipaddr": "remedy has no network filters",
}
"""Filters that Ansible knows and remedy does not offer: what to do instead."""


class FilterError(Exception):
    """A filter, test or lookup cannot work with what it was given; the text says why."""


def syntax(
    error: TemplateSyntaxError, where: Position | None, known: Mapping[str, Iterable[str]]
) -> InputError:
    """Return the error of a template that Jinja cannot read; `known` are the names of filters and tests."""
    place = f" on line {error.lineno} of the template" if error.lineno > 1 else ""
    if isinstance(error, TemplateAssertionError) and (found := _UNKNOWN.match(error.message or "")):
        kind, name = found.groups()
        hint = REFUSED.get(name) or _near(name, known[kind])
        return InputError(f"there is no {kind} '{name}'{place}", where=where, hint=hint)
    return InputError(f"the template cannot be read{place}: {error.message}", where=where, hint=_SYNTAX)


def _near(name: str, known: Iterable[str]) -> str:
    hint = nearest(name, (word for word in known if "." not in word))
    return (
        hint
        if hint.startswith("did you mean")
        else "the docs list those of Jinja and Ansible that remedy has"
    )


def place_of(error: BaseException, where: Position | None) -> Position | None:
    """Return where an error arose: for template files with the line, in an included one if it was there."""
    place = where
    trace = error.__traceback__
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if isinstance(template, Template):
            line = template.get_corresponding_lineno(trace.tb_lineno)
            if template.name is not None:
                place = Position(template.filename or template.name, line)
            elif where is not None and not where.line:
                place = Position(where.file, line)
        trace = trace.tb_next
    return place


def rendering(error: Exception, where: Position | None, names: Iterable[str]) -> RemedyError:
    """Return the error of a template that failed while rendering; `names` are the variables there are."""
    if isinstance(error, RemedyError):
        if error.where is None:
            error.where = where
        return error
    if isinstance(error, UndefinedError) and not isinstance(error, SecurityError):
        return undefined(error, where, names)
    if isinstance(error, SecurityError):
        hint = "templates may read values, not reach into or change the objects behind them"
        return InputError(f"the template is not allowed to do that: {error}", where=where, hint=hint)
    if isinstance(error, TemplateNotFound):
        hint = "looked beside the template, in the role's and in the playbook's templates/"
        return InputError(f"the template file '{error.name}' does not exist", where=where, hint=hint)
    if isinstance(error, FilterError | TemplateError):
        return InputError(f"the template failed: {error}", where=where)
    if isinstance(error, RecursionError):
        hint = "look for variables that are made from each other"
        return InputError("the template refers to itself without an end", where=where, hint=hint)
    return InputError(f"the template failed: {type(error).__name__}: {error}", where=where)


def undefined(error: UndefinedError, where: Position | None, names: Iterable[str]) -> UndefinedVariable:
    """Return the error of a template that names something undefined, with the nearest name there is."""
    message = error.message or "a value is undefined"
    found = _ROOT.match(message)
    if not found:
        return UndefinedVariable(
            f"undefined: {message}", where=where, hint="or give it a default: x | default('')"
        )
    hint = nearest(found[1], names)
    if not hint.startswith("did you mean"):
        hint = "set it in the inventory, the play's vars or with -e, or give it a default: x | default('')"
    return UndefinedVariable(f"the variable '{found[1]}' is undefined", where=where, hint=hint)
