"""What is remembered of a guest on disk: its definition, its address and its key."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from remedy.lab.errors import LabError
from remedy.lab.lab import GUEST
from remedy.lab.qemu.spec import ROOT, GuestSpec

PORT = 2222
"""Where the sshd of every guest answers, each on a loopback address of its own."""


@dataclass(frozen=True, slots=True)
class Guest:
    """One guest of a lab, running or not."""

    spec: GuestSpec
    """As declared; `disks` and their sizes are those that it has."""
    declared: GuestSpec
    index: int
    """Last number of its address."""
    address: str
    host_key: str
    """The public half of its ssh host key."""
    image: Path
    """The folder of the image that its root was copied from."""
    folder: Path
    port: int = PORT

    @property
    def name(self) -> str:
        """Its name in the lab and its inventory."""
        return self.spec.name

    @property
    def console(self) -> Path:
        """What the guest said while booting."""
        return self.folder / "console.log"

    def disk(self, serial: str) -> Path:
        """Return the file behind a disk."""
        if serial != ROOT and serial not in self.spec.disks:
            have = ", ".join([ROOT, *self.spec.disks])
            raise LabError(f"the guest has no disk {serial!r}", host=self.name, hint=f"its disks are: {have}")
        return self.folder / "disks" / f"{serial}.img"

    def with_disk(self, serial: str, size: str) -> Guest:
        """Return the guest as it is with a disk of a size."""
        if serial == ROOT:
            return replace(self, spec=replace(self.spec, root_size=size))
        return replace(self, spec=replace(self.spec, disks={**self.spec.disks, serial: size}))

    def save(self) -> None:
        """Write `guest.json`; a folder without it is no guest."""
        kept = {
            "index": self.index,
            "host_key": self.host_key,
            "image": str(self.image),
            "spec": asdict(self.spec),
            "declared": asdict(self.declared),
        }
        fresh = self.folder / f"{GUEST}.new"
        fresh.write_text(json.dumps(kept, indent=1))
        fresh.rename(self.folder / GUEST)


def address(lab: int, index: int) -> str:
    """Return the loopback address of a guest: every guest of every lab has one of its own."""
    return f"127.99.{lab}.{index}"


def load_guest(guests: Path, name: str, lab: int) -> Guest:
    """Return the guest `name` kept below the folder `guests`."""
    try:
        kept = json.loads((guests / name / GUEST).read_text())
    except OSError as error:
        known = ", ".join(names(guests))
        hint = f"its guests are: {known}" if known else "start them first: remedy lab up --provider qemu"
        raise LabError(f"the lab has no guest {name!r}", hint=hint) from error
    return Guest(
        spec=GuestSpec(**kept["spec"]),
        declared=GuestSpec(**kept["declared"]),
        index=kept["index"],
        address=address(lab, kept["index"]),
        host_key=kept["host_key"],
        image=Path(kept["image"]),
        folder=guests / name,
    )


def names(guests: Path) -> list[str]:
    """Return the names of all guests kept below a folder."""
    return sorted(path.parent.name for path in guests.glob(f"*/{GUEST}"))
