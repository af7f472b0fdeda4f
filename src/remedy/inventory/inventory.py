"""The inventory of a run: hosts, groups, patterns, and variables as layers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from remedy.document import Map
from remedy.errors import InputError, nearest
from remedy.inventory.model import ALL, Group, Host, overlay, put
from remedy.inventory.patterns import LOCALHOST, limit_parts, nobody, select, split, unmatched
from remedy.inventory.varfiles import VarFiles
from remedy.template import Layer


class Inventory:
    """Hosts in inventory order, groups by name, and who set which variable."""

    def __init__(
        self, hosts: list[Host], groups: dict[str, Group], folders: Sequence[Path], files: VarFiles
    ) -> None:
        self.hosts = hosts
        self.groups = groups
        self._folders = tuple(folders)
        self._files = files
        self._by_name = {host.name: host for host in hosts}
        self._members = {name: list(group.hosts) for name, group in groups.items()}
        self._group_layers: dict[tuple[tuple[str, ...], Path | None], list[Layer]] = {}

    def host(self, name: str) -> Host:
        """Return a host by its name; localhost is there even where no source names it."""
        found = self._by_name.get(name)
        if found is not None:
            return found
        if name in LOCALHOST:
            return _implicit(name)
        raise InputError(f"the inventory has no host '{name}'", hint=nearest(name, self._by_name))

    def named(self, name: str) -> Host:
        """Return a host by its name, or one of that address which no source names, as `delegate_to` takes it."""
        if name in self._by_name or name in LOCALHOST:
            return self.host(name)
        return Host(name, Map(), implicit=True)

    def select(self, pattern: str, limit: str | None = None) -> list[Host]:
        """Return the hosts that a pattern selects, cut down to those of a `--limit`.

        InputError with the nearest name where a pattern matches neither host nor group.
        """
        names = select(split(pattern), self._by_name, self.groups)
        if limit is not None:
            limited = set(select(limit_parts(limit), self._by_name, self.groups))
            names = [name for name in names if name in limited]
        return [self.host(name) for name in names]

    def unmatched(self, pattern: str, *, limit: bool = False) -> list[tuple[str, InputError]]:
        """Return each part of a pattern, or of a `--limit`, that names neither host nor group, and the error for it.

        `select` leaves such a part aside where others find somebody.
        """
        parts = limit_parts(pattern) if limit else split(pattern)
        lost = unmatched(parts, self._by_name, self.groups)
        return [(part, nobody(part.lstrip("!&"), self._by_name, self.groups)) for part in lost]

    def layers(self, host: Host, playbook_dir: Path | None = None) -> list[Layer]:
        """Return the layers of Ansible's precedence from group to host variables, low to high, none empty."""
        layers = list(self._of_groups(host.groups, playbook_dir))
        named = (
            ("inventory file host vars", host.vars),
            ("inventory host_vars", self._beside("host_vars", [host.name])),
            ("playbook host_vars", self._files.find(playbook_dir, "host_vars", host.name)),
        )
        return layers + [Layer(name, values) for name, values in named if values]

    def magic(self, host: Host) -> dict[str, Any]:
        """Return the magic variables that the inventory knows."""
        return {
            "inventory_hostname": host.name,
            "inventory_hostname_short": host.name.split(".")[0],
            "group_names": list(host.groups),
            "groups": self._members,
            "inventory_dir": host.folder,
            "inventory_file": host.file,
        }

    def _of_groups(self, names: tuple[str, ...], playbook_dir: Path | None) -> list[Layer]:
        """Return the layers below the host's own; hosts of the same groups share them."""
        known = self._group_layers.get((names, playbook_dir))
        if known is not None:
            return known
        ranked = [group.name for group in sorted((self.groups[name] for name in names), key=lambda g: g.rank)]
        in_playbook = [self._files.find(playbook_dir, "group_vars", name) for name in ranked]
        named = (
            ("inventory file group vars", overlay(self.groups[name].vars for name in (ALL, *ranked))),
            ("inventory group_vars/all", self._beside("group_vars", [ALL])),
            ("playbook group_vars/all", self._files.find(playbook_dir, "group_vars", ALL)),
            ("inventory group_vars", self._beside("group_vars", ranked)),
            ("playbook group_vars", overlay(in_playbook)),
        )
        layers = [Layer(name, values) for name, values in named if values]
        self._group_layers[names, playbook_dir] = layers
        return layers

    def _beside(self, kind: str, names: Sequence[str]) -> Map:
        """Return variables beside the sources; a later source wins over an earlier one."""
        return overlay(self._files.find(folder, kind, name) for folder in self._folders for name in names)


def _implicit(name: str) -> Host:
    variables = Map()
    put(variables, "ansible_connection", "local", None)
    put(variables, "ansible_python_interpreter", sys.executable, None)
    return Host(name, variables, implicit=True)
