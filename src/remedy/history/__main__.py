"""What a run starts when it is over, and does not wait for: `python -m remedy.history STATE TROUBLE`.

It fills the history database. The URL is in REMEDY_HISTORY_URL, for it may hold a password. What goes wrong, and what
is to be known of the database, is left in the file TROUBLE for the next run to say, a line each; the next `remedy
history` catches up.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from remedy.errors import RemedyError
from remedy.history.opening import kept_up

_DEADLINE = 300  # seconds; a server or a disk that hangs must not gather a process for each run


def main() -> int:
    """Fill, and return the exit code that nobody reads."""
    state, trouble = map(Path, sys.argv[1:])
    signal.alarm(_DEADLINE)
    os.nice(10)
    lines: list[str] = []
    code = 0
    try:
        database, _ = kept_up(state, os.environ.get("REMEDY_HISTORY_URL"), lines.append)
        database.close()
    except RemedyError as error:
        lines.append(f"an earlier run is not in the history yet: {error.message}")
        code = error.exit_code
    if not lines:
        trouble.unlink(missing_ok=True)
        return code
    try:
        trouble.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError:
        pass  # the disk is full: that is the trouble
    return code


if __name__ == "__main__":
    sys.exit(main())
