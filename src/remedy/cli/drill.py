"""`remedy drill`: break a real host, heal it, prove it."""

from __future__ import annotations

from typing import Any

import click

from remedy.cli import options


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "every", is_flag=True, help="All drills, in turn on one set of hosts.")
@click.option("--matrix", is_flag=True, help="Which runbooks have a drill, and when it last passed.")
@click.option("--clean", is_flag=True, help="Roll back what was killed in the middle.")
@click.option("--provider", metavar="NAME", help="Where hosts come from: lab, static, vagrant (default lab).")
@click.option("--report-dir", metavar="DIR", help="Write the report there, too, in every form.")
@options.connection
@options.becoming
@options.variables
@click.option("-v", "--verbose", "verbosity", count=True, help="Show every task; -vv the skipped ones, too.")
@click.option(
    "--format",
    "shape",
    type=click.Choice(["console", "json", "junit", "markdown", "html"]),
    default="console",
    help="What is printed at the end.",
)
@click.option("--color/--no-color", "color", default=None, help="Default: colour on a terminal.")
def drill(names: tuple[str, ...], **flags: Any) -> int:
    """Break a real host on purpose, let its runbook heal it, prove it, and undo everything.

    NAME is a drill of the project's drills/ or of those that come with remedy, or a path. The steady state is
    checked, the faults are injected, diagnose must raise what is expected and nothing else, the runbook is
    played and played again; what must not change is compared; the rollback comes always, also after Ctrl-C.

    \b
    remedy drill disk-full                               on a lab of its own (Linux, root)
    remedy drill disk-full --provider static -i staging  on your own hosts, marked `drill: true`
    remedy drill --all --report-dir report
    remedy drill --matrix
    """
    from remedy.cli import drilling

    return drilling.drill(names, flags)
