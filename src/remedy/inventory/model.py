"""Hosts and groups as they stand once every source has been read."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from remedy.document import Map
from remedy.errors import Position

ALL = "all"
UNGROUPED = "ungrouped"


class Host(Struct, frozen=True):
    """A host: `vars` from inventory files alone; `groups` are all above it but `all`, sorted by name."""

    name: str
    vars: Map
    groups: tuple[str, ...] = ()
    file: str | None = None
    folder: str | None = None
    implicit: bool = False


class Group(Struct, frozen=True):
    """A group: `hosts` are its own and those of the groups below; `depth` counts from `all`, which has 0."""

    name: str
    vars: Map
    hosts: tuple[str, ...]
    children: tuple[str, ...]
    depth: int
    priority: int = 1

    @property
    def rank(self) -> tuple[int, int, str]:
        """Where the group's variables stand among other groups': the highest wins."""
        return self.depth, self.priority, self.name


def overlay(maps: Iterable[Map], position: Position | None = None) -> Map:
    """Return the mappings merged, the last one winning, each value with the place it comes from."""
    merged = Map(position)
    for each in maps:
        merged.update(each)
        merged.keys_at.update(each.keys_at)
        merged.values_at.update(each.values_at)
    return merged


def put(variables: Map, name: str, value: object, position: Position | None) -> None:
    """Set one variable and where it comes from."""
    variables[name] = value
    if position is not None:
        variables.keys_at[name] = variables.values_at[name] = position
