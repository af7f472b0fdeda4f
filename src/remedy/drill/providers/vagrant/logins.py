"""From `vagrant ssh-config` to an inventory with host keys of its own."""

from __future__ import annotations

import shlex
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from remedy.lab import LabError

HEADER = "# Written by `remedy drill --provider vagrant`; gone with its hosts.\n"
_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in to one machine, as vagrant says it."""

    name: str
    address: str
    port: int
    user: str
    keys: tuple[str, ...]
    proxy: str | None = None
    """A ProxyCommand, where the machine is on another network (libvirt on another host)."""

    def options(self, known_hosts: Path, checking: str = "yes") -> list[str]:
        """Return the options of OpenSSH beyond address, port and user; host keys are those of `known_hosts`."""
        said = [f'UserKnownHostsFile="{known_hosts}"', "GlobalKnownHostsFile=/dev/null"]
        said += [f"StrictHostKeyChecking={checking}", "IdentitiesOnly=yes"]
        said += [f"ProxyCommand={self.proxy}"] if self.proxy is not None else []
        return [word for option in said for word in ("-o", option)]


def parse(text: str) -> dict[str, Login]:
    """Read what `vagrant ssh-config` prints; a LabError names what is missing for a machine."""
    blocks: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for line in text.splitlines():
        word, _, value = line.strip().partition(" ")
        if word.lower() == "host":
            current = blocks.setdefault(value.strip(), {})
        elif value:
            current.setdefault(word.lower(), []).append(value.strip().strip('"'))
    return {name: _login(name, block) for name, block in blocks.items()}


def _login(name: str, block: Mapping[str, Sequence[str]]) -> Login:
    for word in ("HostName", "User", "IdentityFile"):
        if word.lower() not in block:
            raise LabError(
                f"vagrant ssh-config says no {word}", host=name, hint="look at it: vagrant ssh-config"
            )
    port = block.get("port", ["22"])[0]
    if not port.isdigit():
        raise LabError(
            f"vagrant ssh-config says Port {port}", host=name, hint="look at it: vagrant ssh-config"
        )
    proxy = block.get("proxycommand", [None])[0]
    user, keys = block["user"][0], tuple(block["identityfile"])
    return Login(name, block["hostname"][0], int(port), user, keys, proxy)


def wait(login: Login, *, seconds: float) -> None:
    """Return when the machine's sshd greets."""
    deadline = time.monotonic() + seconds
    while not _greets(login):
        if time.monotonic() > deadline:
            raise LabError(
                f"no sshd answers at {login.address}:{login.port} after {seconds:g} s",
                host=login.name,
                hint="look at the machine: vagrant global-status",
            )
        time.sleep(_PAUSE)


def _greets(login: Login) -> bool:
    try:
        with socket.create_connection((login.address, login.port), timeout=1) as link:
            link.settimeout(2)
            return link.recv(8).startswith(b"SSH-2.0")
    except OSError:
        return False


def ssh(login: Login, known_hosts: Path, command: Sequence[str], stdin: str, *, seconds: float) -> str:
    """Run a command on a machine that is as new, and return its stdout; its host key is taken down.

    The first login since the machine was made: nothing can know its key before.
    """
    argv = [
        "ssh",
        "-F",
        "/dev/null",
        "-o",
        "BatchMode=yes",
        "-o",
        "ConnectTimeout=15",
        "-o",
        "LogLevel=ERROR",
    ]
    argv += login.options(known_hosts, checking="accept-new")
    argv += [word for key in login.keys for word in ("-i", key)]
    argv += ["-p", str(login.port), f"{login.user}@{login.address}", "--", shlex.join(command)]
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, errors="replace", timeout=seconds, check=False
        )
    except FileNotFoundError as error:
        raise LabError("the program ssh is not installed here", hint="install OpenSSH's client") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"no end after {seconds:g} s: {shlex.join(command)}", host=login.name) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:] or "nothing was printed"
        raise LabError(f"exit code {done.returncode} from: {shlex.join(command)}\n  {said}", host=login.name)
    return done.stdout


def inventory(logins: Iterable[Login], known_hosts: Path, groups: Mapping[str, Sequence[str]]) -> str:
    """Return the inventory of machines, marked for drills; `known_hosts` is the folder with a file for each."""
    every = list(logins)
    hosts = {login.name: _variables(login, known_hosts / login.name) for login in every}
    children = {
        group: {"hosts": dict.fromkeys(name for name in names if name in hosts)}
        for group, names in groups.items()
    }
    document = {"all": {"vars": {"drill": True}, "hosts": hosts, "children": children}}
    return HEADER + yaml.safe_dump(document, sort_keys=False, width=1000)


def _variables(login: Login, known_hosts: Path) -> dict[str, Any]:
    return {
        "ansible_host": login.address,
        "ansible_port": login.port,
        "ansible_user": login.user,
        "ansible_ssh_private_key_file": login.keys[0],
        "ansible_ssh_common_args": shlex.join(login.options(known_hosts)),
    }
