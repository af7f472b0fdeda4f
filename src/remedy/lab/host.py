"""What is remembered of a lab host on disk: its definition, its address and its key."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from remedy.lab.errors import LabError
from remedy.lab.network import Network
from remedy.lab.spec import Disk, HostSpec

_FILE = "host.json"


@dataclass(frozen=True, slots=True)
class Host:
    """One host of a lab, running or not."""

    spec: HostSpec
    index: int
    """Last number of its address."""
    address: str
    host_key: str
    """The public half of its ssh host key."""
    layers: tuple[str, ...]
    """The root trees it was made from."""
    folder: Path

    @property
    def name(self) -> str:
        """Its name in the lab and its inventory."""
        return self.spec.name

    def save(self) -> None:
        """Write `host.json`; a folder without it is no host."""
        kept = {
            "index": self.index,
            "host_key": self.host_key,
            "layers": self.layers,
            "spec": asdict(self.spec),
        }
        (self.folder / _FILE).write_text(json.dumps(kept, indent=1))


def load_host(hosts: Path, name: str, network: Network) -> Host:
    """Return the host `name` kept below the folder `hosts`."""
    try:
        kept = json.loads((hosts / name / _FILE).read_text())
    except OSError as error:
        known = ", ".join(names(hosts))
        hint = f"its hosts are: {known}" if known else "start the lab first: remedy lab up"
        raise LabError(f"the lab has no host {name!r}", hint=hint) from error
    disks = {mount: Disk(**disk) for mount, disk in kept["spec"].pop("disks").items()}
    spec = HostSpec(**kept["spec"], disks=disks)
    address = network.address(kept["index"])
    return Host(spec, kept["index"], address, kept["host_key"], tuple(kept["layers"]), hosts / name)


def names(hosts: Path) -> list[str]:
    """Return the names of all hosts kept below a folder."""
    return sorted(path.parent.name for path in hosts.glob(f"*/{_FILE}"))
