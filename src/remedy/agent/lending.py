"""A change that is only lent: taken back when the worker ends, whichever way, or when its time is over.

Who keeps the promise is a process of its own: in a session of its own and no child of the worker's, so that what ends
the agent does not end it, and without any of the channel's descriptors. It waits at a pipe which the worker holds
open: that closes with the worker, which ends with its agent, also where both are killed. Nothing is written for it.
"""

import os
import select
import signal
import time

from remedy.agent.kinds import Failed
from remedy.agent.outcome import plain
from remedy.agent.process import close_all_but

_READY, _SETTLED = b"r", b"s"
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_START = 10.0  # seconds for a process to start
_PAUSES = (0.5, 0.5, 1, 1, 2, 5, 10, 20, 30, 60)  # seconds between two looks
_SURE = 3.0  # seconds for a write that was under way when the worker was killed to come to its end


class Lent(object):
    """One promise, seen from the worker that holds it."""

    def __init__(self, hold, done):
        self._hold = hold
        self._done = done

    def settle(self):
        """The object is as it was, or has been changed for good: the promise is kept."""
        try:
            os.write(self._hold, _SETTLED)
        except OSError:
            pass  # its time was over
        self._close()

    def fall_due(self, seconds):
        """Let the change be taken back now; wait for it."""
        os.close(self._hold)
        _wait([self._done], seconds)
        os.close(self._done)

    def _close(self):
        os.close(self._hold)
        os.close(self._done)


def promise(module, have, want, kept, seconds):
    """Start the process that takes the change back; raises Failed where it cannot, and then nothing may be lent.

    `have` and `want` are the states before and after, `kept` is what undo needs. After `seconds` the change is taken
    back in any case, but only while the object is as the change left it.
    """
    told, hold = os.pipe()
    done, end = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:
        for descriptor in (told, hold, done, end):
            os.close(descriptor)
        raise Failed("not lent: the host cannot start the process that puts it back: %s" % error.strerror)
    if not pid:
        try:
            if not os.fork():
                os.setsid()
                close_all_but({told, end})
                module.host.alone()
                _keep(told, end, seconds, lambda: _put_back(module, have, want, kept))
        finally:
            os._exit(0)
    os.close(told)
    os.close(end)
    os.waitpid(pid, 0)
    if not _wait([done], _START) or os.read(done, 1) != _READY:
        os.close(hold)
        os.close(done)
        raise Failed("not lent: the process that puts it back did not start")
    return Lent(hold, done)


def _keep(told, end, seconds, put_back):
    """Wait for the end of the worker, of the time or of the host, and keep the promise."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in _SIGNALS:
        signal.signal(number, _nothing)  # the wake-up tells; to be told twice changes nothing
    os.write(end, _READY)
    found = _wait([told, woken], seconds)
    if told in found and os.read(told, 1) == _SETTLED:
        return
    waiting = [] if told in found else [told]  # the worker lives where only the time is over
    ended, waits = time.monotonic(), True
    for pause in _PAUSES:
        if _tried(put_back):
            if waits:
                os.close(end)  # the worker's wait is over
                waits = False
            if time.monotonic() - ended >= _SURE:
                return
        if _wait(waiting, pause):
            if os.read(told, 1) == _SETTLED:
                return
            waiting = []


def _wait(descriptors, seconds):
    """Return which of the descriptors have something to read, or have come to their end; [] after the time."""
    return select.select(descriptors, [], [], seconds)[0]


def _nothing(number, frame):
    pass


def _tried(put_back):
    try:
        return put_back()
    except Exception:
        return False  # nobody to tell; it is tried again


def _put_back(module, have, want, kept):
    """Take the change back; return whether nothing is left to be done."""
    now = plain(module.read())
    if now not in (plain(want), plain(module.left(want))):
        return True  # as before, or somebody has decided anew
    module.undo(kept)
    return plain(module.read()) == plain(have)
