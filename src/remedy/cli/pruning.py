"""`remedy history prune`: asking before what nothing else knows is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import click

from remedy.cli.session import somebody_is_there
from remedy.errors import Refused
from remedy.history.opening import kept_up
from remedy.history.pruning import old_runs, prune_runs
from remedy.project import Project
from remedy.report.text import count
from remedy.schedule.book import prune as prune_times


def prune(project: Project, before: datetime, warn: Callable[[str], None], *, check: bool, yes: bool) -> int:
    """Say what is old, ask, and delete it; raises Refused where nobody can be asked, HistoryError."""
    database, _ = kept_up(project.state, project.history, warn)
    with database:
        old, times = old_runs(database, before), prune_times(database, before, count=True)
        if old.with_journals:
            click.echo(
                f"{count(old.with_journals, 'older run')} with a journal: left, for it would fill the run in again"
            )
        if not old.runs and not times:
            click.echo(f"{database.place}: nothing to forget before {before:%Y-%m-%d %H:%M} UTC")
            return 0
        what = (
            f"{count(old.runs, 'run')} whose journals are gone, with {count(old.measures, 'measure')}, and "
            f"{count(times, 'due time')} of schedules, from before {before:%Y-%m-%d %H:%M} UTC"
        )
        if check:
            click.echo(f"{database.place}: would forget {what}")
            return 0
        if not yes:
            if not somebody_is_there():
                raise Refused(
                    f"nobody is there to be asked whether to forget {what}",
                    hint="nothing else knows of them; --yes forgets them, --check only counts",
                )
            if not click.confirm(f"forget {what}? Nothing else knows of them.", err=True):
                raise Refused("nothing was forgotten")
        pruned = prune_runs(database, before)
        times = prune_times(database, before)
        click.echo(f"{database.place}: forgot {count(pruned, 'run')} and {count(times, 'due time')}")
    return 0
