"""The inventory that leads remedy, or Ansible, to the hosts of a lab."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from remedy.lab.errors import LabError
from remedy.lab.host import Host
from remedy.lab.lab import Lab
from remedy.lab.qemu import Guest, Guests

_GROUP = "qemu"

HEADER = "# Written by `remedy lab up`, removed by `remedy lab down`. Keep it out of version control.\n"


def write_inventory(
    lab: Lab, path: Path, become_password: bool = False, only: Collection[str] | None = None
) -> list[str]:
    """Write the hosts and guests of a lab, or those of `only`, as a YAML inventory; return the names that are left out.

    Faults may be injected into every host of it, so a project's inventory holds no other project's hosts.
    `become_password` adds the password of `operator`.
    """
    _refuse_foreign(path)
    machines = Guests(lab)
    names = [*lab.names(), *machines.names()]
    chosen = [name for name in names if only is None or name in only]
    hosts = [host for host in lab.hosts() if host.name in chosen]
    guests = [guest for guest in machines.guests() if guest.name in chosen]
    path.parent.mkdir(parents=True, exist_ok=True)
    groups = _groups(lab, hosts, guests, machines.known_hosts, become_password)
    text = yaml.safe_dump({"all": groups}, sort_keys=False, width=1000)
    fresh = path.with_name(f".{path.name}.new")
    fresh.touch(0o600)
    fresh.write_text(HEADER + text, encoding="utf-8")
    fresh.rename(path)
    return [name for name in names if name not in chosen]


def in_inventory(path: Path) -> set[str]:
    """Return the hosts of an inventory that `write_inventory` wrote; none where it is missing or somebody else's."""
    try:
        text = path.read_text(encoding="utf-8")
        return set(yaml.safe_load(text)["all"]["hosts"]) if text.startswith(HEADER) else set()
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError):
        return set()


def remove_inventory(path: Path) -> None:
    """Remove an inventory that `write_inventory` wrote."""
    if path.exists() and path.read_text(encoding="utf-8").startswith(HEADER):
        path.unlink()


def _groups(
    lab: Lab, hosts: Sequence[Host], guests: Sequence[Guest], known_hosts: Path, become_password: bool
) -> Mapping[str, Any]:
    variables: dict[str, Any] = {
        "ansible_user": "admin",
        "ansible_ssh_private_key_file": str(lab.identity.key),
        "ansible_ssh_common_args": _trusting(lab.known_hosts),
        "drill": True,  # faults may be injected here
    }
    if become_password:
        variables["ansible_become_password"] = lab.password("operator")
    groups = [(host.spec.role, host.name) for host in hosts]
    groups += [(guest.spec.role, guest.name) for guest in guests] + [(_GROUP, guest.name) for guest in guests]
    children = {
        group: {"hosts": {name: None for of, name in groups if of == group}}
        for group in sorted({group for group, _ in groups})
    }
    entries = {host.name: {"ansible_host": host.address} for host in hosts}
    trusting = _trusting(known_hosts)
    return {
        "vars": variables,
        "hosts": entries | {guest.name: _guest(guest, trusting) for guest in guests},
        "children": children,
    }


def _guest(guest: Guest, trusting: str) -> dict[str, Any]:
    return {
        "ansible_host": guest.address,
        "ansible_port": guest.port,
        "ansible_ssh_common_args": trusting,
    }


def _trusting(known_hosts: Path) -> str:
    return f"-o UserKnownHostsFile={known_hosts} -o StrictHostKeyChecking=yes"


def _refuse_foreign(path: Path) -> None:
    if path.exists() and not path.read_text(encoding="utf-8").startswith(HEADER):
        raise LabError(
            f"{path} was not written by the lab and stays as it is",
            hint="rename it: the lab keeps its own inventory under this name",
        )
