"""What the commands of schedules share: finding, checking and playing one, and who we are."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from msgspec.structs import replace

from remedy.cli.notifying import check_targets, teller
from remedy.cli.playing import play_named, prepare
from remedy.cli.session import Unattended, me
from remedy.errors import InputError, Position
from remedy.history import Database, HistoryError, open_database
from remedy.playbook import Playbook
from remedy.project import Project
from remedy.report.text import safe
from remedy.schedule import Schedule, load_schedule, vet
from remedy.schedule.away import note_and_tell
from remedy.schedule.book import BY_HAND, CUT_OFF, ENDED_SILENTLY, Book, Entry
from remedy.schedule.file import project_key, schedule_file
from remedy.schedule.holders import process_name
from remedy.schedule.jobs import Served, served
from remedy.schedule.lease import Lease, runs_lease
from remedy.schedule.model import PLAY
from remedy.schedule.permission import Standing
from remedy.schedule.world import Ending, World
from remedy.template import Layer

if TYPE_CHECKING:
    from remedy.notify import Need


class Checked(NamedTuple):
    """A schedule that can run: on how many hosts, which of them are this very machine, and what telling whom needs."""

    hosts: int
    here: list[str]
    needs: dict[str, Need]


def project_here() -> Project:
    """Return the project, and go to its root: whoever starts a schedule, paths mean the same."""
    project = Project.find(Path.cwd())
    os.chdir(project.root)
    return project


def named(project: Project, name: str) -> Schedule:
    """Return a schedule of the project; raises InputError."""
    return load_schedule(schedule_file(project, name), project=project)


@contextmanager
def history(project: Project) -> Iterator[Database]:
    """Give the history database."""
    database = open_database(project.state, project.history, notice=say)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def history_of_a_run(
    project: Project, schedule: Schedule, flags: Mapping[str, Any], *, at: datetime | None, by_hand: bool
) -> Iterator[Database]:
    """Give the history database; where it cannot be used, what is due is remembered as not started, and told of.

    `at`: the due time that is meant, None for what is due now; somebody who starts it by hand sees the error himself.
    """
    with ExitStack() as opened:
        try:
            database = opened.enter_context(history(project))
        except HistoryError as error:
            if not by_hand:
                code = error.exit_code
                told = teller(schedule, project, flags, say)
                note_and_tell(
                    project.state,
                    schedule,
                    error.message,
                    datetime.now(UTC),
                    at,
                    lambda due, reason: told(Ending(due=due, reason=reason, exit_code=code)),
                )
            raise
        yield database


class Past(NamedTuple):
    """What the history knows of a schedule: its newest rows, and who serves it, None where no daemon is at work."""

    entries: list[Entry]
    served: Served | None


@contextmanager
def pasts(project: Project) -> Iterator[Callable[[Schedule, int], Past | None]]:
    """Give what tells the past of a schedule; None, with one warning, where the history cannot be read."""
    with ExitStack() as open_ones:
        away = False
        database: Database | None = None

        def past(schedule: Schedule, number: int) -> Past | None:
            nonlocal away, database
            if away:
                return None
            try:
                database = database or open_ones.enter_context(history(project))
                return Past(_newest(database, schedule, number), served(database, project_key(project), schedule.name))
            except HistoryError as error:
                away = True
                say(f"warning: {error.message}; what became of past times is not known now")
                return None

        yield past


def _newest(database: Database, schedule: Schedule, number: int) -> list[Entry]:
    """Return the newest rows, newest first; what died with its process is not at work, though nobody marked it yet."""
    book = Book(database, schedule, "")
    gone = {entry.due for entry in book.left(Lease(database, runs_lease(schedule), "").keeper)}
    return [
        replace(entry, state=CUT_OFF, reason=ENDED_SILENTLY) if entry.due in gone else entry
        for entry in book.newest(number)
    ]


def say(text: str) -> None:
    """Tell the operator, or the journal of the service; others write into a shared history, and are quoted."""
    click.echo("\n".join(safe(line) for line in text.split("\n")), err=True)


def holder(by_hand: bool = False) -> str:
    """Return a name for this process that no other one has."""
    mine = f"{me()}, {process_name()}"
    return f"{BY_HAND}, {mine}" if by_hand else mine


def program() -> list[str]:
    """Return how this remedy is started by others."""
    script = Path(sys.executable).parent / "remedy"
    return [str(script)] if script.is_file() else [sys.executable, "-m", "remedy.cli"]


def check(
    schedule: Schedule,
    flags: Mapping[str, Any],
    now: datetime | None = None,
    credentials: Mapping[str, Path] | None = None,
    *,
    complete: bool = True,
) -> Checked:
    """Raise InputError for what cannot be run, with its place in the schedule's file.

    `complete`: each part of its limit and of a play's hosts must name somebody; a run goes on with those that do.
    `credentials`: files that a service will be given, by their names for it.
    """
    vet(schedule, now or datetime.now(UTC))
    at, start = schedule.document.values_at, Position(str(schedule.path), 1, 1)
    project = Project.find(Path.cwd())
    _at(at.get("playbook", start), lambda: project.playbook(schedule.playbook))
    where = at.get("inventory") or at.get("playbook", start)
    for name in schedule.inventories or (None,):
        _at(where, lambda name=name: project.inventory(name))  # type: ignore[misc]
    try:
        session, playbook, hosts = prepare(
            schedule.playbook,
            mode=_mode(schedule),
            flags=_flags(schedule, flags),
            unattended=_unattended(schedule, complete=complete),
        )
    except InputError as error:
        _place(error, schedule)
        raise
    _refuse_attended(schedule, playbook)
    needs = check_targets(schedule, project, flags, credentials)
    here = [each.name for each in hosts if _is_here(session.inventory.layers(each))]
    return Checked(len(hosts), here, needs)


def _place(error: InputError, schedule: Schedule) -> None:
    """Give an error of a run's words the place in the schedule's file that they come from."""
    at, start = schedule.document.values_at, Position(str(schedule.path), 1, 1)
    if error.where is None:
        error.where = at.get("limit") or at.get("inventory") or at.get("playbook", start)
    elif error.where.file.startswith("command line"):
        error.where = at.get("vars", start)


def _refuse_attended(schedule: Schedule, playbook: Playbook) -> None:
    """Raise InputError where the schedule's own variables call for what is marked !; others' show in the run."""
    if schedule.mode != PLAY:
        return
    for play in playbook.plays:
        for name in play.runbook.attended if play.runbook else ():
            if name in schedule.vars and schedule.vars[name] != play.vars.get(name):
                raise InputError(
                    f"'{name}' calls for what '{schedule.playbook}' does only by hand (!): no schedule may",
                    where=schedule.vars.values_at.get(name),
                    hint=f"take it out here; by hand: remedy play {schedule.playbook} "
                    f"-e '{{\"{name}\": ...}}' --yes",
                )


def _is_here(layers: Sequence[Layer]) -> bool:
    said = [layer.values["ansible_connection"] for layer in layers if "ansible_connection" in layer.values]
    return bool(said) and str(said[-1]).endswith("local")


def _at(where: Position, read: Callable[[], Any]) -> None:
    try:
        read()
    except InputError as error:
        raise InputError(error.message, where=error.where or where, hint=error.hint) from error


def world(
    project: Project, database: Database, schedule: Schedule, flags: Mapping[str, Any], *, by_hand: bool
) -> World:
    """Return what a turn of a schedule needs: its run is that of `remedy play` or `remedy diagnose`."""
    name, now = schedule.name, schedule

    def again() -> Schedule:
        nonlocal now
        now = named(project, name)
        return now

    def play(began: Callable[[str], None]) -> int:
        try:
            return play_named(
                now.playbook,
                mode=_mode(now),
                flags=_flags(now, flags),
                unattended=_unattended(now, began),
            )
        except InputError as error:
            _place(error, now)
            raise

    # As in a run: what is told to end while it waits says so, and its due time is not left open.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    return World(
        database=database,
        state=project.state,
        holder=holder(by_hand),
        play=play,
        say=say,
        sleep=time.sleep,
        again=again,
        ended=lambda ending: teller(now, project, flags, say)(ending),
    )


def _mode(schedule: Schedule) -> str:
    return "apply" if schedule.mode == PLAY else "diagnose"


def _flags(schedule: Schedule, flags: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **flags,
        "inventories": schedule.inventories,
        "limit": schedule.limit,
        "fail_on": schedule.fail_on,
    }


def _unattended(
    schedule: Schedule, began: Callable[[str], None] = lambda run: None, *, complete: bool = False
) -> Unattended:
    return Unattended(
        schedule=schedule.name,
        approver=lambda hosts: Standing(schedule.name, schedule.permission, hosts),
        began=began,
        vars=schedule.vars,
        complete=complete,
    )
