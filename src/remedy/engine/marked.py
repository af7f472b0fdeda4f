"""Faults only on hosts that are there to be broken: those that an inventory file marks `drill: true`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from remedy.document import Decrypt
from remedy.errors import InputError, Position, Refused
from remedy.inventory import Host, Inventory
from remedy.modules.parameters import has_template
from remedy.modules.registry import FAULTS
from remedy.modules.values import TYPES
from remedy.playbook import Include, Node, Play, Task, load_tasks, walk
from remedy.project import Project

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


def refuse(inventory: Inventory, task: Task, hosts: Iterable[str]) -> None:
    """Raise Refused where a task is a fault and one of its hosts is not there to be broken."""
    if task.spec.fault:
        _refuse(inventory, task.spec.name, task.title, hosts, task.position)


def refuse_undo(inventory: Inventory, module: str, title: str, host: str) -> None:
    """Raise Refused for taking back what a fault did: that may break the host once more."""
    if module.startswith(FAULTS):
        _refuse(inventory, module.removeprefix(FAULTS), title, [host], None)


def _refuse(
    inventory: Inventory, module: str, title: str, hosts: Iterable[str], where: Position | None
) -> None:
    others = [name for name in hosts if not marked(inventory, inventory.host(name))]
    if others:
        named = ", ".join(others[:_SHOWN]) + (f" and {len(others) - _SHOWN} more" if others[_SHOWN:] else "")
        raise Refused(
            f"'{module}' breaks hosts on purpose, and the inventory does not mark {named} for that",
            where=where,
            task=title,
            hint=f"expected `{MARK}: true` in an inventory file for each host that is there to be broken (-e, "
            "templates and a playbook's variables do not count); --limit leaves the others out",
        )


def refuse_ahead(
    inventory: Inventory, project: Project, decrypt: Decrypt | None, play: Play, hosts: Sequence[str]
) -> None:
    """Raise Refused for a fault anywhere in a play, also in what it includes by a name that is known ahead."""
    if all(marked(inventory, inventory.host(name)) for name in hosts):
        return
    ahead = _Ahead(play, project, decrypt)
    for section, nodes in play.sections():
        for task in ahead.tasks(nodes, section):
            refuse(inventory, task, hosts)


class _Ahead:
    """The tasks of a play as far as they are known before it runs."""

    def __init__(self, play: Play, project: Project, decrypt: Decrypt | None) -> None:
        self._play = play
        self._project = project
        self._decrypt = decrypt
        self._seen: set[tuple[str, Path]] = set()

    def tasks(self, nodes: tuple[Node, ...], section: str) -> Iterator[Task]:
        for node, _ in walk(nodes):
            if isinstance(node, Task):
                yield node
                continue
            try:
                inside = self._included(node, section)
            except InputError:
                continue  # it is told where the include is reached, which it may never be
            yield from self.tasks(inside, section)

    def _included(self, node: Include, section: str) -> tuple[Node, ...]:
        """Return what an include brings; a file that can hold no fault is not read for that."""
        if has_template(node.file):
            return ()
        path = self._project.tasks_file(node.file, Path(node.position.file).parent, node.position)
        if (section, path) in self._seen or not _may_hold(path):
            return ()
        self._seen.add((section, path))
        return load_tasks(
            path, project=self._project, section=section, play=self._play, vault_decrypt=self._decrypt
        )


def _may_hold(path: Path) -> bool:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "$ANSIBLE_VAULT" in text[:20] or "fault_" in text or _INCLUDES.search(text) is not None
