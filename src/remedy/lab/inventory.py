"""The inventory that leads remedy, or Ansible, to the hosts of a lab."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from remedy.lab.errors import LabError
from remedy.lab.host import Host
from remedy.lab.lab import Lab

HEADER = "# Written by `remedy lab up`, removed by `remedy lab down`. Keep it out of version control.\n"


def write_inventory(
    lab: Lab, path: Path, become_password: bool = False, only: Collection[str] | None = None
) -> list[str]:
    """Write the hosts of a lab, or those of `only`, as a YAML inventory; return the names that are left out.

    Faults may be injected into every host of it, so a project's inventory holds no other project's hosts.
    `become_password` adds the password of `operator`.
    """
    _refuse_foreign(path)
    every = lab.hosts()
    hosts = [host for host in every if only is None or host.name in only]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({"all": _groups(lab, hosts, become_password)}, sort_keys=False, width=1000)
    fresh = path.with_name(f".{path.name}.new")
    fresh.touch(0o600)
    fresh.write_text(HEADER + text, encoding="utf-8")
    fresh.rename(path)
    return [host.name for host in every if host not in hosts]


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


def _groups(lab: Lab, hosts: Sequence[Host], become_password: bool) -> Mapping[str, Any]:
    options = f"-o UserKnownHostsFile={lab.known_hosts} -o StrictHostKeyChecking=yes"
    variables: dict[str, Any] = {
        "ansible_user": "admin",
        "ansible_ssh_private_key_file": str(lab.identity.key),
        "ansible_ssh_common_args": options,
        "drill": True,  # faults may be injected here
    }
    if become_password:
        variables["ansible_become_password"] = lab.password("operator")
    roles = sorted({host.spec.role for host in hosts})
    members = {role: {host.name: None for host in hosts if host.spec.role == role} for role in roles}
    return {
        "vars": variables,
        "hosts": {host.name: {"ansible_host": host.address} for host in hosts},
        "children": {role: {"hosts": names} for role, names in members.items()},
    }


def _refuse_foreign(path: Path) -> None:
    if path.exists() and not path.read_text(encoding="utf-8").startswith(HEADER):
        raise LabError(
            f"{path} was not written by the lab and stays as it is",
            hint="rename it: the lab keeps its own inventory under this name",
        )
