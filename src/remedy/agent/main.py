"""The agent's first breath: private descriptors, signals, then the switchboard until the link ends."""

import fcntl
import os
import signal

from remedy.agent.channel import Line
from remedy.agent.switchboard import Switchboard

CRASHED = 3  # 1, 2, 97, 126 and 127 would make the shell try the next Python


class Ended(BaseException):
    """The agent was told to end by a signal."""


def main(argv, memory):
    """Be the agent on descriptors 0 and 1; `argv` as the stage has it. Does not return."""
    code = CRASHED
    try:
        os.chdir("/")
        line = Line(_private(0), _private(1))
        _silence()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, _end)
        code = _live(Switchboard(line, memory, argv[3] if len(argv) > 3 else ""), line)
    finally:
        os._exit(code)


def _live(board, line):
    try:
        try:
            board.serve()
        finally:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            board.close()
    except Ended:
        return 0
    except Exception as error:
        from remedy.agent import faults

        message, _, details = faults.trace(error)
        line.push({"t": "warn", "text": "the agent broke: %s\n%s" % (message, details["exception"])})
        return CRASHED
    return 0


def _end(number, frame):
    raise Ended()


def _private(descriptor):
    """Return a copy that no program inherits, out of the way of 0, 1 and 2."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)


def _silence():
    """Let stray prints, banners and readers of standard input meet /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)
