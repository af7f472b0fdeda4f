"""A terminal at which passwords are typed: remedy, like sudo, reads them from /dev/tty."""

from __future__ import annotations

import os
import pty
import threading
from collections.abc import Sequence

# Makes its standard input the controlling terminal of the program that follows.
PREFIX = ("setsid", "--ctty", "--wait")


class Terminal:
    """Types one password at each prompt; `inside` is the program's end, to be closed once it has started."""

    def __init__(self, passwords: Sequence[str]) -> None:
        self._outside, self.inside = pty.openpty()
        self._passwords = list(passwords)
        threading.Thread(target=self._type, daemon=True).start()

    def _type(self) -> None:
        seen = b""
        try:
            while data := os.read(self._outside, 1024):
                seen += data
                if self._passwords and seen.rstrip().endswith(b":"):
                    os.write(self._outside, self._passwords.pop(0).encode() + b"\n")
                    seen = b""
        except OSError:  # the last one who had the terminal open has gone
            pass
        os.close(self._outside)
