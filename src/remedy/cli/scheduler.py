"""`remedy scheduler`: the daemon that starts schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from threading import Event

    from remedy.history import Database
    from remedy.project import Project

_RETRY = 3.0  # seconds


@click.command()
@click.option(
    "--vault-password-file",
    "vault_files",
    multiple=True,
    metavar="FILE",
    help="The vault password for the runs: a file, or a program that prints it.",
)
@click.option("--private-key", metavar="FILE", help="Runs log in with this key.")
@click.option("-u", "--user", metavar="NAME", help="Runs log in as this user.")
@click.option(
    "--lease",
    type=click.FloatRange(1, 3600),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="After how long another daemon takes over from one that died.",
)
def scheduler(vault_files: tuple[str, ...], private_key: str | None, user: str | None, lease: float) -> int:
    """Start the project's schedules when they are due, in the foreground: for containers.

    Each run is a process of its own, `remedy schedule run NAME --due TIME`, with the same journal and exit codes as
    from a timer. Several daemons may stand by (a PostgreSQL history lets them be on several machines, with the
    project in folders of the same name); one is at work, elected by a lease in the history database. Files that are
    changed, added or deleted are noticed within seconds.

    Where the history's server is away, at the start or later, it says so and waits: nothing starts meanwhile. What came
    due then is started when it is back, where that is not too late for it, else recorded as missed.

    SIGTERM or Ctrl-C starts nothing new and waits for the runs at work; a second one ends those as Ctrl-C would: what
    must not be cut off finishes.
    """
    import signal
    import threading

    from remedy.cli import scheduling
    from remedy.schedule.children import Children
    from remedy.schedule.daemon import Daemon

    arguments = [word for file in vault_files for word in ("--vault-password-file", file)]
    arguments += ["--private-key", private_key] if private_key else []
    arguments += ["--user", user] if user else []
    project = scheduling.project_here()
    stop = threading.Event()
    told = 0

    def tell(number: int, frame: object) -> None:
        nonlocal told
        told += 1
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, tell)
    children = Children(scheduling.program(), project.root, arguments, scheduling.say)
    database = _opened(project, stop, scheduling.say)
    if database is None:
        return 0
    with database:
        Daemon(project, database, children, scheduling.holder(), scheduling.say, lease).serve(stop)
    heard = told
    if children.count:
        scheduling.say(
            f"stopping: {children.count} at work, waiting for them (once more: end them, as Ctrl-C would)"
        )
    while children.count:
        children.wait(0.2)
        if told > heard:
            heard = told
            children.interrupt()
    return 0


def _opened(project: Project, stop: Event, say: Callable[[str], None]) -> Database | None:
    """Return the history database, waited for as long as its server is away; None where `stop` was set before."""
    import time
    from contextlib import suppress

    from remedy.errors import InputError
    from remedy.history import HistoryError, open_database
    from remedy.schedule import schedule_files
    from remedy.schedule.away import note_all
    from remedy.schedule.trouble import AGAIN, Trouble

    def note() -> None:
        with suppress(InputError):  # of a folder that cannot be read the daemon says so when it is at work
            note_all(project.state, schedule_files(project), why)

    why, noted = "", -AGAIN
    trouble = Trouble(say, "the history database answers")
    while not stop.is_set():
        try:
            database = open_database(project.state, project.history, notice=say)
        except HistoryError as error:
            if not error.away:
                raise
            trouble.tell(f"waiting for it: {error.message}")
            why = error.message
            if time.monotonic() - noted >= AGAIN:
                noted = time.monotonic()
                note()
            stop.wait(_RETRY)
            continue
        if why:  # up to now: what came due meanwhile could not be started
            note()
        trouble.over()
        return database
    return None
