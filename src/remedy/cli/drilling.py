"""What `remedy drill` does: the flags read, the rehearsal run, its report shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from remedy.cli.drill_console import ConsoleTeller, QuietTeller, Tasks, show_matrix, show_report
from remedy.cli.session import Login, me
from remedy.drill.cleaning import clean
from remedy.drill.matrix import matrix
from remedy.drill.providers.choose import NAMES, Settings
from remedy.drill.rehearsal import Rehearsal, Watch, prepare
from remedy.drill.reports import refuse_unwritable, write_all, written
from remedy.drill.runs import Access
from remedy.drill.signals import Signals
from remedy.errors import InputError, Refused, nearest
from remedy.project import Project
from remedy.report.text import safe

_WAYS = (
    "ansible_host",
    "ansible_ssh_host",
    "ansible_port",
    "ansible_ssh_port",
    "ansible_connection",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
)


def drill(names: tuple[str, ...], flags: Mapping[str, Any]) -> int:
    """Do what the flags say; return the exit code."""
    asked = [bool(names), flags["every"], flags["matrix"], flags["clean"]]
    if sum(asked) != 1:
        raise InputError(
            "name a drill, or one of --all, --matrix and --clean",
            hint=f"the drills are: {', '.join(found.name for found in Project.find(Path.cwd()).drills())}",
        )
    name = flags["provider"] or "lab"
    if name not in NAMES:
        raise InputError(f"no provider '{name}'", hint=nearest(name, NAMES))
    project = Project.find(Path.cwd())
    if flags["matrix"]:
        return show_matrix(matrix(project), shape=flags["shape"], color=flags["color"])
    access, settings = _read(project, name, flags)
    if flags["clean"]:
        return _clean(project, access)
    found = [one.name for one in project.drills()] if flags["every"] else list(names)
    if not found:
        raise InputError("there are no drills", hint=f"write one in {project.root / 'drills'}")
    if flags["report_dir"]:
        refuse_unwritable(Path(flags["report_dir"]))  # better now than after an hour of drills
    prepared = prepare(found, project, access.vault.open if access.vault else None)
    quiet = flags["shape"] != "console"
    teller = QuietTeller() if quiet else ConsoleTeller(color=flags["color"])
    rehearsal = Rehearsal(prepared, name, settings, access, teller, _watch(flags, quiet))
    with (
        Signals().shielded()
    ):  # while drills run, they handle the signals; their report is written as a whole
        report = rehearsal.run()
        write_all(report, rehearsal.folder)
        if flags["report_dir"]:
            write_all(report, Path(flags["report_dir"]))
    if quiet:
        click.echo(written(report, flags["shape"]), nl=False)
    else:
        show_report(report, rehearsal.folder, color=flags["color"])
    return report.exit_code


def _read(project: Project, name: str, flags: Mapping[str, Any]) -> tuple[Access, Settings]:
    """Return how hosts are reached and what the provider is told."""
    if name == "lab" and flags.get("inventories"):
        raise InputError(
            "the provider 'lab' makes its own hosts", hint="leave out -i, or write --provider static"
        )
    own = Login.of(flags, project)
    _refuse_another_way(own, flags)
    access = Access(
        user=me(),
        secrets=own.secrets,
        vault=own.vault,
        defaults=own.defaults,
        extra=own.extra,
        forks=flags.get("forks") or project.settings.forks or 50,
    )
    inventory = None
    if flags.get("inventories"):
        if len(flags["inventories"]) > 1:
            raise InputError("a drill takes one inventory", hint="a folder can hold several files")
        found = project.inventory(flags["inventories"][0])
        if isinstance(found, str):
            raise InputError(
                f"the hosts of '{found}' are marked by nobody",
                hint="expected an inventory file with `drill: true`",
            )
        inventory = found.absolute()
    settings = Settings(
        project=project,
        inventory=inventory,
        limit=flags.get("limit"),
        vault=own.vault,
        say=lambda text: click.echo(text, err=True),
    )
    return access, settings


def _refuse_another_way(own: Login, flags: Mapping[str, Any]) -> None:
    """Raise Refused for flags that lead past the machine that an inventory marks: it would be another that breaks."""
    found = [f"-e {name}" for name in own.extra if name in _WAYS]
    found += ["-c local"] if (flags.get("connection") or "").endswith("local") else []
    found += ["--ssh-common-args"] if flags.get("ssh_common_args") else []
    if found:
        raise Refused(
            f"a drill takes no {found[0]}: a drill breaks hosts on purpose",
            hint="the mark `drill: true` belongs to the address that the inventory gives; write the way there",
        )


def _watch(flags: Mapping[str, Any], quiet: bool) -> Watch:
    if quiet or not flags["verbosity"]:
        return tuple
    return lambda: (Tasks(flags["color"], flags["verbosity"]),)


def _clean(project: Project, access: Access) -> int:
    cleaned = clean(project, access, lambda text: click.echo(text, err=True))
    for one in cleaned:
        what = safe(f"{one.id}: {one.drill or 'no drill had begun'}")
        click.echo(f"{what}: {'not everything could be undone' if one.troubles else 'nothing of it is left'}")
        for trouble in one.troubles:
            click.echo("  " + "\n  ".join(map(safe, trouble.split("\n"))))
    if not cleaned:
        click.echo("nothing was cut off")
    return 2 if any(one.troubles for one in cleaned) else 0
