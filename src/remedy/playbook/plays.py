"""Plays: hosts, keywords, sections of tasks, and what a runbook says about itself."""

from __future__ import annotations

from typing import Any

from remedy.document import Map, Seq
from remedy.errors import InputError, Position, nearest
from remedy.playbook import keywords, readers
from remedy.playbook.keywords import PLAY, place
from remedy.playbook.model import SECTIONS, Include, Play, Runbook, walk
from remedy.playbook.nodes import read_nodes
from remedy.playbook.reading import Reading
from remedy.playbook.tasks import common

_RUNBOOK: dict[str, readers.Reader] = {
    "title": readers.constant,
    "description": readers.constant,
    "severity": readers.choice("P0", "P1", "P2", "P3"),
    "symptoms": readers.constants,
    "references": readers.constants,
    "privileges": readers.constants,
    "attended": readers.constants,
}


def read_plays(document: Any, reading: Reading) -> tuple[Play, ...]:
    """Read a playbook's document."""
    start = Position(str(reading.file), 1, 1)
    if document is None or document == []:
        raise InputError(
            "the playbook is empty",
            where=start,
            hint="expected a list of plays: '- hosts: all' and its tasks",
        )
    if not isinstance(document, Seq):
        raise InputError(
            f"the playbook is {readers.describe(document)}",
            where=getattr(document, "position", None) or start,
            hint="expected a list of plays, each beginning with '- hosts: '",
        )
    return tuple(_read_play(item, at, reading.play()) for item, at in readers.items(document, start))


def _read_play(node: Any, position: Position, reading: Reading) -> Play:
    if not isinstance(node, Map) or not node:
        raise InputError(
            f"a play is {readers.describe(node or None)}",
            where=position,
            hint="expected a mapping with 'hosts' and 'tasks'",
        )
    values = common(keywords.read(node, PLAY), reading)
    if "hosts" not in node:
        raise InputError(
            "a play without 'hosts'", where=position, hint="expected a pattern, such as 'hosts: all'"
        )
    for name in node:
        if name in SECTIONS:
            values[name] = read_nodes(node[name], name, place(node, name), reading.within(name))
    values["handlers"] = tuple(handler for handler, _ in walk(values.get("handlers", ())))
    if node.get("runbook") is not None:
        values["runbook"] = _read_runbook(node["runbook"], place(node, "runbook"))
    runbook = bool(values.get("diagnose") or values.get("runbook"))
    values.setdefault("gather_facts", not runbook)
    play = Play(position=position, **values)
    if not any(nodes for name, nodes in play.sections() if name != "handlers") and "gather_facts" not in node:
        sections = ", ".join(name for name in SECTIONS if name != "handlers")
        hint = f"expected one of {sections}; or 'gather_facts: true' alone"
        raise InputError("a play with nothing to do", where=position, hint=hint)
    check_notified(reading, handler_names(play))
    return play


def _read_runbook(value: Any, position: Position) -> Runbook:
    if not isinstance(value, Map):
        raise readers.wrong(value, "runbook", position, "a mapping, such as {severity: P1, symptoms: [...]}")
    return Runbook(position=position, **readers.read_mapping(value, "runbook", _RUNBOOK))


def handler_names(play: Play) -> frozenset[str] | None:
    """Return what tasks may notify; None where only the run can tell: an include or a template among them."""
    names: set[str] = set()
    for handler in play.handlers:
        if isinstance(handler, Include) or readers.is_template(handler.name):
            return None
        names.update([*([handler.name] if handler.name else []), *handler.listen])
    return frozenset(names)


def check_notified(reading: Reading, handlers: frozenset[str] | None) -> None:
    """Raise InputError for the first notified handler that the play does not have."""
    for name in reading.notified if handlers is not None else ():
        if not readers.is_template(name) and name not in (handlers or ()):
            hint = nearest(name, handlers or ()) if handlers else "the play has no handlers"
            raise InputError(f"no handler '{name}'", where=name.position, hint=hint)
