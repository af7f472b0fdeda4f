"""A program that writes a log and keeps it open, as services do: it goes on writing when its log is emptied."""

import os

from remedy.agent.paths import native
from remedy.modules.target.faults._daemon import Daemon

# It writes a line on SIGUSR1, and opens its log anew on SIGHUP, as a rule of logrotate would ask it to.
_PROGRAM = """
path, size, deleted = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "deleted"
def opened():
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
def reopen(*_):
    new = opened()
    os.dup2(new, log)
    os.close(new)
log = opened()
line = b"remedy drill: an ordinary line of a service that goes on writing" + bytes([10])
while os.fstat(log).st_size < size:
    os.write(log, line * max(1, min(4096, (size - os.fstat(log).st_size) // len(line))))
if deleted:
    os.unlink(path)
signal.signal(signal.SIGUSR1, lambda *_: os.write(log, line))
signal.signal(signal.SIGHUP, signal.SIG_IGN if deleted else reopen)
stay()
"""


class Writer(object):
    """The writer of one log."""

    def __init__(self, host, name, path):
        self._daemon = Daemon(host, name)
        self.path = path

    @property
    def unit(self):
        """Return the name of its unit."""
        return self._daemon.unit

    def pid(self):
        """Return the id of the process, None where it does not run."""
        return self._daemon.pid()

    def start(self, size, deleted=False):
        """Write so many bytes, delete the log if asked to, and stay."""
        self._daemon.start(_PROGRAM, self.path, size, "deleted" if deleted else "kept")

    def stop(self):
        """End the process; its log stays."""
        self._daemon.stop()

    def held(self, pid):
        """Return (is its log deleted, bytes in it) of the process's open log, None where it has none."""
        for name in os.listdir("/proc/%d/fd" % pid):
            place = "/proc/%d/fd/%s" % (pid, name)
            try:
                target = os.readlink(native(place)).decode("utf-8", "surrogateescape")
                if target in (self.path, self.path + " (deleted)"):
                    return target != self.path, os.stat(place).st_size
            except OSError:
                continue
        return None
