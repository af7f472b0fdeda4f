"""`remedy history`: the runs of this machine, or of all that share a database."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from remedy.history import Database
    from remedy.project import Project

_LIST = "list"
_STATUSES = "ok, failed, unreachable, refused, interrupted, running, cut-off, changed, pending, findings, unresolved"

_shape = click.option(
    "--format",
    "shape",
    type=click.Choice(["console", "json"]),
    default="console",
    help="json: one document on standard output; for a RUN its report.",
)
_verbose = click.option(
    "-v", "--verbose", is_flag=True, help="Of a RUN: every item that a sweep took, not the largest 20."
)


class _History(click.Group):
    """Takes a RUN, or what filters the list, without a word for it before."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [_LIST, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            return _LIST, self.commands[_LIST], args
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.commands[_LIST].format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group(cls=_History, subcommand_metavar="[RUN | COMMAND] [OPTIONS]")
def history() -> None:
    """List the newest runs, or tell what one of them changed.

    The list shows when, what and for whom, how it ended (exit code), what was found and what was changed; runs of other
    projects also where (`in FOLDER`). A bare `remedy rollback` leaves those alone. Options that choose runs can be
    combined: all must hold; one that is given more than once means any of its values. RUN is a run's id or its start.

    \b
    remedy history
    remedy history --host db1 --since 7d           what happened to db1 this week
    remedy history --playbook disk-full --status failed
    remedy history show 20261122-0315              what this run changed
    remedy history rebuild                         fill the database anew, from the journals
    remedy history prune --before 400d             forget what is older and has no journal any more
    """


@history.command(_LIST, hidden=True)
@click.argument("run", required=False)
@click.option("--host", "hosts", multiple=True, help="Runs with this host, and how it fared; may have * and ?.")
@click.option("--playbook", "playbooks", multiple=True, help="Runs of this playbook, by its name or path; * and ?.")
@click.option("--since", "start", help="Runs that began since: 12h, 7d, 2w, 2026-11-01, '2026-11-01 03:30'.")
@click.option("--status", "statuses", multiple=True, help=f"Runs, with --host those where it: {_STATUSES}.")
@click.option("--here", is_flag=True, help="Only the runs of this project.")
@click.option("-n", "--number", type=click.IntRange(1), default=20, show_default=True, help="How many runs.")
@_verbose
@_shape
def list_(
    run: str | None,
    hosts: tuple[str, ...],
    playbooks: tuple[str, ...],
    start: str | None,
    statuses: tuple[str, ...],
    here: bool,
    number: int,
    verbose: bool,
    shape: str,
) -> int:
    """List the newest runs."""
    if run is not None:
        return _show(run, verbose=verbose, shape=shape)
    from remedy.cli import past
    from remedy.cli.since import since
    from remedy.history.filling import origin_of
    from remedy.history.queries import Asked, list_past

    project = _project()
    asked = Asked(
        hosts=hosts,
        playbooks=playbooks,
        since=None if start is None else since(start),
        statuses=statuses,
        project=project.root if here else None,
        number=number,
    )
    with _filled(project) as database:
        runs = list_past(database, asked)
    if shape == "json":
        click.echo(past.runs_as_json(runs))
    elif not runs:
        chosen = hosts or playbooks or start or statuses or here
        click.echo("no run is as asked for" if chosen else "there are no runs yet", err=True)
    else:
        click.echo(past.runs_as_text(runs, project.root, origin_of(project.state)), nl=False)
    return 0


@history.command()
@click.argument("run")
@_verbose
@_shape
def show(run: str, **flags: Any) -> int:
    """Tell what RUN was and every object that it changed.

    Of a run whose journal was deleted, or is on another machine, it tells what the history has kept: hosts, findings
    and changes, without states and diffs.
    """
    return _show(run, **flags)


@history.command()
def rebuild() -> int:
    """Fill the history database anew from the journals of the state folder.

    Needed only where it is in doubt: what is missing is filled in by itself, and a damaged file is replaced. Runs whose
    journals are gone stay, as do those of other machines and what the schedules keep.
    """
    from remedy.history.opening import kept_up
    from remedy.report.text import count

    project = _project()
    database, filled = kept_up(project.state, project.history, _warn, _progress(), anew=True)
    database.close()
    gone = f"; {filled.gone} newly missed" if filled.gone else ""
    click.echo(f"{database.place}: {count(filled.stored, 'run')} from {project.state / 'runs'}{gone}")
    for name in filled.unreadable:
        _warn(f"the journal of {name} does not say which run it is of")
    return 0


@history.command()
@click.option(
    "--before", required=True, metavar="WHEN", help="What is older: 400d, 52w, 2025-01-01. A year is a good measure."
)
@click.option("-C", "--check", is_flag=True, help="Delete nothing: count it.")
@click.option("--yes", is_flag=True, help="Without being asked.")
def prune(before: str, check: bool, yes: bool) -> int:
    """Delete old runs from the history database, with their measures, and old due times of schedules.

    A run that still has its journal stays, for the journal would fill it in again: delete that first, by which the run
    can no longer be rolled back. What is deleted here is known nowhere else. Asks once; where nobody can be asked it
    needs --yes (else exit code 3). The newest due time of each schedule stays. Does not touch the journals.
    """
    from remedy.cli.pruning import prune as pruned
    from remedy.cli.since import since

    return pruned(_project(), since(before, option="--before"), _warn, check=check, yes=yes)


def _show(run: str, *, verbose: bool, shape: str) -> int:
    from remedy.cli import past
    from remedy.errors import InputError
    from remedy.journal import find_run, read_run

    project = _project()
    try:
        found = find_run(project.state, run)
    except InputError as unknown:
        from remedy.history.queries import find_past

        with _filled(project) as database:
            kept = find_past(database, run)
        if kept is None:
            near = get_close_matches(run, history.commands, n=1)
            if near:
                unknown.hint = f"did you mean `remedy history {near[0]}`?"
            raise unknown from None
        click.echo(past.kept_as_json(kept) if shape == "json" else past.kept_as_text(kept))
        return 0
    record = read_run(found.folder)
    click.echo(past.run_as_json(record) if shape == "json" else past.run_as_text(record, every=verbose))
    return 0


def _project() -> Project:
    from pathlib import Path

    from remedy.project import Project

    return Project.find(Path.cwd())


def _filled(project: Project) -> Database:
    from remedy.history.opening import filled

    return filled(project.state, project.history, _warn, _progress())


def _warn(text: str) -> None:
    click.echo(f"warning: {text}", err=True)


def _progress() -> Callable[[int, int], None] | None:
    """Return what tells how far the filling is, where somebody watches and it takes longer than a moment."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    begun = time.monotonic()

    def tell(done: int, total: int) -> None:
        if time.monotonic() - begun > 1:
            end = "\r\033[K" if done == total else f"\rfilling the history: {done} of {total} runs"
            click.echo(end, err=True, nl=False)

    return tell
