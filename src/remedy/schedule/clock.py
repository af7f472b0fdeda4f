"""Why a due time was missed: the machine was off or asleep, its clock was set, or nobody was there to start it."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from remedy.schedule.decide import span
from remedy.schedule.holders import born
from remedy.schedule.remembered import remember, remembered
from remedy.schedule.times import Due

_SLACK = 60.0  # seconds by which clocks drift, and are put right, without anybody setting them


class Reading(Struct, frozen=True):
    """All clocks of the machine at one moment: wall clock, and seconds since the boot with and without sleep.

    `boot` names the boot. `up` is for how many seconds the first process has been running: a container's clocks are its
    machine's, and in a sandbox its boot has the machine's name, too.
    """

    boot: str
    wall: float
    boottime: float
    awake: float
    up: float = 0.0

    @classmethod
    def now(cls) -> Reading:
        """Read them."""
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            boot = ""
        since = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        boottime, ticks = time.clock_gettime(since), born(1)
        up = max(0.0, boottime - ticks / os.sysconf("SC_CLK_TCK")) if ticks else 0.0
        return cls(f"{boot} {ticks}" if boot else "", time.time(), boottime, time.monotonic(), up)


class Story(Struct, frozen=True):
    """What happened to the clocks between two readings; `before` is None at the first one."""

    before: Reading | None
    after: Reading

    def set_by(self) -> float:
        """Return by how many seconds the wall clock was set between them, 0 where it was not or nobody knows."""
        if self.before is None or not self.before.boot or self.before.boot != self.after.boot:
            return 0.0
        skew = (self.after.wall - self.before.wall) - (self.after.boottime - self.before.boottime)
        return skew if abs(skew) > _SLACK else 0.0

    def why(self, due: Due) -> str | None:
        """Say what kept the machine from starting a due time that lies between the readings, None where nothing did."""
        booted = self.after.wall - (self.after.up or self.after.boottime)
        skew = self.set_by()
        if skew > 0:
            return f"the clock was set forward by {span(timedelta(seconds=skew))}"
        if due.at.timestamp() < booted and (self.before is None or self.before.boot != self.after.boot):
            return f"the machine was off (it was booted {datetime.fromtimestamp(booted, UTC):%Y-%m-%d %H:%M} UTC)"
        if self.before is not None and self.before.boot == self.after.boot:
            slept = (self.after.boottime - self.before.boottime) - (self.after.awake - self.before.awake)
            if slept > _SLACK:
                return f"the machine slept for {span(timedelta(seconds=slept))}"
        return None

    def set_back(self) -> str | None:
        """Say by how much the clock was set back, None where it was not."""
        skew = self.set_by()
        return f"the clock was set back by {span(timedelta(seconds=-skew))}" if skew < 0 else None


def reading_file(state: Path, file: Path) -> Path:
    """Return where the last reading for the schedule of a file is kept."""
    return remembered(state, file, "clock")


def first_look(path: Path) -> bool:
    """Remember the clocks where nobody has yet: the first turn can then say what was done to them before it."""
    if path.exists():
        return False
    look(path)
    return True


def look(path: Path) -> Story:
    """Read the clocks, and remember them in a file for the next look; a file that cannot be used is no story."""
    story = peek(path)
    keep(path, story)
    return story


def peek(path: Path) -> Story:
    """Read the clocks, and leave what is remembered of them as it is."""
    after, before = Reading.now(), None
    with suppress(OSError, ValueError, TypeError):
        before = Reading(**json.loads(path.read_text(encoding="utf-8")))
    return Story(before, after)


def keep(path: Path, story: Story) -> None:
    """Remember the clocks as they were at the end of a story: what it explains is recorded."""
    remember(path, {name: getattr(story.after, name) for name in Reading.__struct_fields__})
