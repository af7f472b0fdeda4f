"""What `remedy play`, `diagnose`, `run` and schedules do with a session: a playbook, or one module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from remedy.cli.mistyped import look_for_slips
from remedy.cli.session import Session, Unattended
from remedy.document import Map, Text, load_yaml
from remedy.engine.options import Options
from remedy.errors import InputError, Position, nearest
from remedy.inventory import Host
from remedy.modules import ModuleSpec, check, find, parse_free_form
from remedy.playbook import Play, Playbook, Task, list_tags, list_tasks
from remedy.playbook import load as load_playbook

_ALL_TAGS = ("all", "tagged", "untagged", "always", "never")


def play_named(name: str, *, mode: str, flags: dict[str, Any], unattended: Unattended | None = None) -> int:
    """Run, list or check the playbook of this name."""
    session, playbook, hosts = prepare(name, mode=mode, flags=flags, unattended=unattended)
    if flags.get("syntax_check"):
        number = len(playbook.plays)
        click.echo(f"{playbook.path}: {number} play{'s' if number != 1 else ''}, nothing wrong")
        return 0
    if flags.get("list_hosts") or flags.get("list_tasks") or flags.get("list_tags"):
        _list(session, playbook, hosts, flags)
        return 0
    return session.run(playbook, hosts)


def prepare(
    name: str, *, mode: str, flags: dict[str, Any], unattended: Unattended | None = None
) -> tuple[Session, Playbook, list[Host]]:
    """Read and check all that a run of this playbook needs; nothing is contacted. Raises InputError."""
    session = Session.of(mode, flags, unattended)
    playbook = load_playbook(
        session.project.playbook(name),
        project=session.project,
        vault_decrypt=session.vault.open if session.vault else None,
        warn=lambda message, where: click.echo(f"warning: {where}: {message}", err=True),
    )
    if mode == "diagnose" and not any(play.diagnose for play in playbook.plays):
        raise InputError(
            f"'{name}' has no diagnose section",
            where=Position(str(playbook.path)),
            hint="only a runbook can be diagnosed; "
            + (
                "a schedule plays an ordinary playbook with `mode: play`"
                if unattended
                else "`remedy play --check` says what an ordinary playbook would change"
            ),
        )
    _warn_of_tags(session.options, playbook)
    hosts = session.hosts(play.hosts for play in playbook.plays)
    look_for_slips(session.extra, playbook, session.inventory, hosts, session.project)
    return session, playbook, hosts


def run_module(pattern: str, module: str, arguments: str, *, mode: str, flags: dict[str, Any]) -> int:
    """Run one module on the hosts of a pattern."""
    session = Session.of(mode, flags)
    hosts = session.hosts([pattern])
    if flags.get("list_hosts"):
        click.echo("".join(f"{host.name}\n" for host in hosts), nl=False)
        return 0
    position = Position("command line")
    spec = find(module, position)
    args = _arguments(spec, arguments, position)
    check(spec, args, position, templates_allowed=True)
    task = Task(position=position, module=spec.name, spec=spec, args=args)
    play = Play(
        position=position,
        name=Text(f"run {spec.name}"),
        hosts=Text(pattern),
        tasks=(task,),
        gather_facts=False,
    )
    if spec.place == "control" or (spec.place == "target" and not spec.may_change):
        # A probe needs no lock: it may look while another run is at work.
        session = replace(session, options=replace(session.options, reads_only=True))
    return session.run(Playbook(path=Path(spec.name), plays=(play,)), hosts, answers=True)


def _arguments(spec: ModuleSpec, text: str, position: Position) -> Map:
    """Return a module's arguments from -a: JSON or YAML in braces, else k=v words or a command line."""
    if text.lstrip().startswith("{"):
        values = load_yaml(text, position.file)
        if not isinstance(values, Map):
            raise InputError(
                f"-a '{text}' holds no arguments", hint="expected k=v, a mapping, or a command line"
            )
        return values
    args = Map(position)
    for key, value in parse_free_form(spec, Text(text, position), position).items():
        args[key] = value
        args.keys_at[key] = args.values_at[key] = position
    return args


def _list(session: Session, playbook: Playbook, hosts: list[Host], flags: dict[str, Any]) -> None:
    chosen = {host.name for host in hosts}
    only, skip = session.options.tags, session.options.skip_tags
    click.echo(f"playbook: {playbook.path}")
    for number, play in enumerate(playbook.plays, 1):
        click.echo(f"\n  play #{number} ({play.hosts}): {play.title}")
        if flags.get("list_hosts"):
            names = [host.name for host in session.inventory.select(str(play.hosts)) if host.name in chosen]
            click.echo(f"    hosts ({len(names)}):")
            for name in names:
                click.echo(f"      {name}")
        if flags.get("list_tasks"):
            click.echo("    tasks:")
            for task in list_tasks(play, only, skip):
                tags = f"  TAGS: [{', '.join(task.tags)}]" if task.tags else ""
                click.echo(f"      {task.section}: {task.title}{tags}")
        if flags.get("list_tags"):
            click.echo(f"    TASK TAGS: [{', '.join(list_tags(play, only, skip))}]")


def _warn_of_tags(options: Options, playbook: Playbook) -> None:
    """Tell of tags that no task has: what they were to choose does not happen."""
    for tag in (*options.tags, *options.skip_tags):
        if tag in _ALL_TAGS or any(tag in list_tags(play, (tag,)) for play in playbook.plays):
            continue
        known = sorted({name for play in playbook.plays for name in list_tags(play)})
        hint = nearest(tag, known) if known else "no task has a tag"
        click.echo(f"warning: no task has the tag '{tag}'; {hint}", err=True)
