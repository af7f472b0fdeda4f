"""What goes wrong for a while is said when it begins, now and then while it lasts, and when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from remedy.schedule.decide import span

AGAIN = 300.0
"""Seconds after which a trouble that lasts is said once more."""


class Trouble:
    """One trouble at a time; `say` hears of it, `ended` is what it hears when it is over."""

    def __init__(
        self, say: Callable[[str], None], ended: str, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._ended = ended
        self._now = now
        self._text = ""
        self._began = self._said = 0.0

    def tell(self, text: str) -> None:
        """Say what is wrong, unless it was said within the last minutes."""
        now = self._now()
        if not self._text:
            self._began = now
        if text != self._text or now - self._said >= AGAIN:
            lasts = f" (for {span(timedelta(seconds=now - self._began))} by now)" if self._text else ""
            self._say(f"{text}{lasts}")
            self._text, self._said = text, now

    def over(self) -> bool:
        """Say that it is over; False where there was none."""
        if not self._text:
            return False
        self._text = ""
        self._say(f"{self._ended} after {span(timedelta(seconds=self._now() - self._began))}")
        return True
