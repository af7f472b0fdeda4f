"""An inventory while its sources are being read."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct, field

from remedy.document import Map
from remedy.errors import InputError, Position
from remedy.inventory.model import ALL, UNGROUPED, Group, Host, put


class _Host(Struct):
    file: str | None
    folder: str | None
    vars: Map = field(default_factory=Map)
    groups: dict[str, None] = field(default_factory=dict)


class _Group(Struct):
    vars: Map = field(default_factory=Map)
    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, Position | None] = field(default_factory=dict)
    parents: dict[str, None] = field(default_factory=dict)


class Draft:
    """Collects hosts, groups and variables in the order of the sources; `finish` draws the conclusions."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Host] = {}
        self._groups: dict[str, _Group] = {ALL: _Group(), UNGROUPED: _Group()}
        self.add_child(ALL, UNGROUPED, None)  # before all others, as in Ansible: hosts keep that order

    def add_group(self, name: str) -> None:
        """Make sure that there is such a group."""
        if name not in self._groups:
            self._groups[name] = _Group()

    def add_child(self, parent: str, child: str, where: Position | None) -> None:
        """Put a group below another one."""
        self.add_group(parent)
        self.add_group(child)
        if child == ALL:
            hint = "every group is below 'all' already"
            raise InputError(f"'all' cannot be a child of '{parent}'", where=where, hint=hint)
        self._groups[parent].children.setdefault(child, where)
        self._groups[child].parents[parent] = None

    def add_host(self, name: str, group: str, file: Path | None) -> None:
        """Put a host into a group; `file` is the source that names it, None for a list of hosts."""
        self.add_group(group)
        if name not in self._hosts:
            self._hosts[name] = _Host(str(file), str(file.parent)) if file else _Host(None, None)
        self._hosts[name].groups[group] = None
        self._groups[group].hosts[name] = None

    def set_group(self, group: str, name: str, value: object, where: Position | None) -> None:
        """Set a variable of a group."""
        self.add_group(group)
        put(self._groups[group].vars, name, value, where)

    def set_host(self, host: str, name: str, value: object, where: Position | None) -> None:
        """Set a variable of a host that was added before."""
        put(self._hosts[host].vars, name, value, where)

    def finish(self) -> tuple[list[Host], dict[str, Group]]:
        """Return hosts and groups with every group below `all`, and every lonely host in `ungrouped`."""
        self._refuse_cycles()
        top = self._groups[ALL]
        for name, group in self._groups.items():
            if name != ALL and not group.parents:
                top.children.setdefault(name, None)
                group.parents[ALL] = None
        ungrouped = self._groups[UNGROUPED].hosts
        for name, host in self._hosts.items():
            if set(host.groups) - {ALL, UNGROUPED}:
                ungrouped.pop(name, None)
                host.groups.pop(UNGROUPED, None)
            else:
                ungrouped[name] = None
                host.groups[UNGROUPED] = None
        depths = self._depths()
        groups = {name: self._group(name, group, depths[name]) for name, group in self._groups.items()}
        return [self._host(name) for name in groups[ALL].hosts], groups

    def _group(self, name: str, group: _Group, depth: int) -> Group:
        hosts = [host for below in self._below(name) for host in self._groups[below].hosts]
        where = group.vars.values_at.get("ansible_group_priority")
        priority = group.vars.pop("ansible_group_priority", 1)  # no variable of the hosts
        try:
            number = int(priority)
        except (TypeError, ValueError) as error:
            message = f"ansible_group_priority '{priority}' of '{name}' is no number"
            raise InputError(
                message, where=where, hint="expected a whole number; the highest wins"
            ) from error
        return Group(name, group.vars, tuple(dict.fromkeys(hosts)), tuple(group.children), depth, number)

    def _host(self, name: str) -> Host:
        host = self._hosts[name]
        groups: set[str] = set()
        waiting = list(host.groups)
        while waiting:
            group = waiting.pop()
            if group not in groups:
                groups.add(group)
                waiting += self._groups[group].parents
        return Host(name, host.vars, tuple(sorted(groups - {ALL})), host.file, host.folder)

    def _below(self, name: str) -> list[str]:
        """Return a group and all below it, level by level, as Ansible orders their hosts."""
        found = {name: None}
        level = [name]
        while level:
            level = [child for group in level for child in self._groups[group].children if child not in found]
            found |= dict.fromkeys(level)
        return list(found)

    def _depths(self) -> dict[str, int]:
        """Return how deep each group is: one more than the deepest group above it."""
        depths: dict[str, int] = {ALL: 0}
        waiting = {name: len(group.parents) for name, group in self._groups.items()}
        level = [ALL]
        while level:
            above = level.pop()
            for child in self._groups[above].children:
                depths[child] = max(depths.get(child, 0), depths[above] + 1)
                waiting[child] -= 1
                if waiting[child] == 0:
                    level.append(child)
        return depths

    def _refuse_cycles(self) -> None:
        done: set[str] = set()
        for start in self._groups:
            path: list[str] = []
            steps = [iter([start])]
            while steps:
                name = next(steps[-1], None)
                if name is None:
                    steps.pop()
                    if path:
                        done.add(path.pop())
                elif name in path:
                    cycle = [*path[path.index(name) :], name]
                    where = self._groups[path[-1]].children.get(name)
                    message = f"groups contain each other: {' → '.join(cycle)}"
                    raise InputError(
                        message, where=where, hint="take one of them out of the other's children"
                    )
                elif name not in done:
                    path.append(name)
                    steps.append(iter(self._groups[name].children))
