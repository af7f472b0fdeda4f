"""Finding and ending all that a step has started, also what slipped into a session of its own.

PR_SET_CHILD_SUBREAPER would need ctypes (2 MB and 5 ms a host), so a step's processes carry a mark in their
environment; with the tree of parents and the sessions this also finds what was orphaned.
"""

import os
import signal
import time

MARK = "REMEDY_STEP"
"""The environment variable by which the processes of one step are known."""

_TERM_SECONDS = 1.0
_KILL_SECONDS = 0.5


def find(root, mark):
    """Return the ids of the live processes that descend from `root` (itself included) or carry `mark`."""
    parents = {}
    sessions = {}
    own = os.getpid()
    for name in _processes(root):
        if name.isdigit() and int(name) != own:
            fields = _stat(name)
            if fields is not None and fields[0] != "Z":
                parents[int(name)], sessions[int(name)] = int(fields[1]), int(fields[3])
    wanted = ("%s=%s" % (MARK, mark)).encode()
    found = {pid for pid in parents if pid == root or _marked(pid, wanted)}
    own_session = os.getsid(0)
    size = -1
    while size != len(found):
        size = len(found)
        owned = {sessions[pid] for pid in found} | {root}
        owned.discard(own_session)
        found |= {pid for pid in parents if parents[pid] in found or sessions[pid] in owned}
    return found


def end(root, mark):
    """End these processes: TERM, one second, KILL; return whether all are gone (one in D state stays)."""
    for number, seconds in ((signal.SIGTERM, _TERM_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
        deadline = time.monotonic() + seconds
        signalled = set()
        while True:
            reap(root)
            left = find(root, mark)
            if not left:
                return True
            for pid in left - signalled:
                signalled.add(pid)
                try:
                    os.kill(pid, number)
                except OSError:
                    pass
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
    return False


def reap(pid):
    """Return a child's wait status, None while it lives; 0 when it was reaped before."""
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return status if done else None


def _processes(root):
    try:
        return os.listdir("/proc")
    except OSError:
        return [str(root)]  # no /proc here: what the worker started cannot be seen


def _stat(name):
    """Return /proc/PID/stat from the state on: state, parent, group, session."""
    try:
        with open("/proc/%s/stat" % name, "rb") as file:
            return file.read().rpartition(b")")[2].decode("ascii").split()
    except OSError:
        return None


def _marked(pid, wanted):
    try:
        with open("/proc/%d/environ" % pid, "rb") as file:
            return wanted in file.read().split(b"\0")
    except OSError:
        return False
