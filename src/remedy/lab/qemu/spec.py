"""What a guest is to be: plain data, and the `guests` of a `lab.yml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from remedy.errors import InputError, Position
from remedy.lab.spec import HostSpec, mapping, parse_size, read_document

ROOT = "root"
"""The name of the disk that a guest boots from."""

_SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,19}\Z")
_LEAST_MEMORY = 256 << 20
_LEAST_ROOT = 2 << 30


@dataclass(frozen=True, slots=True)
class GuestSpec:
    """One guest of a lab; sizes are numbers with K, M or G."""

    name: str
    role: str = "base"
    memory: str = "768M"
    cpus: int = 2
    root_size: str = "3G"
    """Size of the disk that it boots from, whose one partition is the root."""
    disks: Mapping[str, str] = field(default_factory=dict)
    """Serial → size of empty disks; in the guest /dev/disk/by-id/virtio-SERIAL."""
    sshd: Mapping[str, str] = field(default_factory=dict)
    """Settings of the guest's sshd that differ from Debian's."""

    def __post_init__(self) -> None:
        self.host()
        for what, size, least in (
            ("memory", self.memory, _LEAST_MEMORY),
            ("root_size", self.root_size, _LEAST_ROOT),
        ):
            if parse_size(size) < least:
                raise InputError(
                    f"guest {self.name}: {what} {size} is too little",
                    hint=f"expected {least >> 20}M or more",
                )
        if not isinstance(self.cpus, int) or not 1 <= self.cpus <= 16:
            raise InputError(f"guest {self.name}: {self.cpus!r} is no number of processors (1 to 16)")
        for serial, size in self.disks.items():
            check_serial(serial)
            parse_size(size)

    def host(self) -> HostSpec:
        """Return what a guest and a booted host have in common."""
        return HostSpec(self.name, role=self.role, sshd=self.sshd)


def check_serial(serial: str) -> None:
    """Refuse a serial that a virtio disk cannot carry."""
    if not _SERIAL.match(serial) or serial == ROOT:
        raise InputError(
            f"{serial!r} is no serial of a disk",
            hint=f"expected 1 to 20 letters, digits and -, and not {ROOT!r}: that is the disk it boots from",
        )


def read_guests(path: Path) -> tuple[GuestSpec, ...]:
    """Read the guests of a `lab.yml`; none declared is an InputError."""
    where = Position(str(path))
    guests = mapping(read_document(path).get("guests", {}), "guests", where)
    if not guests:
        raise InputError("no guest is declared", where=where, hint="expected: guests: {vm1: {memory: 768M}}")
    return tuple(_guest(str(name), body, where) for name, body in guests.items())


def _guest(name: str, body: object, where: Position) -> GuestSpec:
    here = f"guests.{name}"
    known = {"role", "memory", "cpus", "root_size", "disks", "sshd"}
    values = dict(mapping(body if body is not None else {}, here, where, known))
    disks = mapping(values.pop("disks", {}), f"{here}.disks", where)
    sshd = mapping(values.pop("sshd", {}), f"{here}.sshd", where)
    try:
        return GuestSpec(
            name=name,
            disks={str(serial): size for serial, size in disks.items()},
            sshd={str(key): str(value) for key, value in sshd.items()},
            **values,
        )
    except InputError as error:
        raise InputError(error.message, where=where, hint=error.hint) from error
