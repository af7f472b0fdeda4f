"""A file that could not be used when something was due: the turn that can use it again says so of those times."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from remedy.schedule.remembered import remembered
from remedy.schedule.times import Due

_WHAT = "broken"


def note(state: Path, file: Path, why: str) -> None:
    """Remember since when a schedule's file cannot be used, and why first; a folder that cannot be written forgets."""
    path = remembered(state, file, _WHAT)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("x", encoding="utf-8") as kept:
            json.dump({"since": datetime.now(UTC).timestamp(), "why": why}, kept)


class Broken:
    """What is remembered of one schedule; `grace` is by how many seconds a due time may be before its start.

    `mended` is when its file was written last.
    """

    def __init__(self, state: Path, file: Path, grace: float, mended: datetime | None = None) -> None:
        self._path = remembered(state, file, _WHAT)
        self._mended = mended
        self._since: datetime | None = None
        self._why = ""
        with suppress(OSError, ValueError, TypeError, KeyError, OverflowError):
            told = json.loads(self._path.read_text(encoding="utf-8"))
            self._why = str(told["why"])
            self._since = datetime.fromtimestamp(told["since"], UTC) - timedelta(seconds=grace)

    def why(self, due: Due) -> str | None:
        """Say why a due time was not run, None where the file could be used then."""
        if self._since is None or due.at < self._since:
            return None
        if self._mended is not None and due.at > self._mended > self._since:
            return None
        return f"its file could not be used: {self._why}"

    def over(self) -> None:
        """Forget it: what was missed is recorded."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
