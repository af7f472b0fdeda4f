"""Inventories in YAML, and what executable inventories print: both are trees of groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from remedy.document import Map, Text
from remedy.errors import InputError, Position, nearest
from remedy.inventory.draft import Draft
from remedy.inventory.ranges import add_hosts

_SECTIONS = ("hosts", "vars", "children")


def read_tree(data: Any, file: Path, draft: Draft) -> None:
    """Add what a YAML inventory says to the draft; InputError with the place of what it cannot mean."""
    if data is None:
        raise InputError(
            "the inventory is empty", where=Position(str(file)), hint="expected groups with hosts"
        )
    if not isinstance(data, Map):
        raise _wrong("the inventory", data, "groups: all: {hosts: ...}", Position(str(file), 1))
    if "plugin" in data and not isinstance(data["plugin"], Map):
        message = f"inventory plugins such as '{data['plugin']}' are not supported"
        hint = "expected hosts and groups; print them once with: ansible-inventory --list --yaml"
        raise InputError(message, where=data.values_at["plugin"], hint=hint)
    for name, body in data.items():
        _group(name, body, data.values_at[name], file, draft)


def _group(name: str, body: Any, where: Position, file: Path, draft: Draft) -> None:
    draft.add_group(name)
    if body is None:
        return
    if not isinstance(body, Map):
        raise _wrong(f"the group '{name}'", body, "a mapping with hosts, vars and children", where)
    for section in body:
        if section not in _SECTIONS:
            message = f"'{section}' is no part of a group"
            raise InputError(message, where=body.keys_at[section], hint=nearest(section, _SECTIONS))
    for key, value in _entries(body, "vars"):
        draft.set_group(name, key, value, body["vars"].values_at[key])
    for child, value in _entries(body, "children"):
        place = body["children"].keys_at.get(child, where) if isinstance(body["children"], Map) else where
        _group(child, value, place, file, draft)
        draft.add_child(name, child, place)
    for pattern, variables in _entries(body, "hosts"):
        place = body["hosts"].keys_at.get(pattern, where) if isinstance(body["hosts"], Map) else where
        if variables is not None and not isinstance(variables, Map):
            raise _wrong(f"the host '{pattern}'", variables, "its variables, or nothing", place)
        add_hosts(draft, pattern, name, variables or Map(place), place, file)


def _entries(body: Map, section: str) -> list[tuple[str, Any]]:
    held = body.get(section)
    if held is None:
        return []
    if isinstance(held, Text) and section != "vars":
        return [(str(held), None)]  # as Ansible does: hosts: web1
    if not isinstance(held, Map):
        hint = "a mapping; each name ends in a colon"
        raise _wrong(f"'{section}'", held, hint, body.values_at[section])
    return list(held.items())


def _wrong(what: str, found: Any, expected: str, where: Position) -> InputError:
    kind = "a list" if isinstance(found, list) else "a mapping" if isinstance(found, dict) else f"'{found}'"
    return InputError(f"{what} is {kind}", where=where, hint=f"expected {expected}")
