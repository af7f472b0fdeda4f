"""`remedy history`: the runs of this machine."""

from __future__ import annotations

import time

import click


@click.command()
@click.argument("run", required=False)
@click.option("-n", "--number", type=click.IntRange(1), default=20, show_default=True, help="How many runs.")
def history(run: str | None, number: int) -> int:
    """List the newest runs, or tell what one of them changed.

    RUN is its id or the start of it. The list shows when, what for, how it ended (exit code) and the changes.

    \b
    remedy history
    remedy history 20261122-0315
    """
    from pathlib import Path

    from remedy.events import Changed
    from remedy.journal import find_run, list_runs, read_run
    from remedy.project import Project
    from remedy.report.text import safe

    state = Project.find(Path.cwd()).state
    if run is None:
        for each in list_runs(state)[:number]:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.started))
            code = "" if each.exit_code is None else f" ({each.exit_code})"
            changes = "1 change" if each.changes == 1 else f"{each.changes} changes"
            click.echo(f"{each.id}  {when}  {each.mode:9}{each.outcome}{code}, {changes}")
        return 0
    record = read_run(find_run(state, run).folder)
    click.echo(f"{record.id}: {record.summary.mode}, {record.summary.outcome}, journal in {record.folder}")
    for event in record.events:
        if isinstance(event, Changed) and not event.predicted:
            back = "" if event.reversible else f" (cannot be taken back: {event.reason})"
            click.echo("  " + safe(f"{event.host}: {event.task}: {event.object}{back}"))
    return 0
