"""How many connections a server has room for: memory per connection, and open files, each with its arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remedy.modules.controller._mysql import Asks, is_mariadb

# https://mariadb.com/kb/en/mariadb-memory-allocation/ and MySQL's "How MySQL Uses Memory": what one connection
# takes where its statements use every buffer once; it may be more (a join buffer for each table of a join).
_EACH = (
    "sort_buffer_size",
    "join_buffer_size",
    "read_buffer_size",
    "read_rnd_buffer_size",
    "binlog_cache_size",
    "thread_stack",
    "net_buffer_length",
)
_ONCE = (
    "innodb_buffer_pool_size",
    "innodb_log_buffer_size",
    "key_buffer_size",
    "query_cache_size",
    "aria_pagecache_buffer_size",
)
_FILES = ("open_files_limit", "table_open_cache", "extra_max_connections", "max_connections")
_NAMES = ", ".join(f"'{name}'" for name in (*_EACH, *_ONCE, *_FILES))


@dataclass(frozen=True)
class Capacity:
    """What bounds max_connections; sizes are bytes.

    `memory` 0 is not known (the server runs elsewhere): then it bounds nothing. `files` is the server's limit, `kept`
    what tables and the rest need of it.
    """

    each: int
    once: int
    memory: int
    share: float
    files: int
    kept: int

    @property
    def by_memory(self) -> int:
        """The most connections that fit into the share of the host's memory."""
        if not self.memory:
            return self.by_files
        return max(0, int(self.memory * self.share / 100 - self.once) // max(1, self.each))

    @property
    def by_files(self) -> int:
        """The most connections for which there are files."""
        return max(0, self.files - self.kept)

    @property
    def most(self) -> int:
        return min(self.by_memory, self.by_files)

    def objection(self, wanted: int) -> str | None:
        """Return why so many connections are too many, with the arithmetic; None where they fit."""
        if self.memory and wanted > self.by_memory:
            needs = wanted * self.each + self.once
            return (
                f"max_connections {wanted} is more than memory allows: {wanted} connections of {size(self.each)} and "
                f"{size(self.once)} for all are {size(needs)}, of {size(self.memory)} the server may have "
                f"{self.share:g}% ({size(self.memory * self.share / 100)}); at most {self.by_memory}"
            )
        if wanted > self.by_files:
            return (
                f"max_connections {wanted} is more than the open files allow: {wanted} and {self.kept} for tables and "
                f"the server itself are {wanted + self.kept}, and open_files_limit is {self.files}; at most "
                f"{self.by_files} (LimitNOFILE of its unit, then a restart, raises it)"
            )
        return None

    def told(self) -> dict[str, Any]:
        """Return what a task returns of it."""
        return {
            "bytes_per_connection": self.each,
            "server_bytes": self.once,
            "memory_bytes": self.memory,
            "memory_percent": self.share,
            "by_memory": self.by_memory,
            "open_files_limit": self.files,
            "by_open_files": self.by_files,
            "most": self.most,
        }


def capacity(server: Asks, version: str, memory: int, share: float) -> Capacity:
    """Ask a server for what bounds its connections; `memory` is the host's, of which it may take `share` percent."""
    rows = server.rows(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({_NAMES})")
    return computed({str(row["Variable_name"]): str(row["Value"]) for row in rows}, version, memory, share)


def computed(known: Mapping[str, str], version: str, memory: int, share: float) -> Capacity:
    """Return the same from variables.

    Files: MySQL lowers max_connections at start to open_files_limit - 10 - 2 * 400 (adjust_max_connections); MariaDB
    counts 30, its extra connections, and two for each of at least 200 tables, and beyond that starts with more
    connections than files (10.11 with 600 files and 1000 connections said nothing).
    """

    def number(name: str) -> int:
        return int(known.get(name) or 0)

    if is_mariadb(version):
        kept = 30 + number("extra_max_connections") + 2 * min(number("table_open_cache"), 200)
    else:
        kept = 10 + 2 * 400
    each, once = sum(map(number, _EACH)), sum(map(number, _ONCE))
    return Capacity(each, once, memory, share, number("open_files_limit"), kept)


def size(count: float) -> str:
    """Return bytes as people write them."""
    for unit, length in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= length:
            return f"{count / length:.3g} {unit}"
    return f"{count:.0f} bytes"
