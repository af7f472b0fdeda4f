"""Processes that hold files open, for the tests of what looks after such files."""

import os
import subprocess
import sys
from pathlib import Path

SIZE = 3 << 20
LOG = os.O_WRONLY | os.O_APPEND

HOLD = """
import mmap, os, sys
flags, path, extra = int(sys.argv[1]), sys.argv[2], sys.argv[3]
held = os.open(path, flags | os.O_CREAT, 0o600)
os.write(held, b"x" * int(sys.argv[4]))
if extra == "map":
    again = os.open(path, os.O_RDWR)
    mapping = mmap.mmap(again, 4096)
    os.close(again)
if extra == "read":
    reader = os.open(path, os.O_RDONLY)
if extra == "link":
    os.link(path, path + ".other")
if "keep" not in sys.argv[5:]:
    os.unlink(path)
print(held, flush=True)
for line in sys.stdin:
    os.write(held, line.encode())
    print(os.fstat(held).st_size, os.fstat(held).st_blocks * 512, flush=True)
"""


class Holding:
    """A process that holds a file, deleted unless it is to `stay`."""

    def __init__(self, path, flags=LOG, extra="", size=SIZE, stay=False):
        self.path = str(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-c", HOLD, str(flags), self.path, extra, str(size)]
        argv += ["keep"] if stay else []
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.number = int(self.process.stdout.readline())

    @property
    def size(self):
        return Path(f"/proc/{self.process.pid}/fd/{self.number}").stat().st_size

    def write(self, line):
        """Let it write; return the size and the bytes on disk then."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return tuple(map(int, self.process.stdout.readline().split()))

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
