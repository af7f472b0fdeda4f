"""After a run: the history database is filled by a process of its own, so that no run waits for it or fails with it."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

import click

from remedy.project import Project

_LATER = "later"
_TROUBLE = "history.trouble"  # in the state folder


def remember(project: Project) -> None:
    """Start what fills the history database from the journals, and say what kept the last one from it.

    REMEDY_HISTORY_FILL=later leaves it to the next `remedy history`. Whatever goes wrong, the run is over already.
    """
    if os.environ.get("REMEDY_HISTORY_FILL") == _LATER:
        return
    try:
        _tell(project)
        _start(project)
    except (OSError, NotImplementedError):
        pass  # no process to be had, or a C library without sessions for new ones: the next `remedy history` fills


def _tell(project: Project) -> None:
    path = project.state / _TROUBLE
    if path.is_file():
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        path.unlink()  # said once for each time it happens
        for line in text.splitlines():
            click.echo(f"warning: {line}", err=True)


def _start(project: Project) -> None:
    environment = dict(os.environ)
    environment.pop("REMEDY_HISTORY_URL", None)
    if project.history is not None:
        environment["REMEDY_HISTORY_URL"] = project.history  # not an argument: everybody sees those
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    # -P: the folder that remedy was called in is none to import from.
    process = os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-m", "remedy.history", str(project.state), str(project.state / _TROUBLE)],
        environment,
        file_actions=null,
        setsid=True,
    )
    # A daemon that makes many runs would gather its remains.
    threading.Thread(target=_bury, args=(process,), name="history", daemon=True).start()


def _bury(process: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(process, 0)
