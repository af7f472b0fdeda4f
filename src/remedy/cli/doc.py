"""`remedy doc`: modules and runbooks, described."""

from __future__ import annotations

from pathlib import Path
from shutil import get_terminal_size

import click

from remedy.agent.kinds import Param
from remedy.errors import InputError, Position, RemedyError, nearest
from remedy.modules import ModuleSpec, find, names
from remedy.playbook import Play
from remedy.project import Project

_WIDEST = 110  # columns


@click.command()
@click.argument("name", required=False)
def doc(name: str | None) -> int:
    """Describe a module or a runbook; without a NAME, list them all.

    \b
    remedy doc disk-full     symptoms, what it needs on the host, variables to set with -e
    remedy doc old_files     parameters and examples
    """
    project = Project.find(Path.cwd())
    runbooks = {found.name: found.path for found in project.playbooks()}
    if name is None:
        _list({each: _title(path, project) for each, path in runbooks.items()}, "Runbooks and playbooks")
        specs = {each: find(each) for each in names()}
        _list({each: spec.summary for each, spec in specs.items() if not spec.fault}, "Modules")
        _list({each: spec.summary for each, spec in specs.items() if spec.fault}, "Faults, for drills")
        return 0
    if name in runbooks:
        _runbook(name, runbooks[name], project)
        return 0
    try:
        spec = find(name)
    except InputError as error:
        raise InputError(
            f"no module or runbook '{name}'", hint=nearest(name, [*names(), *runbooks])
        ) from error
    _module(spec)
    return 0


def _list(rows: dict[str, str], title: str) -> None:
    click.echo(f"{title}:")
    widest = max(map(len, rows), default=0)
    for name, text in rows.items():
        _say(text, f"  {name:{widest}} ")
    click.echo()


def _title(path: Path, project: Project) -> str:
    """Return what a playbook is for, in its own words."""
    from remedy.playbook import load

    try:
        plays = load(path, project=project).plays
    except RemedyError as error:
        return f"(cannot be read: {error.message})"
    books = [play.runbook for play in plays if play.runbook is not None and play.runbook.title]
    return str(books[0].title) if books else "; ".join(play.title for play in plays)


def _module(spec: ModuleSpec) -> None:
    kinds = ", ".join(dict.fromkeys(each.kind for each in spec.classes)) or "control"
    guards = {"destroys": any(each.destructive for each in spec.classes),
              "interrupts": any(each.disruptive for each in spec.classes),
              "! only with --yes, never in a schedule": any(each.attended for each in spec.classes)}  # fmt: skip
    asks = "".join(f", {word}" for word, said in guards.items() if said)
    _say(f"{spec.name} ({kinds}{asks}): {spec.summary}", hang=2)
    if spec.details:
        click.echo()
        _say(spec.details)
    if spec.fault:
        click.echo()
        _say("It breaks hosts on purpose: only those that an inventory file marks `drill: true`.")
    click.echo("\nParameters:")
    for param in spec.params:
        _say(_head(param), "  ", hang=8)
        _say(param.help, " " * 6)
    if spec.examples:
        click.echo(f"\nExamples:\n\n{spec.examples}")


def _say(text: str, before: str = "", *, hang: int | None = None) -> None:
    """Write paragraphs, wrapped at words; what does not fit goes on below the text, or `hang` columns in."""
    width = min(get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
    later = " " * (len(before) if hang is None else hang)
    click.echo(
        click.wrap_text(text, width, initial_indent=before, subsequent_indent=later, preserve_paragraphs=True)
    )


def _head(param: Param) -> str:
    parts = [param.type if not param.elements else f"{param.type} of {param.elements}"]
    if param.required:
        parts.append("required")
    elif param.default not in (None, ""):
        shown = str(param.default)
        parts.append(f"default {shown.lower() if isinstance(param.default, bool) else shown}")
    if param.choices:
        parts.append("one of " + ", ".join(map(str, param.choices)))
    if param.aliases:
        parts.append("also " + ", ".join(param.aliases))
    return f"{param.name} ({'; '.join(parts)})"


def _runbook(name: str, path: Path, project: Project) -> None:
    from remedy.cli.mistyped import of_modules
    from remedy.playbook import load

    playbook = load(path, project=project)
    for play in playbook.plays:
        click.echo(f"{name}: {play.title}   ({path})")
        _facts(play)
        if play.vars:
            click.echo("\nVariables:")
            for key, value in play.vars.items():
                _say(f"{key}: {value}{_comment(play.vars.keys_at.get(key))}", "  ", hang=4)
    if taken := sorted(of_modules(playbook, project)):
        click.echo("\nFrom the inventory, where they are set there:")
        _say(", ".join(taken), "  ")


def _comment(where: Position | None) -> str:
    """Return what stands behind a value in its file, for the reader of the file and of this."""
    if where is None or not where.line:
        return ""
    try:
        line = Path(where.file).read_text(encoding="utf-8").splitlines()[where.line - 1]
    except (OSError, ValueError, IndexError):
        return ""
    _, mark, text = line.partition("  # ")
    return f"   # {text.strip()}" if mark else ""


def _facts(play: Play) -> None:
    book = play.runbook
    if book is None:
        return
    if book.description:
        _say(book.description)
    click.echo(f"\nSeverity: {book.severity or '-'}")
    for title, lines in (
        ("Symptoms", book.symptoms),
        ("Needs on the host", book.privileges),
        ("Only by hand, with --yes (!), never in a schedule", book.attended),
        ("References", book.references),
    ):
        if lines:
            click.echo(f"{title}:")
            for line in lines:
                _say(str(line), "  ", hang=4)
