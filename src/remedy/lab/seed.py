"""What tells one host from another, as the topmost read-only layer of its root."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from remedy.lab.identity import Identity, make_key
from remedy.lab.roles import USERS
from remedy.lab.spec import HostSpec


def write_seed(folder: Path, trees: Sequence[Path], spec: HostSpec, identity: Identity) -> str:
    """Fill `folder` for a new host and return the public half of its host key."""
    seed = _Seed(folder, trees)
    seed.write("etc/hostname", f"{spec.name}\n")
    seed.write("etc/machine-id", f"{uuid.uuid4().hex}\n", mode=0o444)
    seed.write(
        "etc/shadow", _shadow(seed.below("etc/shadow").read_text(), identity), mode=0o640, like="etc/shadow"
    )
    if spec.sshd:
        settings = "".join(f"{name} {value}\n" for name, value in spec.sshd.items())
        seed.write("etc/ssh/sshd_config.d/00-host.conf", settings)
    key = seed.parent("etc/ssh/ssh_host_ed25519_key")
    make_key(key, f"root@{spec.name}")
    for user in USERS:
        home = user.home.lstrip("/")
        keys = f"{home}/.ssh/authorized_keys"
        seed.write(keys, f"{identity.public_key}\n", mode=0o600)
        (folder / home / ".ssh").chmod(0o700)
        owner = (folder / home).stat()
        for path in (f"{home}/.ssh", keys):
            os.chown(folder / path, owner.st_uid, owner.st_gid)
    return key.with_suffix(".pub").read_text().strip()


def write_hosts(folder: Path, name: str, addresses: dict[str, str]) -> None:
    """Let a host know the others by name; the folder is its seed."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback", f"127.0.1.1 {name}"]
    lines += [f"{address} {other}" for other, address in sorted(addresses.items()) if other != name]
    (folder / "etc/hosts").write_text("\n".join([*lines, ""]))


class _Seed:
    """A folder laid over trees: its own folders look like theirs, or the overlay would show other modes."""

    def __init__(self, folder: Path, trees: Sequence[Path]) -> None:
        self.folder = folder
        self.trees = trees
        folder.mkdir(parents=True, exist_ok=True)
        self._copy_look(folder, "")

    def below(self, path: str) -> Path:
        """Return the topmost version of a file in the trees."""
        return next(tree / path for tree in reversed(self.trees) if (tree / path).exists())

    def parent(self, path: str) -> Path:
        """Make the folders that lead to a file and return the file's place."""
        here = ""
        for part in Path(path).parts[:-1]:
            here = f"{here}/{part}".lstrip("/")
            if not (self.folder / here).exists():
                (self.folder / here).mkdir()
                self._copy_look(self.folder / here, here)
        return self.folder / path

    def write(self, path: str, text: str, mode: int = 0o644, like: str | None = None) -> None:
        """Write a file of the seed, with owner and group of the file `like`."""
        target = self.parent(path)
        target.touch(mode)
        target.write_text(text)
        target.chmod(mode)
        if like is not None:
            known = self.below(like).stat()
            os.chown(target, known.st_uid, known.st_gid)

    def _copy_look(self, folder: Path, path: str) -> None:
        if any((tree / path).exists() for tree in self.trees):
            known = self.below(path)
            shutil.copystat(known, folder)
            os.chown(folder, known.stat().st_uid, known.stat().st_gid)


def _shadow(text: str, identity: Identity) -> str:
    lines = []
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name in identity.hashes:
            line = f"{name}:{identity.hashes[name]}:{rest.partition(':')[2]}"
        lines.append(line)
    return "\n".join([*lines, ""])
