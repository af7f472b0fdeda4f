"""The provider `lab`: booted hosts on this machine, made for each drill and thrown away after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from remedy.drill.providers.base import Need, Stage
from remedy.errors import InputError
from remedy.lab import HostSpec, Lab, LabError
from remedy.lab.inventory import write_inventory
from remedy.lab.lock import locked
from remedy.lab.roles import ROLES
from remedy.lab.spec import read_spec
from remedy.lab.tools import Say, quiet

ROLE_NAMES = {"mysql": "db", "mariadb": "db", "redis": "cache", "rabbitmq": "queue"}
"""What a drill may call a role beside the lab's own names; `mysql` is either server to a drill, and MariaDB here."""

_BOOT_SECONDS = 120.0
_ROOT = "1G"  # what fills a root must not fill this machine's disk


class LabProvider:
    """A lab of its own number; the state of every host is new with each `acquire`."""

    name = "lab"
    renews = True

    def __init__(self, say: Say = quiet) -> None:
        self._say = say
        self._held = ExitStack()
        self._folder = Path()
        self._lab: Lab | None = None

    def open(self, folder: Path) -> None:
        """Take a free lab number, and end what a killed process left under it."""
        self._folder = folder
        self._lab = self._held.enter_context(Lab.for_tests(self._say))

    def remember(self) -> dict[str, Any]:
        """Return the number and the folder of the lab."""
        return {"number": self._mine.number, "root": str(self._mine.root)}

    def acquire(self, needs: Sequence[Need]) -> Stage:
        """Start the hosts; those of an earlier drill go."""
        lab = self._mine
        specs = [spec_of(need) for need in needs]
        lab.remove(*(host.name for host in lab.hosts()))
        hosts = lab.up(specs)
        for host in hosts:
            # A steady state begins when the services are up; a unit that failed is for the hypothesis to find.
            lab.run(host.name, ["systemctl", "is-system-running", "--wait"], ok=None, timeout=_BOOT_SECONDS)
        write_inventory(lab, self._folder / "inventory" / "hosts.yml")
        # Playbooks know hosts by what runs there; the lab's own groups are called by its root trees.
        groups = {
            need.role: {"hosts": {other.name: None for other in needs if other.role == need.role}}
            for need in needs
        }
        children = {"all": {"children": groups}}
        (self._folder / "inventory" / "roles.yml").write_text(yaml.safe_dump(children))
        return Stage(
            inventory=self._folder / "inventory",
            hosts={host.name: host.name for host in hosts},
            facts={host.name: {"address": host.address, "lab": lab.number} for host in hosts},
        )

    def reset(self, names: Sequence[str]) -> None:
        """End hosts; their changes go with them."""
        there = {host.name for host in self._mine.hosts()}
        self._mine.remove(*(name for name in names if name in there))

    def close(self) -> None:
        """End the lab and give its number back."""
        self._held.close()
        self._lab = None

    @classmethod
    def resume(cls, remembered: Mapping[str, Any]) -> LabProvider | None:
        """Return a provider whose `close` ends the lab; None where another session has its number already."""
        root, number = Path(remembered["root"]), int(remembered["number"])
        provider = cls()
        try:
            provider._held.enter_context(locked(root / "labs" / str(number) / "session", seconds=0))
        except LabError:
            return None  # a session ends what it finds before it begins
        lab = Lab(number, root)
        provider._held.callback(lab.down)
        provider._lab = lab
        return provider

    @property
    def _mine(self) -> Lab:
        if self._lab is None:
            raise LabError("the provider of lab hosts is not open")
        return self._lab


def spec_of(need: Need) -> HostSpec:
    """Return what the lab makes of a need; InputError at the need's place."""
    role = ROLE_NAMES.get(need.role, need.role)
    if role not in ROLES:
        known = sorted({*ROLES, *ROLE_NAMES})
        raise InputError(
            f"the lab has no role '{need.role}' for {need.name}",
            where=need.position,
            hint=f"it has: {', '.join(known)}; or --provider static with hosts of your own",
        )
    spec = read_spec(need.name, {"role": role, **_plain(need.options)}, need.position)
    return spec if spec.root_size is not None else replace(spec, root_size=_ROOT)


def _plain(value: Any) -> Any:
    """Return a document's value as plain data: the lab keeps it as JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, str) else value
