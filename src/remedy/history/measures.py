"""What results tell in numbers that grow: disks, memory, connections, databases; for reports of capacity.

name (object): disk.size, .used, .available, .inodes, .inodes_used (mount); memory.total, .available, swap.total,
.used (""); memory.used, .limit (server); connections.used, .allowed, .peak (server); database.bytes (server/database);
wal.bytes, binlogs.bytes (server); docker.bytes (containers, images, build_cache, volumes). Sizes are bytes; a server
is mysql, redis or postgresql, with :PORT where that is not the usual one, with :SOCKET where it takes no TCP.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from remedy.events import TaskDone

_MIB = 1 << 20
_DISK = ("size", "used", "available", "inodes", "inodes_used")
_PORTS = {"mysql": 3306, "postgresql": 5432, "redis": 6379}
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
    server = _server("mysql", result)
    yield from _connections(server, result.get("connections") or {})
    yield from _databases(server, result.get("databases") or {})


def _binlogs(result: Mapping[str, Any]) -> Iterator[_Told]:
    yield ("binlogs.bytes", _server("mysql", result), result["total"])


def _postgres(result: Mapping[str, Any]) -> Iterator[_Told]:
    server = _server("postgresql", result)
    yield from _connections(server, result.get("connections") or {})
    yield from _databases(server, result.get("databases") or {})


def _databases(server: str, told: Mapping[str, Any]) -> Iterator[_Told]:
    for name, each in told.items():
        yield ("database.bytes", f"{server}/{name}", each.get("size"))


def _postgres_disk(result: Mapping[str, Any]) -> Iterator[_Told]:
    server = _server("postgresql", result)
    for each in result["databases"]:
        yield ("database.bytes", f"{server}/{each['db']}", each["bytes"])
    yield ("wal.bytes", server, (result.get("wal") or {}).get("bytes"))


def _redis(result: Mapping[str, Any]) -> Iterator[_Told]:
    memory, clients = result["memory"], result["clients"]
    server = _server("redis", result)
    yield ("memory.used", server, memory.get("used"))
    yield ("memory.limit", server, memory.get("maxmemory"))
    yield from _connections(server, {"used": clients.get("connected"), "allowed": clients.get("max")})


def _docker(result: Mapping[str, Any]) -> Iterator[_Told]:
    for name in _DOCKER:
        yield ("docker.bytes", name, (result.get(name) or {}).get("bytes"))


def _server(kind: str, result: Mapping[str, Any]) -> str:
    """Name a server among those of its host; results of an older remedy do not tell the port."""
    port = result.get("port", _PORTS[kind])
    place = port or result.get("socket") or _PORTS[kind]
    return kind if place in (_PORTS[kind], str(_PORTS[kind])) else f"{kind}:{place}"


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
