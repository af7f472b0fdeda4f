"""How the hosts of a lab are doing, asked from outside so that a sick host answers too."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from remedy.lab.errors import LabError
from remedy.lab.host import Host
from remedy.lab.inside import Inside
from remedy.lab.lab import Lab

_DISK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class DiskStatus:
    """How full one filesystem of a host is."""

    mount: str
    size: int
    """Bytes."""
    used: int
    """Percent, rounded up, as df(1) says it."""


@dataclass(frozen=True, slots=True)
class HostStatus:
    """What is known of one host from outside."""

    host: Host
    running: bool
    seconds: float
    """Since its start."""
    disks: tuple[DiskStatus, ...]
    """Empty where the host does not run or a filesystem does not answer."""


def status(lab: Lab) -> list[HostStatus]:
    """Return the state of every host of a lab."""
    hosts = lab.hosts()
    with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
        return list(pool.map(lambda host: _status(lab.inside(host.name), host), hosts))


def _status(inside: Inside, host: Host) -> HostStatus:
    first = inside.first_process()
    if first is None:
        return HostStatus(host, False, 0.0, ())
    mounts = [*(["/"] if host.spec.root_size else []), *sorted(host.spec.disks)]
    return HostStatus(host, True, age(first), _disks(inside, mounts))


def _disks(inside: Inside, mounts: Sequence[str]) -> tuple[DiskStatus, ...]:
    if not mounts:
        return ()
    try:
        lines = inside.run(["df", "-P", "-B1", "--", *mounts], timeout=_DISK_SECONDS).stdout.splitlines()[1:]
    except LabError:
        return ()
    rows = [line.split() for line in lines]
    return tuple(DiskStatus(row[5], int(row[1]), int(row[4].rstrip("%"))) for row in rows)


def age(pid: int) -> float:
    """Return for how many seconds a process runs."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return 0.0
    return max(0.0, uptime - ticks / os.sysconf("SC_CLK_TCK"))
