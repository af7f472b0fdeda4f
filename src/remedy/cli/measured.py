"""What earlier runs measured, for a run that asks: SQLAlchemy is imported only then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remedy.history.growth import Growth


class Measured:
    """What grows on hosts, read from the history database once for all hosts; this run's own measures count."""

    def __init__(self, state: Path, history: str | None) -> None:
        self._state = state
        self._history = history
        self._found: dict[float, dict[str, list[Growth]]] = {}
        self._guard = threading.Lock()

    def of(self, host: str, days: float, warn: Callable[[str], None]) -> list[dict[str, Any]]:
        """Return what was measured of a host in the last days, the soonest full first."""
        from remedy.report.sparkline import sparkline

        with self._guard:
            if days not in self._found:
                self._found[days] = self._read(days, warn)
            found = self._found[days].get(host, [])
        return [
            {
                **each.told(),
                "percent": None if each.share is None else round(100 * each.share, 1),
                "measured": len(each.points),
                "curve": sparkline([point.used for point in each.points]),
            }
            for each in found
        ]

    def _read(self, days: float, warn: Callable[[str], None]) -> dict[str, list[Growth]]:
        from remedy.history.growth import growths
        from remedy.history.opening import filled

        by_host: dict[str, list[Growth]] = {}
        with filled(self._state, self._history, warn) as database:
            for each in growths(database, datetime.now(UTC) - timedelta(days=days)):
                by_host.setdefault(each.host, []).append(each)
        return by_host
