"""What every provider of drill hosts does: hand them out marked, make them clean again, take them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from remedy.document import Map
from remedy.errors import Position


@dataclass(frozen=True, kw_only=True)
class Need:
    """One host that a drill asks for, as its file says it.

    `name` is how the drill calls it. `role` is what must run there: base, app, docker, mysql, ... `options` is
    what the file says beyond (disks: {/var/log: {size: 96M}}, root_size, memory, ...): a provider that makes
    hosts follows it, one that has hosts may only check it. `position` is where it stands in the drill's file.
    """

    name: str
    role: str
    options: Map = field(default_factory=Map)
    position: Position


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Hosts that are ready: how remedy reaches them, and who plays whom.

    `inventory` is a file or folder for `-i` in which every host of `hosts` is marked `drill: true`. `hosts` leads
    from the drill's names to the inventory's, in the order of the needs. `facts` are the provider's own words on
    each host (by the drill's name) for the report: address, image, lab number; plain data, never a secret.
    `keys` name each machine (by the drill's name) so that no two drills take it at once, such as 10.0.0.7:22;
    hosts that nobody else can have need none.
    """

    inventory: Path
    hosts: Mapping[str, str]
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)


class Provider(Protocol):
    """Hosts for drills; one object serves all drills of a `remedy drill`, one after the other.

    The order of calls: `open`, `remember`, then for each drill `acquire`, and `reset` for what the drill is done
    with; `close` at the end, whatever happened. A process that was killed never calls `close`: a later
    `remedy drill --clean` makes a new object with `resume(remembered)` and closes that.
    Every method raises a RemedyError that says what to do, and waits with a deadline.
    """

    name: str
    """lab, static, vagrant: the word after --provider."""
    renews: bool
    """Whether `reset` gives a host as new; else what the drill's rollback leaves is what stays."""

    def open(self, folder: Path) -> None:
        """Take what all drills share (a lab number, a machine's lock); starts no host.

        `folder` is the provider's own on the control machine: inventories and whatever else it writes.
        """
        ...

    def remember(self) -> dict[str, Any]:
        """Return, as plain JSON, what `resume` needs to find everything again; it is on disk before `acquire`."""
        ...

    def acquire(self, needs: Sequence[Need]) -> Stage:
        """Make the hosts ready, each as new where the provider renews; hosts of an earlier drill may go.

        InputError, at the position of the need, for one that this provider can never meet; Refused for a host
        that is not marked.
        """
        ...

    def reset(self, names: Sequence[str]) -> None:
        """Throw away what happened to hosts of the last `acquire` (the drill's names).

        They need not run before the next `acquire`. Nothing where the provider does not renew.
        """
        ...

    def close(self) -> None:
        """Give everything back: no host, lock or process of the provider's stays; more than once does no harm."""
        ...

    @classmethod
    def resume(cls, remembered: Mapping[str, Any]) -> Provider | None:
        """Return a provider that stands where a killed process stood; None where nothing of it is left."""
        ...
