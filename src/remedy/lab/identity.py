"""Who may log in to the hosts of a lab: one client key and one random password for each account."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remedy.lab.roles import USERS
from remedy.lab.tools import run


@dataclass(frozen=True, slots=True)
class Identity:
    """The secrets of one lab, kept in its folder with mode 0600."""

    key: Path
    public_key: str
    passwords: Mapping[str, str]
    hashes: Mapping[str, str]


def load_identity(folder: Path) -> Identity:
    """Return the identity kept in `folder`, making it the first time."""
    key, store = folder / "id_ed25519", folder / "passwords.json"
    if not store.exists():
        folder.mkdir(parents=True, exist_ok=True)
        key.unlink(missing_ok=True)
        make_key(key, "remedy lab")
        passwords = {user.name: secrets.token_urlsafe(12) for user in USERS}
        hashes = {name: _hash(password) for name, password in passwords.items()}
        fresh = store.with_suffix(".new")
        fresh.touch(0o600)
        fresh.write_text(json.dumps({"passwords": passwords, "hashes": hashes}))
        fresh.rename(store)
    kept = json.loads(store.read_text())
    public = key.with_suffix(".pub").read_text().strip()
    return Identity(key, public, kept["passwords"], kept["hashes"])


def make_key(path: Path, comment: str) -> None:
    """Make an ed25519 key pair without a passphrase."""
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])


def _hash(password: str) -> str:
    return run(["openssl", "passwd", "-6", "-stdin"], stdin=password).strip()
