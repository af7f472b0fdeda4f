"""Inventories in Ansible's INI format."""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from remedy.document import Map, Text
from remedy.errors import InputError, Position, nearest
from remedy.inventory.draft import Draft
from remedy.inventory.model import UNGROUPED, put
from remedy.inventory.ranges import add_hosts

_SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_GROUP = re.compile(r"([^:\]\s]+)\s*(?:#.*)?")
_KINDS = ("hosts", "children", "vars")


class _Promises(Struct):
    """Groups that are used before, or without, being declared: where, and by what."""

    vars: dict[str, Position] = field(default_factory=dict)
    children: dict[str, tuple[str, Position]] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)


def read_ini(text: str, file: Path, draft: Draft) -> None:
    """Add what an INI inventory says to the draft; InputError with the line of what it cannot mean."""
    group, kind, promises = UNGROUPED, "hosts", _Promises()
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        where = Position(str(file), number)
        if line[0] == "[" and (found := _section(line, where)) is not None:
            group, kind = found
            if kind == "vars":
                promises.vars.setdefault(group, where)
            else:
                promises.declared.add(group)
            draft.add_group(group)
        elif kind == "hosts":
            _host(line, group, where, file, draft)
        elif kind == "children":
            child = _GROUP.fullmatch(line)
            if child is None:
                raise InputError(f"'{line}' is no group name", where=where, hint="expected one name a line")
            promises.children.setdefault(child[1], (group, where))
            draft.add_child(group, child[1], where)
        else:
            name, value = _assignment(line, where)
            draft.set_group(group, name, typed(value, where), where)
    _keep(promises, draft)


def _section(line: str, where: Position) -> tuple[str, str] | None:
    """Return group and kind of a section, None where the line is a host pattern such as `[::1]:22`."""
    found = _SECTION.fullmatch(line)
    if found is None:
        if line.split("#")[0].strip().endswith("]"):
            hint = "expected [GROUP], [GROUP:vars] or [GROUP:children], without blanks"
            raise InputError(f"'{line}' is no section", where=where, hint=hint)
        return None
    kind = found[2] or "hosts"
    if kind not in _KINDS:
        raise InputError(f"a section cannot be of the kind '{kind}'", where=where, hint=nearest(kind, _KINDS))
    return found[1], kind


def _host(line: str, group: str, where: Position, file: Path, draft: Draft) -> None:
    try:
        pattern, *assignments = shlex.split(line, comments=True)
    except ValueError as error:
        hint = "expected NAME key=value ...; quote values with blanks"
        raise InputError(f"the host line cannot be read: {error}", where=where, hint=hint) from error
    if pattern == "---":
        hint = "expected INI here; name the file .yml if it is YAML"
        raise InputError("'---' begins a YAML document", where=where, hint=hint)
    variables = Map(where)
    for assignment in assignments:
        name, value = _assignment(assignment, where)
        put(variables, name, typed(value, where), where)
    add_hosts(draft, pattern, group, variables, where, file)


def _assignment(text: str, where: Position) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        hint = "expected key=value; quote values with blanks"
        raise InputError(f"'{text}' sets no variable", where=where, hint=hint)
    return name.strip(), value.strip()


def typed(value: str, where: Position) -> Any:
    """Return a value as Ansible types it: what Python would read as a literal is one, all else is text."""
    if value[:1].isalpha() and value not in ("True", "False", "None") and value[1:2] not in ("'", '"'):
        return Text(value, where)  # a word: no literal, and by far the most frequent
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            literal = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return Text(value, where)
    return _marked(literal, where)


def _marked(value: Any, where: Position) -> Any:
    if isinstance(value, str):
        return Text(value, where)
    if isinstance(value, list | tuple | set):
        return [_marked(item, where) for item in value]
    if isinstance(value, dict):
        return {str(key): _marked(item, where) for key, item in value.items()}
    if isinstance(value, bytes):
        return Text(value.decode("utf-8", "replace"), where)
    return value if isinstance(value, bool | int | float | None) else Text(str(value), where)


def _keep(promises: _Promises, draft: Draft) -> None:
    known = promises.declared | {"all", UNGROUPED}
    for child, (parent, where) in promises.children.items():
        if child not in known:
            message = f"[{parent}:children] names the group '{child}', which is declared nowhere"
            raise InputError(message, where=where, hint=nearest(child, known))
    for group, where in promises.vars.items():
        if group not in known and group not in promises.children:
            message = f"[{group}:vars] is for a group that is declared nowhere"
            raise InputError(message, where=where, hint=nearest(group, known))
