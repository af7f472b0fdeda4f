"""The bridge between the control machine and the hosts of one lab, and their addresses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from remedy.lab.errors import LabError
from remedy.lab.tools import run

FIRST, LAST = 11, 250
"""The last number of a host's address lies between these."""


@dataclass(frozen=True, slots=True)
class Network:
    """The network 10.99.NUMBER.0/24 of one lab."""

    number: int

    @property
    def bridge(self) -> str:
        """Name of the bridge in the control machine's own network namespace."""
        return f"remedy{self.number}"

    @property
    def _unfinished(self) -> str:
        return f"{self.bridge}.new"

    @property
    def gateway(self) -> str:
        """Address of the control machine."""
        return f"10.99.{self.number}.1"

    def address(self, index: int) -> str:
        """Return the address of a host."""
        return f"10.99.{self.number}.{index}"

    def port(self, index: int) -> str:
        """Return the name of the control machine's end of a host's link."""
        return f"{self.bridge}p{index}"

    def mac(self, index: int) -> str:
        """Return a host's hardware address; a fixed one, so that no neighbour table is ever stale."""
        return f"02:10:99:00:{self.number:02x}:{index:02x}"

    def create(self, owner: str) -> None:
        """Make the bridge for the lab whose folder is `owner`."""
        self.check(owner)
        if self._link() is None:
            hint = "the lab makes a bridge here: run it outside a container, or give that CAP_NET_ADMIN"
            # It has its name once it has its owner: one that was killed here leaves no bridge that is nobody's.
            run(["ip", "link", "delete", self._unfinished], ok=(0, 1))
            run(["ip", "link", "add", self._unfinished, "type", "bridge"], hint=hint)
            run(["ip", "link", "set", self._unfinished, "alias", owner])
            run(["ip", "link", "set", self._unfinished, "name", self.bridge])
        run(["ip", "address", "replace", f"{self.gateway}/24", "dev", self.bridge])
        run(["ip", "link", "set", self.bridge, "up"])

    def check(self, owner: str) -> None:
        """Refuse to touch a network that another lab made."""
        found = self._link()
        if found is not None and found != owner:
            raise LabError(
                f"the network interface {self.bridge} belongs to {found or 'somebody else'}, not to {owner}",
                hint=f"end that lab first, or remove the interface: ip link delete {self.bridge}",
            )

    def unlink(self, index: int) -> None:
        """Remove a host's link at once; the kernel alone takes its time over a dead namespace."""
        # 1: it is not there; 2: it went with its namespace while ip was looking.
        run(["ip", "link", "delete", self.port(index)], ok=(0, 1, 2))

    def remove(self) -> None:
        """Remove the bridge."""
        run(["ip", "link", "delete", self._unfinished], ok=(0, 1))
        if self._link() is not None:
            run(["ip", "link", "delete", self.bridge])

    def _link(self) -> str | None:
        """Return the owner written on the bridge; None where there is no bridge."""
        text = run(["ip", "-json", "link", "show", "dev", self.bridge], ok=(0, 1))
        if not text.strip():
            return None
        return str(json.loads(text)[0].get("ifalias", ""))


_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
_WANTED = 4096
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def raise_inotify(saved: Path) -> None:
    """Let many systemds run side by side; the old limit is kept in `saved`, once."""
    old = int(_INSTANCES.read_text())
    if old >= _WANTED:
        return
    saved.write_text(json.dumps({"boot": _BOOT_ID.read_text().strip(), "value": old}))
    _INSTANCES.write_text(str(_WANTED))


def restore_inotify(saved: Path) -> None:
    """Set the limit back, unless the machine has been booted since."""
    if not saved.exists():
        return
    kept = json.loads(saved.read_text())
    if kept["boot"] == _BOOT_ID.read_text().strip():
        _INSTANCES.write_text(str(kept["value"]))
    saved.unlink()
