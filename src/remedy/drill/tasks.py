"""Tasks that a drill makes itself: they read, and one that fails does not keep the others from being read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remedy import modules
from remedy.document import Map, Text
from remedy.errors import Position
from remedy.playbook import Task


def reading_task(position: Position, title: str, module: str, args: Mapping[str, Any]) -> Task:
    """Return a task that reads; texts among `args` may be templates of the drill's author."""
    spec = modules.find(module)
    written = Map(position)
    for name, value in args.items():
        written[name] = value
        written.keys_at[name] = written.values_at[name] = position
    modules.check(spec, written, position, templates_allowed=True)
    return Task(
        position=position,
        name=Text(title, position),
        module=spec.name,
        spec=spec,
        args=written,
        ignore_errors=True,
    )
