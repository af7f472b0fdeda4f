"""remedy in a process that ends, or tells what it does, where a test says: forked from one that is warm.

The points at which it may end are numbered: before each event that the journal takes, before each commit and each
fsync, and after each of these two. What is after an event is before the next.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

WRECKED = 70
"""How a process ends that was told to end at a point."""

_NEW_MOUNTS = 0x00020000  # CLONE_NEWNS
_BIND, _PRIVATE = 0x1000, 0x44000  # MS_BIND, MS_REC | MS_PRIVATE

_polls = threading.Lock()
"""Held by who may read how a process ended: that is told once, and who starts one asks for all the others too."""

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    ["tests.acceptance.wrecker", "remedy.cli.session", "remedy.cli.undoing", "remedy.report", "fabric"]
)


@dataclass(frozen=True)
class Order:
    """A command line, where to run it, and when to end. `says` is where a trace of the points goes.

    `run` is a folder that stands for /run, where the lock of a local host is.
    """

    arguments: Sequence[str]
    folder: Path
    state: Path
    end_at: int | None = None
    run: Path | None = None
    says: Path | None = None
    out: Path | None = None


def start(order: Order) -> BaseProcess:
    """Begin; `ended` tells the end."""
    process = _forks.Process(target=_operate, args=(order,))
    with _polls:
        process.start()
    return process


def ended(process: BaseProcess, seconds: float | None) -> int | None:
    """Wait for the end and return the exit code, negative for a signal; None if there is none in time."""
    wait([process.sentinel], seconds)
    with _polls:
        return process.exitcode


def run(order: Order, seconds: float = 60) -> int:
    """Run to the end and return the exit code; negative for a signal."""
    process = start(order)
    code = ended(process, seconds)
    if code is None:
        process.kill()
        raise TimeoutError(f"no end within {seconds:g} s: {order}")
    return code


def _operate(order: Order) -> None:
    os.setsid()
    os.chdir(order.folder)
    os.environ.update(REMEDY_STATE=str(order.state), NO_COLOR="1")
    with Path(order.out or os.devnull).open("ab", buffering=0) as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    if order.run is not None:
        _stand_in(order.run)
    _watch(order)
    from remedy.cli import _run

    code = 1
    try:
        code = _run(list(order.arguments))
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _stand_in(folder: Path) -> None:
    """Mount a folder over /run, for this process and its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    for done in (
        libc.unshare(_NEW_MOUNTS),
        libc.mount(b"none", b"/", None, _PRIVATE, None),
        libc.mount(bytes(folder), b"/run", None, _BIND, None),
    ):
        if done:
            raise OSError(ctypes.get_errno(), "cannot mount over /run")


def _watch(order: Order) -> None:
    """Number the points, tell them, and end at the one that was named."""
    from remedy.cli import session
    from remedy.journal import Journal
    from remedy.transport.link import AgentLink

    count = 0
    trace = None if order.says is None else os.open(order.says, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(text: str) -> None:
        if trace is not None:
            os.write(trace, text.encode() + b"\n")

    def point(text: str) -> None:
        nonlocal count
        say(text)
        if count == order.end_at:
            os._exit(WRECKED)
        count += 1

    class Watched(Journal):
        def __call__(self, event: Any) -> None:
            what = f"{type(event).__name__} {getattr(event, 'change', '')}"
            point(f"event {what}")
            super().__call__(event)
            say(f"taken {what}")

        def commit(self) -> None:
            point("commit")
            super().commit()
            point("committed")

    sync, send = os.fsync, AgentLink.send

    def fsync(descriptor: int) -> None:
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        point(f"fsync {place}")
        sync(descriptor)
        point(f"fsynced {place}")

    def sending(self: AgentLink, message: Any) -> None:
        say(f"send {message['t']} {message.get('change', '')}")
        send(self, message)

    session.Journal = Watched  # type: ignore[misc]
    os.fsync = fsync
    AgentLink.send = sending  # type: ignore[method-assign]
