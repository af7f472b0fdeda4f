"""The connection that a full server keeps for administrators, in a storm of clients that come again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from remedy.agent.kinds import Failed

_SECONDS = 2.0
_TRIES = 20  # what decides: on a busy machine one can take a second
_AT_MOST = 15.0  # seconds
_PAUSE = 0.05
_Session = TypeVar("_Session")


def admitted(log_in: Callable[[], _Session], full: Callable[[Failed], bool]) -> _Session:
    """Return the session that `log_in` opens, tried again while it fails as `full` says.

    Whom the server turns away has a kept connection until it is told so. Pools that try all the time are in it for
    most of the time, though nobody holds it: only who is refused throughout is locked out. That is for two seconds
    and 20 tries, or for 15 seconds where tries take that long.
    """
    began, tries = time.monotonic(), 0
    while True:
        tries += 1
        try:
            return log_in()
        except Failed as failed:
            seconds = time.monotonic() - began
            if not full(failed) or seconds > (_SECONDS if tries >= _TRIES else _AT_MOST):
                raise
        time.sleep(_PAUSE)
