"""How full each file system was before a fix and after it, from what disk_usage has told meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from remedy.events import Event, TaskDone

NUMBERS = ("size", "used", "available", "percent", "inode_percent")
"""What a look says in numbers."""

_AFTER = ("verify", "diagnose again")  # looks between two fixes are old by the end


@dataclass(frozen=True, slots=True)
class Room:
    """How full a file system was at one look: bytes, and percent as df prints it.

    `lacks` says what it had too little of, by the limit of whoever looked: bytes, inodes.
    """

    size: int
    used: int
    available: int
    percent: int
    inode_percent: int | None
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A file system of a host; `after` is None where nobody has looked after the fix."""

    mount: str
    before: Room
    after: Room | None = None


class Disks:
    """Gathers the looks at file systems; a Sink. The first one of diagnose counts, and the last one after the fix."""

    def __init__(self) -> None:
        self._hosts: dict[str, dict[str, FileSystem]] = {}

    def of(self, host: str) -> list[FileSystem]:
        """Return a host's file systems, in the order in which they were seen."""
        return list(self._hosts.get(host, {}).values())

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if not isinstance(event, TaskDone) or event.module != "disk_usage" or event.item is not None:
            return
        seen = _seen(event.result)
        known = self._hosts.setdefault(event.host, {}) if seen else {}
        for mount, room in seen.items():
            if event.section == "diagnose":
                known.setdefault(mount, FileSystem(mount, room))
            elif event.section in _AFTER and mount in known:
                known[mount] = replace(known[mount], after=room)


def _seen(result: Mapping[str, Any]) -> dict[str, Room]:
    """Return what a look saw, by mount point; nothing where it was hidden, or something else has this name."""
    entries, full = result.get("filesystems"), result.get("full")
    if not isinstance(entries, list) or not isinstance(full, list):
        return {}
    lacks = {each["mount"]: tuple(each["lacks"]) for each in full}
    return {each["mount"]: _room(each, lacks.get(each["mount"], ())) for each in entries}


def _room(entry: Mapping[str, Any], lacks: tuple[str, ...]) -> Room:
    return Room(**{name: entry[name] for name in NUMBERS}, lacks=lacks)
