"""The command line of OpenSSH that logs in to a host of a lab, and the file with the keys of its hosts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def openssh(key: Path, known_hosts: Path, address: str, port: int, user: str, command: Iterable[str]) -> list[str]:
    """Return the words that log in as a user with a lab's key and trust only a host key that the lab made."""
    options = [
        f"IdentityFile={key}",
        "IdentitiesOnly=yes",
        f"UserKnownHostsFile={known_hosts}",
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
    ]
    flags = [part for option in options for part in ("-o", option)]
    at = [] if port == 22 else ["-p", str(port)]
    return ["ssh", "-F", "/dev/null", *flags, *at, f"{user}@{address}", *command]


def write_known_hosts(file: Path, keys: Iterable[tuple[str, str]]) -> None:
    """Write a known_hosts file whole: names as ssh writes them, and the public half of a host's key."""
    fresh = file.with_suffix(".new")
    fresh.write_text("".join(f"{names} {' '.join(key.split()[:2])}\n" for names, key in keys))
    fresh.rename(file)
