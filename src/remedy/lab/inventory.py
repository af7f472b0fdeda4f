"""The inventory that leads remedy, or Ansible, to the hosts of a lab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from remedy.lab.errors import LabError
from remedy.lab.host import Host
from remedy.lab.lab import Lab
from remedy.lab.qemu import Guest, Guests

_GROUP = "qemu"

HEADER = "# Written by `remedy lab up`, removed by `remedy lab down`. Keep it out of version control.\n"


def write_inventory(lab: Lab, path: Path, become_password: bool = False) -> None:
    """Write the hosts and guests of a lab as a YAML inventory; `become_password` adds the password of `operator`."""
    _refuse_foreign(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    groups = _groups(lab, lab.hosts(), Guests(lab), become_password)
    text = yaml.safe_dump({"all": groups}, sort_keys=False, width=1000)
    fresh = path.with_name(f".{path.name}.new")
    fresh.touch(0o600)
    fresh.write_text(HEADER + text, encoding="utf-8")
    fresh.rename(path)


def remove_inventory(path: Path) -> None:
    """Remove an inventory that `write_inventory` wrote."""
    if path.exists() and path.read_text(encoding="utf-8").startswith(HEADER):
        path.unlink()


def _groups(lab: Lab, hosts: Sequence[Host], guests: Guests, become_password: bool) -> Mapping[str, Any]:
    variables: dict[str, Any] = {
        "ansible_user": "admin",
        "ansible_ssh_private_key_file": str(lab.identity.key),
        "ansible_ssh_common_args": _trusting(lab.known_hosts),
        "drill": True,  # faults may be injected here
    }
    if become_password:
        variables["ansible_become_password"] = lab.password("operator")
    machines = guests.guests()
    groups = [(host.spec.role, host.name) for host in hosts]
    groups += [(guest.spec.role, guest.name) for guest in machines] + [(_GROUP, one.name) for one in machines]
    children = {
        group: {"hosts": {name: None for of, name in groups if of == group}}
        for group in sorted({group for group, _ in groups})
    }
    entries = {host.name: {"ansible_host": host.address} for host in hosts}
    trusting = _trusting(guests.known_hosts)
    return {
        "vars": variables,
        "hosts": entries | {guest.name: _guest(guest, trusting) for guest in machines},
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
