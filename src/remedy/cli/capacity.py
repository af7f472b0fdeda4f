"""`remedy capacity`: what grows, and when it is full."""

from __future__ import annotations

import click

from remedy.cli import options

_FINDINGS = 10


@click.command()
@click.option("--host", "hosts", multiple=True, help="Only this host; may have * and ?.")
@click.option(
    "--resource", "resources", multiple=True, help="Only disk, inodes, memory, connections, database ..."
)
@click.option("--since", "start", default="90d", show_default=True, help="Look back: 30d, 12w, 2026-11-01.")
@click.option(
    "--below", type=click.FloatRange(0), help="Only what is full within so many days; exit code 10 if any."
)
@click.option(
    "--html", "page", type=click.Path(dir_okay=False), help="Write a page with a plot of each to this file."
)
@click.option("-v", "--verbose", is_flag=True, help="Also that of which less than a tenth is used.")
@options.shape
def capacity(
    hosts: tuple[str, ...],
    resources: tuple[str, ...],
    start: str,
    below: float | None,
    page: str | None,
    verbose: bool,
    shape: str,
) -> int:
    """Tell how fast disks, memory, connections and databases grow, and in how many days each is full.

    It is told from what earlier runs measured, and no host is asked: `remedy diagnose capacity-report -i prod`, best
    once a day, measures. A trend takes three measures in twenty hours; it is the median of the slopes between all
    pairs, so that a single clean-up or a spike does not move it. What shrinks, or is full in more than ten years, has
    no days left.

    \b
    remedy capacity
    remedy capacity --host 'db*' --resource disk --since 30d
    remedy capacity --below 14                      what is full within two weeks; exit code 10
    remedy capacity --html capacity.html            a page with plots
    """
    from datetime import UTC, datetime
    from pathlib import Path

    from remedy.cli import growing
    from remedy.cli.since import since
    from remedy.errors import InputError, nearest
    from remedy.history.growth import RESOURCES, days_of, growths
    from remedy.history.opening import filled
    from remedy.project import Project
    from remedy.report.text import count

    for name in resources:
        if name not in RESOURCES:
            raise InputError(
                f"--resource '{name}' is nothing that is measured", hint=nearest(name, RESOURCES)
            )
    moment = since(start)
    project = Project.find(Path.cwd())
    with filled(project.state, project.history, lambda text: click.echo(f"warning: {text}", err=True)) as database:
        found = growths(database, moment, hosts, resources)
    short = found if below is None else days_of(found, below)
    now = datetime.now(UTC)
    if page is not None:
        path = Path(page)
        try:
            path.write_text(growing.as_html(short, moment, now), encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"cannot write {path}: {error.strerror}", hint="--html expects a file"
            ) from error
        plots = f"with {count(len(short), 'plot')}" if short else "without a plot: there is nothing to show"
        click.echo(f"wrote {path}, {plots}", err=True)
    if shape == "json":
        click.echo(growing.as_json(short, moment, now))
    else:
        click.echo(growing.as_text(short, any_at_all=bool(found), below=below, every=verbose), nl=False)
    return _FINDINGS if below is not None and short else 0
