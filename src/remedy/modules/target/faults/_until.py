"""Waiting for what a fault has set going."""

import time

from remedy.agent.kinds import Failed

_PAUSE = 0.05


def until(done, what, seconds=15.0):
    """Wait until `done()` says so; raises Failed after so many seconds, with `what` was awaited."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise Failed("%s: not within %g seconds" % (what, seconds))
        time.sleep(_PAUSE)
