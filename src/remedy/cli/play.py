"""`remedy play`: diagnose, fix, prove."""

from __future__ import annotations

from typing import Any

import click

from remedy.cli import options


@click.command()
@click.argument("playbook")
@options.connection
@options.becoming
@options.variables
@options.tags
@options.changing
@options.listing
@options.output
def play(playbook: str, **flags: Any) -> int:
    """Diagnose the hosts, fix what was found, prove that it holds, and report every change.

    PLAYBOOK is a name (of the project's playbooks/ or of those that come with remedy) or a path. Nothing is
    changed on a host where diagnose finds nothing. Before something is destroyed or interrupted it
    shows the whole list and asks once; --yes answers beforehand.

    \b
    remedy play disk-full -i prod --check --diff   what would be done
    remedy play disk-full -i prod -l db1 --yes     do it, on one host
    remedy play disk-full -i 'db1,' -e disk_limit=90%
    """
    from remedy.cli.playing import play_named

    return play_named(playbook, mode="check" if flags.pop("check") else "apply", flags=flags)
