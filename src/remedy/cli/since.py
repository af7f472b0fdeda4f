"""`--since`: a time as people write it, in the zone of this machine."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from remedy.errors import InputError

_AGO = re.compile(r"([0-9]+)\s*([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_EXPECTED = "expected how long ago (30m, 12h, 7d, 2w), or a time: 2026-11-01, '2026-11-01 03:30'"


def since(written: str, now: datetime | None = None, option: str = "--since") -> datetime:
    """Return the moment, in UTC; InputError, with the option's name, where it is none."""
    text = written.strip()
    try:
        ago = _AGO.fullmatch(text)
        if ago is not None:
            return (now or datetime.now(UTC)) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(f"{option} '{written}' is no time", hint=_EXPECTED) from None
