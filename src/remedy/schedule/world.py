"""What a schedule's turn needs of the world around it, and how it tells of an end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from remedy.history import Database
from remedy.schedule.model import Schedule

Play = Callable[[Callable[[str], None]], int]
"""Plays or diagnoses; it tells the id of its run when that begins, and returns the exit code or raises RemedyError."""


class Ending(Struct, frozen=True, kw_only=True):
    """How a due time ended, for whoever is to be told; `run` None where nothing began, `exit_code` None: skipped."""

    due: datetime
    run: str | None = None
    reason: str | None = None
    exit_code: int | None = None


class World(Struct, frozen=True, kw_only=True):
    """What a turn needs of the world around it; tests bring their own clock."""

    database: Database
    state: Path
    holder: str
    play: Play
    say: Callable[[str], None]
    sleep: Callable[[float], None]
    again: Callable[[], Schedule] | None = None
    """Reads the schedule's file once more; what is played and told from then on is what it says."""
    ended: Callable[[Ending], None] = lambda ending: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
