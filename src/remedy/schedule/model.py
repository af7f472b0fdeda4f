"""A schedule as its file says it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from msgspec import Struct

from remedy.document import Map
from remedy.errors import Position
from remedy.schedule.permission import Permission
from remedy.schedule.times import Due, dues, jitter
from remedy.schedule.when import Rule
from remedy.schedule.windows import Opening

DIAGNOSE, PLAY = "diagnose", "play"
SKIP, ONCE = "skip", "once"
REFUSE, WAIT = "refuse", "wait"


class Schedule(Struct, frozen=True, kw_only=True):
    """One schedule; `when` and the zone as written, the rules made of them; `jitter` and `grace` in seconds.

    `key` names it in the history database; `label` is its project's folder's name and its own, in every copy the same.
    """

    name: str
    key: str
    label: str
    path: Path
    playbook: str
    when: tuple[str, ...]
    rules: tuple[Rule, ...]
    zone: ZoneInfo
    opening: Opening
    inventories: tuple[str, ...] = ()
    limit: str | None = None
    vars: Map
    mode: str = DIAGNOSE
    fail_on: str = "P3"
    jitter: float = 0.0
    grace: float = 600.0
    missed: str = SKIP
    overlap: str = REFUSE
    permission: Permission | None = None
    notify: tuple[tuple[str, Position], ...] = ()
    paused: str | None = None
    title: str = ""
    document: Map

    def dues(self, after: datetime) -> Iterator[Due]:
        """Yield its due times after a moment."""
        return dues(self.rules, self.zone, after)

    def late_by(self, due: Due) -> timedelta:
        """Return by how much the jitter delays a due time."""
        return jitter(self.label, due.at, self.jitter)

    @property
    def planned(self) -> str:
        """Return when it runs, as a text that changes when the plan does."""
        return f"{'; '.join(self.when)} ({self.zone.key})"
