"""Schedules for tests, made as users make them: from a file's text."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from remedy.project import Project
from remedy.schedule import Schedule, load_schedule

ROOT = Path("/srv/ops")


def made(root: Path = ROOT, name: str = "nightly", **words: Any) -> Schedule:
    """Return a schedule with these words; without them it plays nothing in particular, daily at 02:00."""
    document = {"playbook": "disk-full", "when": "daily at 02:00", **words}
    return read(yaml.safe_dump(document, sort_keys=False), root, name)


def read(text: str, root: Path = ROOT, name: str = "nightly") -> Schedule:
    """Return the schedule that a text describes."""
    return load_schedule(root / "schedules" / f"{name}.yml", project=Project(root), text=text)


def moments(first: str, last: str) -> st.SearchStrategy[datetime]:
    """Return moments between two days."""
    days = [datetime.fromisoformat(day) for day in (first, last)]
    return st.datetimes(*days, timezones=st.just(UTC))
