"""Which steps ask before they destroy or interrupt, also where check mode cannot tell what they would do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from remedy.agent.kinds import Module
from remedy.errors import InputError
from remedy.modules import ModuleSpec
from remedy.modules.parameters import by_name, defaults, has_template
from remedy.playbook import Include, Node, Play, Task, walk
from remedy.template import UnknownValue

KINDS = {"destructive": "D", "disruptive": "R"}
"""How a step may be guarded, and the letter for it, in the order in which texts name them."""

Render = Callable[[Any], Any]
"""Renders a value of a task; raises UnknownValue where check mode cannot know it."""

Read = Callable[[Include, str], tuple[Node, ...]]
"""Reads the tasks of an include whose file has this name."""


class Guard(NamedTuple):
    """How a step is guarded: "destructive", "disruptive" or both; `attended`: no schedule may do it (!)."""

    kinds: frozenset[str]
    attended: bool = False


def asks(play: Play, spec: ModuleSpec) -> bool:
    """Say whether a module may have to ask in a play: remedy's own always, Ansible's in a runbook."""
    return spec.place != "control" and any(guarded(play, spec, each) for each in spec.classes)


def may_ask(play: Play, node: Node) -> bool:
    """Say whether a node may destroy or interrupt: true where only the host's values will tell."""
    return asks(play, node.spec) if isinstance(node, Task) else True


def guarded(play: Play, spec: ModuleSpec, module: type[Module]) -> Guard | None:
    """Return how a step of this class is guarded where it asks in a play, else None."""
    if not (spec.own or play.runbook or play.diagnose):
        return None
    kinds = frozenset(kind for kind in KINDS if getattr(module, kind))
    return Guard(kinds, module.attended) if kinds else None


def perhaps(play: Play, task: Task, render: Render) -> Guard | None:
    """Return how a task is guarded of which check mode cannot tell what it would do.

    What its parameters leave open counts as all that they may make of it.
    """
    spec = task.spec
    if not asks(play, spec):
        return None
    names = {alias: param.name for alias, param in by_name(spec).items()}
    known = {param.name: default for param, default in defaults(spec)}
    unknown = set()
    for name, value in task.args.items():
        try:
            known[names.get(name, name)] = render(value)
        except (UnknownValue, InputError):
            unknown.add(names.get(name, name))
    try:
        return guarded(play, spec, spec.kind(_Known(known, unknown)))
    except Exception:  # a module's own code, that looks at what is not checked yet, or not known
        return together(guarded(play, spec, each) for each in spec.classes)


def perhaps_within(play: Play, include: Include, read: Read, render: Render) -> Guard | None:
    """Return how an include is guarded of which check mode cannot tell what it would do.

    `read` gives an include's tasks. Of those that nobody can name all is to be expected.
    """
    return _within(play, include, read, render, set())


def _within(play: Play, include: Include, read: Read, render: Render, seen: set[tuple[str, str]]) -> Guard | None:
    try:
        name = str(render(include.file))
        mark = (include.position.file, name)
        if mark in seen:
            return None
        nodes = [node for node, _ in walk(read(include, name))]
    except (UnknownValue, InputError):
        return Guard(frozenset(KINDS), attended=True)
    inside = seen | {mark}
    return together(
        perhaps(play, node, _written)
        if isinstance(node, Task)
        # What the includes around it have set meanwhile may be part of its name.
        else _within(play, node, read, _written, inside)
        for node in nodes
        if isinstance(node, Task | Include)
    )


def together(found: Iterable[Guard | None]) -> Guard | None:
    """Return all of them in one: who may destroy is not thereby allowed to interrupt, nor the other way round."""
    guards = [each for each in found if each is not None]
    kinds = frozenset(kind for each in guards for kind in each.kinds)
    return Guard(kinds, any(each.attended for each in guards)) if kinds else None


def _written(value: Any) -> Any:
    """Return what stands in a file, where it is no template."""
    if has_template(value):
        raise UnknownValue("it is rendered on the way", "")
    return value


class _Known(Mapping[str, Any]):
    """The parameters that are known; whoever asks for another one cannot be answered."""

    def __init__(self, known: Mapping[str, Any], unknown: set[str]) -> None:
        self._known = known
        self._unknown = unknown

    def __getitem__(self, name: str) -> Any:
        if name in self._unknown:
            raise ValueError(f"'{name}' is not known yet")  # no KeyError: `get` would take it for absent
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)
