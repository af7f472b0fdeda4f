"""What results tell in numbers that grow: disks, memory, connections, databases; for reports of capacity.

name (object): disk.size, .used, .available, .inodes, .inodes_used (mount); memory.total, .available, swap.total,
.used (""); memory.used, .limit (redis); connections.used, .allowed, .peak (server); database.bytes (server/database);
wal.bytes, binlogs.bytes (server); docker.bytes (containers, images, build_cache, volumes). Sizes are bytes; a server
is mysql, redis, postgresql, or postgresql:PORT where that is not 5432.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from remedy.events import TaskDone

_MIB = 1 << 20
_DISK = ("size", "used", "available", "inodes", "inodes_used")
_DOCKER = ("containers", "images", "build_cache", "volumes")


_Told = tuple[str, str, Any]  # a Measure whose value may be none


class Measure(NamedTuple):
    """A number: what of which object."""

    name: str
    object: str
    value: float


def measures_of(done: TaskDone) -> list[Measure]:
    """Return what a task's result tells; nothing where it was hidden, or has another shape than it should."""
    reader = _READERS.get(done.module)
    if reader is None:
        return []
    try:
        found = list(reader(done.result))
    except (AttributeError, KeyError, TypeError, ValueError):
        return []  # a failed task's, or one of another time's remedy
    return [
        Measure(name, about, float(value))
        for name, about, value in found
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    ]


def _disks(result: Mapping[str, Any]) -> Iterator[_Told]:
    for each in result["filesystems"]:
        if not each.get("image"):
            for name in _DISK:
                yield (f"disk.{name}", each["mount"], each.get(name))


def _facts(result: Mapping[str, Any]) -> Iterator[_Told]:
    facts = result["ansible_facts"]
    for each in facts.get("ansible_mounts", ()):
        # What is not available is not all used: root's reserve. disk_usage knows.
        yield ("disk.size", each["mount"], each.get("size_total"))
        yield ("disk.available", each["mount"], each.get("size_available"))
    if "ansible_memtotal_mb" in facts:
        yield ("memory.total", "", facts["ansible_memtotal_mb"] * _MIB)
        yield ("memory.available", "", facts["ansible_memavailable_mb"] * _MIB)
        yield ("swap.total", "", facts["ansible_swaptotal_mb"] * _MIB)
        yield ("swap.used", "", (facts["ansible_swaptotal_mb"] - facts["ansible_swapfree_mb"]) * _MIB)


def _mysql(result: Mapping[str, Any]) -> Iterator[_Told]:
    yield from _connections("mysql", result["connections"])


def _binlogs(result: Mapping[str, Any]) -> Iterator[_Told]:
    yield ("binlogs.bytes", "mysql", result["total"])


def _postgres(result: Mapping[str, Any]) -> Iterator[_Told]:
    port = result.get("port") or 5432
    server = "postgresql" if int(port) == 5432 else f"postgresql:{port}"
    yield from _connections(server, result.get("connections") or {})
    for name, each in (result.get("databases") or {}).items():
        yield ("database.bytes", f"{server}/{name}", each.get("size"))


def _postgres_disk(result: Mapping[str, Any]) -> Iterator[_Told]:
    for each in result["databases"]:
        yield ("database.bytes", f"postgresql/{each['db']}", each["bytes"])
    yield ("wal.bytes", "postgresql", (result.get("wal") or {}).get("bytes"))


def _redis(result: Mapping[str, Any]) -> Iterator[_Told]:
    memory, clients = result["memory"], result["clients"]
    yield ("memory.used", "redis", memory.get("used"))
    yield ("memory.limit", "redis", memory.get("maxmemory"))
    yield from _connections("redis", {"used": clients.get("connected"), "allowed": clients.get("max")})


def _docker(result: Mapping[str, Any]) -> Iterator[_Told]:
    for name in _DOCKER:
        yield ("docker.bytes", name, (result.get(name) or {}).get("bytes"))


def _connections(server: str, told: Mapping[str, Any]) -> Iterator[_Told]:
    yield ("connections.used", server, told.get("used"))
    yield ("connections.allowed", server, told.get("allowed"))
    yield ("connections.peak", server, told.get("peak"))


_READERS: dict[str, Callable[[Mapping[str, Any]], Iterable[_Told]]] = {
    "disk_usage": _disks,
    "docker_usage": _docker,
    "mysql_binlogs": _binlogs,
    "mysql_info": _mysql,
    "postgresql_disk": _postgres_disk,
    "postgresql_info": _postgres,
    "redis_info": _redis,
    "setup": _facts,
}
