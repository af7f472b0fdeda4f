"""One lab command at a time: a lock on a file, held by the kernel for as long as the process lives."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from remedy.lab.errors import LabError
from remedy.lab.tools import Say, quiet

_SECONDS = 900.0
_PAUSE = 0.05


@contextmanager
def locked(path: Path, say: Say = quiet, seconds: float = _SECONDS) -> Iterator[None]:
    """Hold the lock on `path`, waiting for whoever has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + seconds
        told = False
        while not _take(file):
            if not told:
                say(f"waiting for the lab command with process id {_holder(path)}")
                told = True
            if time.monotonic() > deadline:
                raise LabError(
                    f"process {_holder(path)} has held {path} for more than {seconds:g} s",
                    hint="wait for that lab command to end, or end it",
                )
            time.sleep(_PAUSE)
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(file)


def unless_locked(path: Path, act: Callable[[], None]) -> None:
    """Do it under the lock on `path`; where somebody has that lock, leave it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path, seconds=0))
        except LabError:
            return
        act()


def _take(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(path: Path) -> str:
    return path.read_text().strip() or "unknown"
