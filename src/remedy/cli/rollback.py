"""`remedy rollback`: take back what a run changed."""

from __future__ import annotations

from typing import Any

import click

from remedy.cli import options


@click.command()
@click.argument("run", required=False)
@options.connection
@options.becoming
@options.variables
@options.output
@click.option("-C", "--check", is_flag=True, help="Change nothing: say what would be taken back.")
@click.option("--yes", is_flag=True, help="Take it back without being asked.")
def rollback(run: str | None, **flags: Any) -> int:
    """Take back a run's changes, last one first.

    RUN is its id or the start of it; without one, the newest run of this project with something to take back, itself no
    rollback. Runs of other projects are named, and taken back only by their RUN.
    On a terminal it asks once; elsewhere a RUN must be named, or --yes given (else exit code 3).
    An object that is no longer as the run left it is named and left alone, and the exit code is 2; a rollback
    that failed can be repeated. What cannot be taken back (commands,
    deleted files, restarts) is listed first. The inventory is the run's own, unless -i names another.

    \b
    remedy rollback --check
    remedy rollback 20261122-0315 -l db1
    """
    from remedy.cli.undoing import roll_back

    return roll_back(run, check=flags.pop("check"), flags=flags)
