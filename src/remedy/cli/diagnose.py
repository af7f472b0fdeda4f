"""`remedy diagnose`: look only."""

from __future__ import annotations

from typing import Any

import click

from remedy.cli import options


@click.command()
@click.argument("playbook")
@options.connection
@options.becoming
@options.variables
@options.listing
@options.output
@click.option(
    "--fail-on",
    type=click.Choice(["P0", "P1", "P2", "P3"]),
    default="P3",
    show_default=True,
    help="Exit with 10 for findings at least this severe.",
)
def diagnose(playbook: str, **flags: Any) -> int:
    """Say what is wrong on which host, with the evidence. Changes nothing, needs no lock.

    \b
    remedy diagnose disk-full -i prod
    remedy diagnose disk-full -i prod --format json | jq '.findings[]'
    """
    from remedy.cli.playing import play_named

    return play_named(playbook, mode="diagnose", flags=flags)
