"""Faults only on hosts that are there to be broken: those that an inventory file marks `drill: true`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from remedy.document import Decrypt
from remedy.engine.context import PlayContext
from remedy.engine.delegation import touched_ahead
from remedy.engine.keywords import Keywords
from remedy.engine.state import HostState
from remedy.engine.variables import NeedsBarrier
from remedy.errors import InputError, Position, Refused
from remedy.inventory import Host, Inventory
from remedy.modules.parameters import has_template
from remedy.modules.registry import FAULTS
from remedy.modules.values import TYPES
from remedy.playbook import Common, Include, Node, Play, Task, load_tasks, walk
from remedy.project import Project
from remedy.template import Layer, Pending, UnknownValue, Variables
from remedy.transport import Target

MARK = "drill"
_SHOWN = 8
_INCLUDES = re.compile(r"\b(include|import)_tasks\b")


def marked(inventory: Inventory, host: Host) -> bool:
    """Say whether an inventory file marks a host; what is a template, or stands beside a playbook, marks nobody."""
    value: object = None
    for layer in inventory.layers(host):
        value = layer.values.get(MARK, value)
    if has_template(value):
        return False
    try:
        return bool(TYPES["bool"](value))
    except ValueError:
        return False


def refuse(play: PlayContext, task: Task, states: Sequence[HostState]) -> None:
    """Raise Refused where a task is a fault and one of the hosts that it touches is not there to be broken."""
    if task.spec.fault:
        _refuse(play.run.inventory, task.spec.name, task.title, states, task.position)
        _refuse_elsewhere(play, task.spec.name, task.title, states, task.position)


def refuse_undo(play: PlayContext, module: str, title: str, host: str) -> None:
    """Raise Refused for taking back what a fault did: that may break the host once more."""
    if module.startswith(FAULTS):
        inventory = play.run.inventory
        _refuse(inventory, module.removeprefix(FAULTS), title, [HostState(inventory.named(host))], None)
        _refuse_elsewhere(play, module.removeprefix(FAULTS), title, [play.states[host]], None)


def _refuse(
    inventory: Inventory, module: str, title: str, states: Sequence[HostState], where: Position | None
) -> None:
    others = [state.name for state in states if not marked(inventory, state.host)]
    if others:
        named = ", ".join(others[:_SHOWN]) + (f" and {len(others) - _SHOWN} more" if others[_SHOWN:] else "")
        raise Refused(
            f"'{module}' breaks hosts on purpose, and the inventory does not mark {named} for that",
            where=where,
            task=title,
            hint=f"expected `{MARK}: true` in an inventory file for each host that is there to be broken (-e, "
            "templates and a playbook's variables do not count); --limit leaves the others out",
        )


def _refuse_elsewhere(
    play: PlayContext, module: str, title: str, states: Sequence[HostState], where: Position | None
) -> None:
    """Raise Refused where a mark would be carried to another machine than the inventory's."""
    others = [state.name for state in states if _elsewhere(play, state)]
    if others:
        raise Refused(
            f"'{module}' breaks hosts on purpose, and the way to {', '.join(others[:_SHOWN])} is not the inventory's",
            where=where,
            task=title,
            hint="a mark holds for the address, port, connection and SSH options that inventory files give: write "
            "them there (-e, -c, --ssh-common-args and a playbook's variables do not count)",
        )


def _elsewhere(play: PlayContext, state: HostState) -> bool:
    run = play.run
    defaults = run.options.defaults
    try:
        used = Target.from_variables(state.name, Variables(play.target_scope(state)), defaults)
    except (InputError, UnknownValue, Pending, NeedsBarrier):
        return False  # it cannot be reached like this; whoever tries says why
    host = state.host
    layers = [*run.inventory.layers(host), Layer("magic", run.inventory.magic(host))]
    unsaid = replace(defaults, connection="ssh", ssh_common_args="", ssh_extra_args="")
    try:
        meant = Target.from_variables(state.name, Variables(run.templar.scope(layers)), unsaid)
    except (InputError, UnknownValue, Pending):
        return True
    return _way(used) != _way(meant)


def _way(target: Target) -> tuple[object, ...]:
    return target.address, target.port, target.connection, target.options


def refuse_ahead(play: PlayContext) -> None:
    """Raise Refused for a fault anywhere in a play, also in what it includes by a name that is known ahead."""
    ahead = _Ahead(play.play, play.run.project, play.run.decrypt)
    for section, nodes in play.play.sections():
        for task, outer in ahead.tasks(nodes, section):
            if task.spec.fault:
                words = Keywords.of(task, (play.play, *outer))
                refuse(play, task, touched_ahead(play, task, words))


class _Ahead:
    """The tasks of a play as far as they are known before it runs."""

    def __init__(self, play: Play, project: Project, decrypt: Decrypt | None) -> None:
        self._play = play
        self._project = project
        self._decrypt = decrypt
        self._seen: set[tuple[str, Path, str | None]] = set()

    def tasks(
        self, nodes: tuple[Node, ...], section: str, around: tuple[Common, ...] = ()
    ) -> Iterator[tuple[Task, tuple[Common, ...]]]:
        """Yield each task with the nodes around it, outermost first."""
        for node, outer in walk(nodes, around):
            if isinstance(node, Task):
                yield node, outer
                continue
            try:
                inside = self._included(node, section, outer)
            except InputError:
                continue  # it is told where the include is reached, which it may never be
            yield from self.tasks(inside, section, outer if node.apply is None else (*outer, node.apply))

    def _included(self, node: Include, section: str, outer: tuple[Common, ...]) -> tuple[Node, ...]:
        """Return what an include brings; a file that can hold no fault is not read for that."""
        if has_template(node.file):
            return ()
        path = self._project.tasks_file(node.file, Path(node.position.file).parent, node.position)
        around = outer if node.apply is None else (*outer, node.apply)
        names = [each.delegate_to for each in around if each.delegate_to is not None]
        visit = (section, path, names[-1] if names else None)
        if visit in self._seen or not _may_hold(path):
            return ()
        self._seen.add(visit)
        return load_tasks(
            path, project=self._project, section=section, play=self._play, vault_decrypt=self._decrypt
        )


def _may_hold(path: Path) -> bool:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "$ANSIBLE_VAULT" in text[:20] or "fault_" in text or _INCLUDES.search(text) is not None
