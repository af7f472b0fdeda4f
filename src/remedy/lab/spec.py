"""What a lab host is to be: plain data, and the `lab.yml` it is read from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from remedy.errors import InputError, Position, nearest
from remedy.lab.roles import ROLES

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")
_SIZE = re.compile(r"([1-9][0-9]*)([KMG])\Z")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, slots=True)
class Disk:
    """A filesystem of its own in a host; sizes are numbers with K, M or G."""

    size: str
    fs: str = "ext4"
    reserved: int = 0
    """Percent of the blocks that only root may use; ext4 only."""
    inodes: int | None = None
    """Number of inodes; None leaves it to mkfs; ext4 only."""

    def __post_init__(self) -> None:
        parse_size(self.size)
        if self.fs not in ("ext4", "xfs"):
            raise InputError(f"unknown filesystem {self.fs!r}", hint=nearest(str(self.fs), ("ext4", "xfs")))
        _check_count(self.inodes)
        if not isinstance(self.reserved, int) or not 0 <= self.reserved <= 50:
            raise InputError(
                f"{self.reserved!r} is no share of reserved blocks", hint="expected 0 to 50 percent"
            )


@dataclass(frozen=True, slots=True)
class HostSpec:
    """One host of a lab."""

    name: str
    role: str = "base"
    disks: Mapping[str, Disk] = field(default_factory=dict)
    """Mount point → filesystem; it starts with a copy of what the role has in that folder."""
    memory: str | None = None
    """Memory limit of the whole host; passing it is a real out-of-memory kill."""
    pids: int | None = None
    """Most processes the host may have."""
    root_size: str | None = None
    """Size of a filesystem that takes every change of the root, so that `/` itself can be full."""
    root_inodes: int | None = None
    sshd: Mapping[str, str] = field(default_factory=dict)
    """Settings of the host's sshd that differ from Debian's, such as {"MaxSessions": "1"}."""

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise InputError(
                f"{self.name!r} is no host name for the lab",
                hint="expected: a lower-case letter, then up to 30 of a-z, 0-9 and -",
            )
        if self.role not in ROLES:
            raise InputError(
                f"host {self.name}: unknown role {self.role!r}", hint=nearest(str(self.role), ROLES)
            )
        for mount in self.disks:
            if not mount.startswith("/") or mount == "/" or ".." in mount:
                raise InputError(
                    f"host {self.name}: a disk cannot be mounted on {mount!r}",
                    hint="expected an absolute folder such as /var/log; for the root itself use root_size",
                )
        for size in (self.memory, self.root_size):
            if size is not None:
                parse_size(size)
        for number in (self.pids, self.root_inodes):
            _check_count(number)


def parse_size(text: object) -> int:
    """Return the bytes of a size such as 64M."""
    found = _SIZE.match(text) if isinstance(text, str) else None
    if found is None:
        raise InputError(f"{text!r} is no size", hint="expected a whole number with K, M or G, such as 64M")
    return int(found[1]) * _UNITS[found[2]]


def _check_count(number: object) -> None:
    if number is not None and (not isinstance(number, int) or number < 1):
        raise InputError(f"{number!r} is no count", hint="expected a whole number from 1")


def default_file() -> Path:
    """Return the lab.yml that comes with remedy."""
    return Path(str(files("remedy.lab") / "lab.yml"))


def read_document(path: Path) -> Mapping[Any, Any]:
    """Read a `lab.yml`: a mapping of `hosts` and `guests`, each as it is written."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = Position(str(path), mark.line + 1, mark.column + 1) if mark else Position(str(path))
        raise InputError(f"this is no YAML: {getattr(error, 'problem', error)}", where=where) from error
    return mapping(document, "the file", Position(str(path)), {"hosts", "guests"})


def read_specs(path: Path) -> tuple[HostSpec, ...]:
    """Read the hosts of a `lab.yml`."""
    where = Position(str(path))
    hosts = mapping(read_document(path).get("hosts", {}), "hosts", where)
    if not hosts:
        raise InputError("no host is declared", where=where, hint="expected: hosts: {app1: {role: app}}")
    return tuple(read_spec(str(name), body, where) for name, body in hosts.items())


def read_spec(name: str, body: object, where: Position) -> HostSpec:
    """Read one host, its `body` a mapping as in a `lab.yml`; raises InputError at `where`."""
    known = {"role", "disks", "memory", "pids", "root_size", "root_inodes", "sshd"}
    values = dict(mapping(body if body is not None else {}, f"hosts.{name}", where, known))
    disks = {
        str(mount): _disk(name, str(mount), disk, where)
        for mount, disk in mapping(values.pop("disks", {}), f"hosts.{name}.disks", where).items()
    }
    sshd = mapping(values.pop("sshd", {}), f"hosts.{name}.sshd", where)
    try:
        return HostSpec(
            name=name,
            disks=disks,
            sshd={str(key): str(value) for key, value in sshd.items()},
            **values,
        )
    except InputError as error:
        raise InputError(error.message, where=where, hint=error.hint) from error


def _disk(host: str, mount: str, body: object, where: Position) -> Disk:
    here = f"hosts.{host}.disks.{mount}"
    values = mapping(body, here, where, {"size", "fs", "reserved", "inodes"})
    if "size" not in values:
        raise InputError(f"{here} has no size", where=where, hint="expected: {size: 64M}")
    try:
        return Disk(**{str(key): value for key, value in values.items()})
    except InputError as error:
        raise InputError(f"{here}: {error.message}", where=where, hint=error.hint) from error


def mapping(value: object, what: str, where: Position, known: set[str] | None = None) -> Mapping[Any, Any]:
    """Return a mapping of a `lab.yml` as it is; anything else, or a key that is not `known`, is an InputError."""
    if not isinstance(value, dict):
        raise InputError(f"{what} is {type(value).__name__}, expected a mapping", where=where)
    for key in value:
        if known is not None and key not in known:
            raise InputError(f"{what} has an unknown key {key!r}", where=where, hint=nearest(str(key), known))
    return value
