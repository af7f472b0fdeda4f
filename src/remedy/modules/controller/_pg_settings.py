"""PostgreSQL's settings: their values in one form, and what bounds max_connections."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remedy.agent.kinds import Failed
from remedy.modules.controller._postgres import Session

# What a standby must have at least as high as its primary: with less its recovery pauses, or it does not start.
# https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-ADMIN
AS_PRIMARY = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)
LISTS = (
    "shared_preload_libraries",
    "local_preload_libraries",
    "session_preload_libraries",
    "search_path",
    "temp_tablespaces",
    "unix_socket_directories",
)
"""Settings whose parts are quoted one by one."""

_TRUE, _FALSE = ("on", "true", "yes", "1", "t", "y"), ("off", "false", "no", "0", "f", "n")
_UNITS = {
    **{"B": (1, "size"), "kB": (1 << 10, "size"), "MB": (1 << 20, "size"), "GB": (1 << 30, "size")},
    **{"TB": (1 << 40, "size"), "us": (1, "time"), "ms": (1000, "time"), "s": (10**6, "time")},
    **{"min": (6 * 10**7, "time"), "h": (36 * 10**8, "time"), "d": (864 * 10**8, "time")},
}
_VALUE = re.compile(r"\s*([-+]?[0-9.]+(?:e[-+]?[0-9]+)?)\s*([a-zA-Z]*)\s*\Z")


def canonical(value: object, about: Mapping[str, Any]) -> str:
    """Return a value as the server shows it: numbers in its own unit; `about` is a row of pg_settings.

    Raises Failed for what the setting cannot be.
    """
    given = ("on" if value else "off") if isinstance(value, bool) else str(value)
    name, kind, text = about["name"], about["vartype"], given.strip()
    if kind == "string":
        return given
    if kind == "bool":
        if text.lower() not in _TRUE + _FALSE:
            raise Failed(f"{name} cannot be '{text}': expected on or off")
        return "on" if text.lower() in _TRUE else "off"
    if kind == "enum":
        choices = [str(each) for each in about["enumvals"] or ()]
        if text.lower() not in (*choices, *_TRUE, *_FALSE):
            raise Failed(f"{name} cannot be '{text}': expected one of {', '.join(choices)}")
        return text.lower()
    number = _number(text, about)
    low, high = float(about["min_val"]), float(about["max_val"])
    if not low <= number <= high:
        raise Failed(f"{name} cannot be {text}: expected {about['min_val']} to {about['max_val']}{_of(about)}")
    return str(round(number)) if kind == "integer" else f"{number:g}"


def _number(text: str, about: Mapping[str, Any]) -> float:
    found = _VALUE.match(text)
    base = re.match(r"([0-9]*)(.*)", about["unit"] or "")
    try:
        if found is None or base is None:
            raise ValueError
        number = float(found[1])
        if not found[2]:
            return number
        size, what = _UNITS[found[2]]
        own, kind = _UNITS[base[2]]
        if what != kind:
            raise ValueError
    except (ValueError, KeyError):
        raise Failed(f"{about['name']} cannot be '{text}': expected a number{_of(about)}") from None
    return number * size / (own * int(base[1] or 1))


def _of(about: Mapping[str, Any]) -> str:
    return f" of {about['unit']}" if about["unit"] else ""


# Measured on PostgreSQL 15: a backend that has answered a few queries has 3 to 6 MiB of its own.
_BACKEND = 5 << 20
_SLOT = 24 << 10  # shared memory for a connection, beside its locks
_LOCK = 270
NEEDED = (
    *("shared_buffers", "wal_buffers", "work_mem", "maintenance_work_mem", "autovacuum_max_workers"),
    *("max_locks_per_transaction", "max_files_per_process", "superuser_reserved_connections"),
    *("reserved_connections", "max_wal_senders", "max_worker_processes", "max_connections"),
)


@dataclass(frozen=True)
class Capacity:
    """What bounds max_connections; sizes are bytes, `settings` the server's, in the units of pg_settings.

    `memory` 0 is not known: `elsewhere` says that the server is none of its host's own.
    """

    settings: Mapping[str, int]
    memory: int
    share: float
    tasks: int | None = None
    file_max: int | None = None
    version: int = 150000
    elsewhere: str | None = None

    @property
    def each(self) -> int:
        """What one connection takes when it sorts once: its process, work_mem, its part of shared memory."""
        locks = self.settings["max_locks_per_transaction"] * _LOCK
        return _BACKEND + (self.settings["work_mem"] << 10) + _SLOT + locks

    @property
    def once(self) -> int:
        """What the server takes without connections."""
        pages = self.settings["shared_buffers"] + max(0, self.settings["wal_buffers"])
        workers = self.settings["autovacuum_max_workers"] * (self.settings["maintenance_work_mem"] << 10)
        return (pages << 13) + workers

    @property
    def by_memory(self) -> int:
        return max(0, int(self.memory * self.share / 100) - self.once) // self.each

    @property
    def most(self) -> int:
        """The most connections there is room for."""
        bounds = [self.by_memory, 262143]
        if self.tasks is not None:
            bounds.append(max(0, self.tasks - self.others))
        if self.file_max is not None:
            bounds.append(self.file_max // self.settings["max_files_per_process"])
        return min(bounds)

    @property
    def others(self) -> int:
        """Processes beside the connections."""
        named = ("autovacuum_max_workers", "max_worker_processes", "max_wal_senders")
        return 10 + sum(self.settings[name] for name in named)

    def objection(self, wanted: int) -> str | None:
        """Return why the server must not have so many connections, with the arithmetic; None where it may."""
        low = self.settings["superuser_reserved_connections"] + self.settings.get("reserved_connections", 0)
        low += self.settings["max_wal_senders"] if self.version < 120000 else 0
        if wanted <= low:
            return f"max_connections {wanted} is too low: {low} are reserved, and the server would not start"
        if wanted <= self.settings["max_connections"]:
            return None  # fewer than there are need nothing more
        if not self.memory:
            return (
                f"max_connections {wanted} is more than now, and {self.elsewhere or 'the server is not seen here'}: "
                "how much memory it has is not known, so nothing is raised; play on the host that it runs on"
            )
        if wanted > self.by_memory:
            return (
                f"max_connections {wanted} is more than memory allows: {wanted} x {size(self.each)} (process, one "
                f"work_mem, locks) and {size(self.once)} for all (shared_buffers, wal_buffers, autovacuum) are "
                f"{size(wanted * self.each + self.once)}; of {size(self.memory)} the server may have {self.share:g}% "
                f"({size(self.memory * self.share / 100)}): at most {self.by_memory}; a pool before the server needs "
                "fewer"
            )
        if self.tasks is not None and wanted + self.others > self.tasks:
            return (
                f"max_connections {wanted} is more than its unit allows: {wanted} and {self.others} processes of the "
                f"server itself are {wanted + self.others}, and it may have {self.tasks} (TasksMax)"
            )
        files = self.settings["max_files_per_process"]
        if self.file_max is not None and wanted * files > self.file_max:
            return (
                f"max_connections {wanted} is more than the open files allow: {wanted} x {files} "
                f"(max_files_per_process) are {wanted * files}, and fs.file-max is {self.file_max}: at most "
                f"{self.file_max // files}"
            )
        return None

    def told(self) -> dict[str, Any]:
        """Return what a task returns of it."""
        return {"bytes_per_connection": self.each, "server_bytes": self.once, "memory_bytes": self.memory,
                "memory_percent": self.share, "by_memory": self.by_memory, "tasks": self.tasks,
                "elsewhere": self.elsewhere}  # fmt: skip


def size(count: float) -> str:
    """Return bytes as people write them."""
    for unit, bytes_ in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= bytes_:
            return f"{count / bytes_:.3g} {unit}"
    return f"{count:.0f} bytes"


def capacity(server: Session, told: dict[str, Any], share: float) -> Capacity:
    """Return what bounds max_connections of a server; `told` is what its host says."""
    rows = server.rows("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(NEEDED)])
    settings = {row["name"]: int(row["setting"]) for row in rows}
    return Capacity(settings, told["memory"]["total"], share, told["tasks"], told["file_max"], server.version,
                    told["elsewhere"])  # fmt: skip
