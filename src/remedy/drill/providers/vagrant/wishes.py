"""What drills ask of Vagrant's machines: who plays whom, and what can be had."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from remedy.document import Map
from remedy.drill.providers.base import Need
from remedy.errors import InputError, Position, nearest
from remedy.lab import Disk
from remedy.lab.roles import ROLES
from remedy.lab.spec import parse_size

_OPTIONS = ("disks", "root_size")
_DIGITS = "0123456789"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wish:
    """What one machine is to have beyond its role."""

    disks: Mapping[str, Disk] = field(default_factory=dict)
    root_size: str | None = None
    """Containers have a root of this size; a virtual machine keeps the one of its box."""


def cast(needs: Sequence[Need], machines: Mapping[str, str]) -> dict[str, str]:
    """Return which machine plays which host; db1 and db2 play the role db, every machine plays base.

    InputError, at the host in the drill's file, for a role that no machine is left for.
    """
    left = list(machines)
    playing: dict[str, str] = {}
    for need in sorted(needs, key=lambda need: need.role == "base"):  # base takes what the others leave
        same = [name for name in left if need.role in ("base", name.rstrip(_DIGITS))]
        if not same:
            have = ", ".join(machines)
            raise InputError(
                f"the Vagrantfile has no machine left for {need.name} with the role {need.role}",
                where=need.position,
                hint=f"its machines are {have}: a role is a name without its number",
            )
        chosen = need.name if need.name in same else same[0]
        playing[need.name] = chosen
        left.remove(chosen)
    return {need.name: playing[need.name] for need in needs}


def read(need: Need) -> Wish:
    """Return what a host asks for; InputError at what this provider cannot give."""
    for key in need.options:
        if key not in _OPTIONS:
            raise InputError(
                f"machines of Vagrant have no '{key}' of their own",
                where=need.options.keys_at.get(key, need.position),
                hint="expected disks or root_size; for the rest run the drill on the lab: --provider lab",
            )
    fixed = ROLES[need.role].disks if need.role in ROLES else {}
    asked = need.options.get("disks", Map())
    every = {mount: Disk(size) for mount, size in fixed.items()}
    for mount, body in asked.items():
        every[str(mount)] = _disk(body, asked.values_at.get(mount, need.position))
    size = need.options.get("root_size")
    if size is not None:
        _at(need.options.values_at.get("root_size", need.position), parse_size, size)
    return Wish(every, None if size is None else str(size))


def _disk(body: Any, position: Position) -> Disk:
    if not isinstance(body, Mapping) or "size" not in body:
        raise InputError(
            "this disk has no size", where=position, hint="expected a mapping such as {size: 96M}"
        )
    known = set(Disk.__dataclass_fields__)
    for key in body:
        if key not in known:
            raise InputError(f"a disk has no '{key}'", where=position, hint=nearest(str(key), known))
    disk = _at(position, lambda values: Disk(**values), dict(body))
    if disk.fs != "ext4":
        raise InputError(
            f"machines of Vagrant have disks with ext4 only, not {disk.fs}",
            where=position,
            hint="run the drill on the lab: --provider lab",
        )
    return disk


def _at(position: Position, make: Callable[[Any], T], value: Any) -> T:
    """Make something of a value; what is wrong with it is said with its place."""
    try:
        return make(value)
    except InputError as error:
        raise InputError(error.message, where=position, hint=error.hint) from error
