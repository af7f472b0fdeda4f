"""The runs that the daemon has started: processes of their own, which nobody cuts off."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from remedy.schedule.decide import span

Ended = Callable[[int | None], None]
"""Told the exit code of a run, None where it could not be started."""


class Children:
    """Starts `remedy schedule run NAME --due TIME --prefix` and waits for its end, each in a thread of its own."""

    def __init__(
        self, program: Sequence[str], root: Path, arguments: Sequence[str], say: Callable[[str], None]
    ) -> None:
        self._program = tuple(program)
        self._root = root
        self._arguments = tuple(arguments)
        self._say = say
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._changed = threading.Condition()

    def start(self, name: str, due: datetime | None, ended: Ended = lambda code: None) -> None:
        """Start a run of a schedule, for a due time or (None) for what is due now; return at once."""
        when = "now" if due is None else due.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        # It names its lines itself: a pipe through us would break under a run that outlives us.
        argv = [*self._program, "schedule", "run", name, "--due", when, "--prefix", *self._arguments]
        began = datetime.now(UTC)
        # A session of its own: Ctrl-C at the terminal is for the daemon to hear, and to pass on.
        try:
            with self._changed:
                child = subprocess.Popen(argv, cwd=self._root, stdin=subprocess.DEVNULL, start_new_session=True)
                self._running[child.pid] = child
        except OSError as error:
            self._say(f"{name}, due {when}: cannot be started: {error.strerror or error}")
            ended(None)
            return

        def wait() -> None:
            code = child.wait()
            with self._changed:
                del self._running[child.pid]
                self._changed.notify_all()
            if due is not None or code:
                self._say(f"{name}, due {when}: exit {code} after {span(datetime.now(UTC) - began)}")
            ended(code)

        threading.Thread(target=wait, name=f"run of {name}", daemon=True).start()

    @property
    def count(self) -> int:
        """How many are at work."""
        with self._changed:
            return len(self._running)

    def wait(self, seconds: float) -> None:
        """Wait until one of them has ended, at most so long."""
        with self._changed:
            if self._running:
                self._changed.wait(seconds)

    def reap(self) -> None:
        """Reap what runs have left behind and we have inherited: in a container we may be its first process."""
        if os.getpid() != 1:
            return
        with self._changed, suppress(ChildProcessError):
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if found.si_pid in self._running:
                    return  # its own thread waits for it
                os.waitpid(found.si_pid, 0)

    def interrupt(self) -> None:
        """Tell all to end as with Ctrl-C: what must not be cut off finishes."""
        with self._changed:
            for child in self._running.values():
                child.send_signal(signal.SIGINT)
