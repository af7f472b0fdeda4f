"""What drills ask of Vagrant's machines: who plays whom, and what can be had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from remedy.drill.providers.base import Need
from remedy.drill.providers.lab import ROLE_NAMES, spec_of
from remedy.errors import InputError
from remedy.lab import Disk
from remedy.lab.roles import ROLES

_OPTIONS = ("disks", "root_size")
_DIGITS = "0123456789"


@dataclass(frozen=True, slots=True)
class Wish:
    """What one machine is to have beyond its role."""

    disks: Mapping[str, Disk] = field(default_factory=dict)
    root_size: str | None = None
    """Containers have a root of this size; a virtual machine keeps the one of its box."""


def cast(needs: Sequence[Need], machines: Sequence[str]) -> dict[str, str]:
    """Return which machine plays which host; db1 and db2 play the role db, every machine plays base.

    InputError, at the host in the drill's file, for a role that no machine is left for.
    """
    left = list(machines)
    playing: dict[str, str] = {}
    for need in sorted(needs, key=lambda need: need.role == "base"):  # base takes what the others leave
        role = ROLE_NAMES.get(need.role, need.role)
        same = [name for name in left if role in ("base", name.rstrip(_DIGITS))]
        if not same:
            raise InputError(
                f"the Vagrantfile has no machine left for {need.name} with the role {need.role}",
                where=need.position,
                hint=f"its machines are {', '.join(machines)}: a role is a name without its number",
            )
        chosen = need.name if need.name in same else same[0]
        playing[need.name] = chosen
        left.remove(chosen)
    return {need.name: playing[need.name] for need in needs}


def read(need: Need) -> Wish:
    """Return what a host asks for; InputError at what this provider cannot give."""
    for key in need.options:
        if key not in _OPTIONS:
            raise _cannot(need, str(key), f"machines of Vagrant have no '{key}' of their own")
    spec = spec_of(need)
    fixed = {mount: Disk(size) for mount, size in ROLES[spec.role].disks.items()}
    every = {**fixed, **spec.disks}
    if any(disk.fs != "ext4" for disk in every.values()):
        raise _cannot(need, "disks", "machines of Vagrant have disks with ext4 only")
    return Wish(every, spec.root_size)


def _cannot(need: Need, key: str, what: str) -> InputError:
    where = need.options.keys_at.get(key, need.position)
    return InputError(what, where=where, hint="run this drill on the lab: --provider lab")
