"""The provider `static`: hosts of your own, marked `drill: true` in your inventory, chosen by name or group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remedy.drill.machines import machine
from remedy.drill.providers.base import Need, Stage
from remedy.engine.marked import MARK, marked
from remedy.errors import InputError, Refused
from remedy.inventory import Host, Inventory, load
from remedy.template import Vault


class StaticProvider:
    """Hosts that are there already; what a drill does to them only its rollback takes back."""

    name = "static"
    renews = False

    def __init__(self, inventory: Path, limit: str | None = None, vault: Vault | None = None) -> None:
        """`limit` is a pattern that leaves hosts out."""
        self._source = inventory
        self._limit = limit
        self._vault = vault

    def open(self, folder: Path) -> None:
        """Nothing is shared."""

    def remember(self) -> dict[str, Any]:
        """Return where the inventory is."""
        return {"inventory": str(self._source)}

    def acquire(self, needs: Sequence[Need]) -> Stage:
        """Choose a marked host for each need: that of the same name, else the next of the group named as its role."""
        inventory = load([str(self._source)], root=Path.cwd(), vault=self._vault)
        allowed = {host.name for host in inventory.select("all", self._limit)}
        taken: dict[str, Host] = {}
        named = {need.name for need in needs}
        for need in needs:
            used = {host.name for host in taken.values()} | (named - {need.name})
            taken[need.name] = self._choose(need, inventory, allowed, used)
        keys = {name: machine(inventory, host, self._vault) for name, host in taken.items()}
        _refuse_twice(keys, needs)
        return Stage(
            inventory=self._source,
            hosts={name: host.name for name, host in taken.items()},
            facts={name: {"address": key} for name, key in keys.items()},
            keys=keys,
        )

    def reset(self, names: Sequence[str]) -> None:
        """Nothing: these hosts cannot be made anew."""

    def close(self) -> None:
        """Nothing was taken."""

    @classmethod
    def resume(cls, remembered: Mapping[str, Any]) -> StaticProvider | None:
        """Return a provider of the same inventory; None where that is gone."""
        source = Path(remembered["inventory"])
        return cls(source) if source.exists() else None

    def _choose(self, need: Need, inventory: Inventory, allowed: set[str], used: set[str]) -> Host:
        by_name = [host for host in inventory.hosts if host.name == need.name]
        by_role = [host for host in inventory.hosts if need.role in host.groups and host.name not in used]
        found = [host for host in by_name or by_role if host.name in allowed]
        if not found:
            raise InputError(
                f"{self._source} has no host for {need.name} (role {need.role})",
                where=need.position,
                hint=f"expected a host called '{need.name}', or one more in a group '{need.role}'",
            )
        for host in found:
            if marked(inventory, host):
                return host
        raise Refused(
            f"{', '.join(host.name for host in found)} cannot be drilled on: a drill breaks hosts on purpose",
            where=need.position,
            hint=f"expected `{MARK}: true` in {self._source} for each host that is there to be broken",
        )


def _refuse_twice(keys: Mapping[str, str], needs: Sequence[Need]) -> None:
    """Raise InputError where two hosts of a drill are one machine."""
    first: dict[str, str] = {}
    for need in needs:
        other = first.setdefault(keys[need.name], need.name)
        if other != need.name:
            raise InputError(
                f"{other} and {need.name} are one machine: {keys[need.name]}",
                where=need.position,
                hint="expected a machine for each host of the drill; -l leaves a name out",
            )
