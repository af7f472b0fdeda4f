"""Slips of the pen in what a runbook is given: a switch that is not heard would leave it to delete after all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

import click

from remedy.document import Map
from remedy.errors import InputError, Position, RemedyError
from remedy.inventory import Host, Inventory
from remedy.modules.parameters import has_template
from remedy.playbook import Include, Node, Play, Playbook, Task, load_tasks, walk
from remedy.playbook.model import SECTIONS
from remedy.project import Project

_WHERE = Position("command line (-e)")


def look_for_slips(
    extra: Map,
    playbook: Playbook,
    inventory: Inventory,
    hosts: Sequence[Host],
    project: Project,
) -> None:
    """Raise InputError for an extra variable that is nearly one of the runbook's, warn of one that nobody has.

    Ordinary playbooks take what they are given, as Ansible's do.
    """
    if not extra or not playbook.plays or any(play.runbook is None for play in playbook.plays):
        return
    own = {str(name) for play in playbook.plays for name in play.vars}
    known = own | of_modules(playbook, project)
    for name, value in extra.items():
        if value is None and name in own:
            raise InputError(
                f"'{name}' of '{playbook.path.stem}' is null: what it limits would have no limit",
                where=_WHERE,
                hint="leave it out for the default; an empty list or false leaves a kind of file alone",
            )
        if name in known or name.startswith("ansible_") or _in_inventory(name, inventory, hosts):
            continue
        near = get_close_matches(name, sorted(known), n=1, cutoff=0.75)
        if near:
            raise InputError(
                f"'{name}' is no variable of '{playbook.path.stem}'",
                where=_WHERE,
                hint=f"did you mean '{near[0]}'? `remedy doc {playbook.path.stem}` lists them",
            )
        where = extra.keys_at.get(name)
        said = f"-e {name}" if where is None or not where.line else f"{where}: {name}"
        click.echo(f"warning: {said}: '{playbook.path.stem}' has no such variable", err=True)


def of_modules(playbook: Playbook, project: Project) -> set[str]:
    """Return the variables that modules take from the inventory, wherever they are used, in includes too."""
    tasks = (task for play in playbook.plays for task in tasks_of(play, project))
    return {name for task in tasks for name in getattr(task.spec.loaded, "VARIABLES", {}).values()}


def tasks_of(play: Play, project: Project) -> Iterator[Task]:
    """Yield the tasks of a play, and those of includes that are named without a template."""
    for section in SECTIONS:
        yield from _tasks(getattr(play, section), section, play, project, set())


def _tasks(
    nodes: tuple[Node, ...], section: str, play: Play, project: Project, seen: set[Path]
) -> Iterator[Task]:
    """Yield the tasks of a section, and those of includes that are named without a template."""
    for node, _ in walk(nodes):
        if isinstance(node, Task):
            yield node
        elif isinstance(node, Include) and not has_template(node.file):
            try:
                path = project.tasks_file(str(node.file), Path(node.position.file).parent)
                if path in seen:
                    continue
                seen.add(path)
                inside = load_tasks(path, project=project, section=section, play=play)
            except RemedyError:
                continue  # whoever comes to it says why
            yield from _tasks(inside, section, play, project, seen)


def _in_inventory(name: str, inventory: Inventory, hosts: Sequence[Host]) -> bool:
    return any(name in layer.values for host in hosts for layer in inventory.layers(host))
