"""What earlier runs measured, for a run that asks: SQLAlchemy is imported only then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remedy.history.growth import Growth


class Measured:
    """What grows on hosts, read from the history database; this run's own measures count.

    Hosts that ask while it is read share the next reading: what a host has measured before it asks, it is told.
    """

    def __init__(self, state: Path, history: str | None) -> None:
        self._state = state
        self._history = history
        self._found: dict[float, tuple[float, dict[str, list[Growth]]]] = {}
        self._warned = False
        self._guard = threading.Lock()

    def of(self, host: str, days: float, warn: Callable[[str], None]) -> list[dict[str, Any]]:
        """Return what was measured of a host in the last days, the soonest full first."""
        from remedy.report.sparkline import sparkline

        asked = time.monotonic()
        with self._guard:
            began, by_host = self._found.get(days, (0.0, {}))
            if began <= asked:  # what was read then may not have all that the host has measured
                began = time.monotonic()
                by_host = self._read(days, self._ignored if self._warned else warn)
                self._found[days], self._warned = (began, by_host), True
            found = by_host.get(host, [])
        return [
            {
                **each.told(),
                "percent": None if each.share is None else round(100 * each.share, 1),
                "measured": len(each.points),
                "curve": sparkline([point.used for point in each.points]),
            }
            for each in found
        ]

    def _ignored(self, warning: str) -> None:
        """What is wrong with the history has been told."""

    def _read(self, days: float, warn: Callable[[str], None]) -> dict[str, list[Growth]]:
        from remedy.history.growth import growths
        from remedy.history.opening import filled

        by_host: dict[str, list[Growth]] = {}
        with filled(self._state, self._history, warn) as database:
            for each in growths(database, datetime.now(UTC) - timedelta(days=days)):
                by_host.setdefault(each.host, []).append(each)
        return by_host
