"""The connection that a full server keeps for administrators, in a storm of clients that come again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from remedy.agent.kinds import Failed

_SECONDS = 2.0
_PAUSE = 0.05
_Session = TypeVar("_Session")


def admitted(log_in: Callable[[], _Session], full: Callable[[Failed], bool]) -> _Session:
    """Return the session that `log_in` opens, tried again for two seconds while it fails as `full` says.

    Whom the server turns away has a kept connection until it is told so. Pools that try all the time are in it for
    most of the time, though nobody holds it: only who is refused throughout is locked out.
    """
    end = time.monotonic() + _SECONDS
    while True:
        try:
            return log_in()
        except Failed as failed:
            if not full(failed) or time.monotonic() > end:
                raise
        time.sleep(_PAUSE)
