"""What a run starts when it is over, and does not wait for: `python -m remedy.history STATE TROUBLE`.

It fills the history database. The URL is in REMEDY_HISTORY_URL, for it may hold a password. What goes wrong is left in
the file TROUBLE for the next run to say; the next `remedy history` catches up.
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
    try:
        database, _ = kept_up(state, os.environ.get("REMEDY_HISTORY_URL"), lambda message: None)
        database.close()
    except RemedyError as error:
        try:
            trouble.write_text(f"{error.message}\n", encoding="utf-8")
        except OSError:
            pass  # the disk is full: that is the trouble
        return error.exit_code
    trouble.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
