"""Run a command; what it cost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path


class Failed(Exception):
    """A measured command failed, or did other work than the rest."""


@dataclass(frozen=True)
class Cost:
    """Seconds of wall clock and of CPU (with all children), and the peak memory of the largest process."""

    seconds: float
    cpu: float
    rss_mib: float


def run(argv: list[str], cwd: Path, env: dict[str, str], deadline: float) -> Cost:
    """Run to the end; Failed with the last lines of its output if it exits other than 0 or is too late."""
    log = cwd / "output.log"
    late = threading.Event()
    with log.open("wb") as output:
        started = time.perf_counter()
        child = subprocess.Popen(
            argv,
            cwd=cwd,
            env=clean_env(cwd, env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        timer = threading.Timer(deadline, lambda: (late.set(), kill(child)))
        timer.start()
        try:
            _, status, used = os.wait4(child.pid, 0)  # the only wait that tells what children used
            seconds = time.perf_counter() - started
            child.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:  # Ctrl-C reaches us alone: the command has a session of its own
            kill(child)
            child.wait(10)
            raise
        finally:
            timer.cancel()
    if late.is_set():
        raise Failed(f"not done after {deadline:.0f} s: {' '.join(argv)}\n{tail(log)}")
    if child.returncode:
        raise Failed(f"exit status {child.returncode}: {' '.join(argv)}\n{tail(log)}")
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def kill(child: subprocess.Popen) -> None:
    """Kill the command's own process group."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def clean_env(home: Path, more: dict[str, str]) -> dict[str, str]:
    """Nothing of the caller's shell: no tool's settings, no PYTHONDONTWRITEBYTECODE may weigh in."""
    # What fills the history after a run would take the processor from whoever is measured next.
    kept = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "REMEDY_HISTORY_FILL": "later"}
    return {**kept, "HOME": str(home), **more}


def tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
