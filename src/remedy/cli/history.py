"""`remedy history`: the runs of this machine."""

from __future__ import annotations

import click


@click.command()
@click.argument("run", required=False)
@click.option("-n", "--number", type=click.IntRange(1), default=20, show_default=True, help="How many runs.")
@click.option("--here", is_flag=True, help="Only the runs of this project.")
@click.option("-v", "--verbose", is_flag=True, help="Every item that a sweep took, not the largest 20.")
@click.option(
    "--format",
    "shape",
    type=click.Choice(["console", "json"]),
    default="console",
    help="json: one document on standard output; for a RUN its report.",
)
def history(run: str | None, number: int, here: bool, verbose: bool, shape: str) -> int:
    """List the newest runs, or tell what one of them changed.

    RUN is its id or the start of it. The list shows when, what and for whom, how it ended (exit code) and the changes;
    runs of other projects also where (`in FOLDER`). A bare `remedy rollback` leaves those alone.

    \b
    remedy history
    remedy history 20261122-0315
    """
    from pathlib import Path

    from remedy.cli import past
    from remedy.journal import find_run, list_runs, read_run
    from remedy.project import Project

    project = Project.find(Path.cwd())
    if run is None:
        runs = [each for each in list_runs(project.state) if not here or each.project == project.root][
            :number
        ]
        if shape == "json":
            click.echo(past.runs_as_json(runs))
        else:
            click.echo(past.runs_as_text(runs, project.root), nl=False)
        return 0
    record = read_run(find_run(project.state, run).folder)
    click.echo(past.run_as_json(record) if shape == "json" else past.run_as_text(record, every=verbose))
    return 0
