"""Where remedy remembers something of a schedule between two turns, in a state folder that projects may share."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path


def remembered(state: Path, file: Path, what: str) -> Path:
    """Return the place of `what` about the schedule of a file: two projects' schedules may have one name."""
    folder = sha256(str(file.resolve().parent).encode()).hexdigest()[:12]
    return state / "schedules" / f"{file.stem}-{folder}.{what}"
