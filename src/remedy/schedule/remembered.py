"""Where remedy remembers something of a schedule between two turns, in a state folder that projects may share."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any


def remembered(state: Path, file: Path, what: str) -> Path:
    """Return the place of `what` about the schedule of a file: two projects' schedules may have one name."""
    folder = sha256(str(file.resolve().parent).encode()).hexdigest()[:12]
    return state / "schedules" / f"{file.stem}-{folder}.{what}"


def remember(place: Path, told: Any) -> None:
    """Write it down in one step; a folder that cannot be written forgets."""
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        sibling = place.with_name(f"{place.name}.{os.getpid()}")
        sibling.write_text(json.dumps(told), encoding="utf-8")
        sibling.replace(place)
