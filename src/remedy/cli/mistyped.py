"""Slips of the pen in what a runbook is given: a switch that is not heard would leave it to delete after all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import click

from remedy.errors import InputError, Position
from remedy.inventory import Host, Inventory
from remedy.playbook import Playbook, Task, walk
from remedy.playbook.model import SECTIONS

_WHERE = Position("command line (-e)")


def look_for_slips(
    extra: Mapping[str, Any], playbook: Playbook, inventory: Inventory, hosts: Sequence[Host]
) -> None:
    """Raise InputError for an extra variable that is nearly one of the runbook's, warn of one that nobody has.

    Ordinary playbooks take what they are given, as Ansible's do.
    """
    if not playbook.plays or any(play.runbook is None for play in playbook.plays):
        return
    own = {str(name) for play in playbook.plays for name in play.vars}
    known = own | of_modules(playbook)
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
        click.echo(f"warning: -e {name}: '{playbook.path.stem}' has no such variable", err=True)


def of_modules(playbook: Playbook) -> set[str]:
    """Return the variables that modules take from the inventory, wherever they are used."""
    found: set[str] = set()
    for play in playbook.plays:
        for section in SECTIONS:
            for node, _ in walk(getattr(play, section)):
                if isinstance(node, Task):
                    found.update(getattr(node.spec.loaded, "VARIABLES", {}).values())
    return found


def _in_inventory(name: str, inventory: Inventory, hosts: Sequence[Host]) -> bool:
    return any(name in layer.values for host in hosts for layer in inventory.layers(host))
