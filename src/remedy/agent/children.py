"""Calling a function in a process of its own, which can be left behind when it hangs in the kernel."""

import os
import select
import signal
import time

from remedy.agent import frames
from remedy.agent.kinds import Failed
from remedy.agent.process import close_all_but


def call(function, timeout):
    """Return what `function()` returns; raises Failed (as it does, or cause "timeout") and OSError."""
    inn, out = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            close_all_but({out})
            left = memoryview(frames.encode(_answer(function)))
            while left:
                left = left[os.write(out, left) :]
        finally:
            os._exit(0)
    os.close(out)
    try:
        answer = _read(inn, time.monotonic() + timeout)
    finally:
        os.close(inn)
        if not _gone(pid):
            os.kill(pid, signal.SIGKILL)
            _gone(pid)
    if answer is None:
        raise Failed("no answer within %g seconds" % timeout, cause="timeout")
    return _result(answer)


def _answer(function):
    try:
        return {"value": function()}
    except Failed as error:
        return {"failed": error.message, "cause": error.cause, "result": error.result}
    except OSError as error:
        return {"errno": error.errno, "text": error.strerror, "path": error.filename}
    except Exception as error:
        return {"failed": "%s: %s" % (type(error).__name__, error), "cause": None, "result": {}}


def _result(answer):
    if "failed" in answer:
        raise Failed(answer["failed"], answer["cause"], **answer["result"])
    if "errno" in answer:
        raise OSError(answer["errno"], answer["text"], answer["path"])
    return answer["value"]


def _read(inn, deadline):
    """Return the child's answer, None when it has not come by the deadline."""

    def receive(count):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([inn], [], [], left)[0]:
            raise _Late()
        return os.read(inn, min(count, 1 << 18))

    try:
        answer = frames.read(receive)
    except _Late:
        return None
    except frames.Broken:
        answer = None
    return answer or {"failed": "the process that asked ended without an answer", "cause": None, "result": {}}


def _gone(pid):
    """Wait a moment for a child to end; return whether it has."""
    for pause in (0, 0.001, 0.01, 0.05):
        time.sleep(pause)
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
    return False


class _Late(Exception):
    pass
