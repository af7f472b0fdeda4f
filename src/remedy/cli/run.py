"""`remedy run`: one module."""

from __future__ import annotations

from typing import Any

import click

from remedy.cli import options


@click.command()
@click.argument("pattern")
@click.option("-m", "--module-name", "module", default="command", show_default=True, help="The module.")
@click.option("-a", "--args", "arguments", default="", help="Its arguments: k=v, JSON, or a command line.")
@options.connection
@options.becoming
@options.variables
@options.changing
@options.output
@click.option("--list-hosts", is_flag=True, help="Show the hosts and stop.")
def run(pattern: str, module: str, arguments: str, **flags: Any) -> int:
    """Run one module on the hosts that PATTERN names.

    \b
    remedy run all -i prod -m ping
    remedy run 'web*' -i prod -a 'systemctl is-active nginx'
    remedy run db1 -i prod -b -m copy -a 'dest=/etc/motd content=hello mode=0644' --check --diff
    """
    from remedy.cli.playing import run_module

    mode = "check" if flags.pop("check") else "apply"
    return run_module(pattern, module, arguments, mode=mode, flags=flags)
