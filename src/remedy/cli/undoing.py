"""From a run's journal to the run that takes it back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from remedy.cli.session import Session, me
from remedy.cli.telling import harmless
from remedy.engine.undo import Undoing, empty_play
from remedy.errors import InputError, RemedyError
from remedy.journal import (
    RunSummary,
    UndoPlan,
    UndoStep,
    find_run,
    named_few,
    newest_undoable,
    read_run,
    undo_plan,
)
from remedy.playbook import Play
from remedy.playbook import load as load_playbook
from remedy.project import Project
from remedy.report.text import safe


def roll_back(name: str | None, *, check: bool, flags: dict[str, Any]) -> int:
    """Undo a run; return the exit code."""
    project = Project.find(Path.cwd())
    summary, plan = _chosen(project.state, name)
    flags["inventories"] = flags.get("inventories") or tuple(summary.inventory.split(", "))
    session = Session.of("check" if check else "rollback", flags)
    plan_hosts = [host for host, steps in plan.hosts.items() if steps]
    _tell(plan)
    if not plan_hosts:
        click.echo(f"nothing of the run {plan.run} can be taken back", err=True)
        return 0
    known = {host.name for host in session.inventory.hosts}
    gone = [host for host in plan_hosts if host not in known]
    if len(gone) == len(plan_hosts):
        raise InputError(
            f"the inventory '{session.named}' has no host '{gone[0]}', which the run {plan.run} changed",
            hint="name the inventory of that run with -i",
        )
    for host in gone:
        count = len(plan.hosts[host])
        click.echo(f"warning: {host} is no longer in the inventory: its {count} changes stay", err=True)
    limited = {host.name for host in session.hosts(["all"])}
    chosen = [host for host in session.inventory.hosts if host.name in limited and host.name in plan_hosts]
    if not chosen:
        raise InputError(
            f"--limit '{session.limit}' leaves no host that the run {plan.run} changed",
            hint=f"it changed: {', '.join(plan_hosts)}",
        )
    path = Path(summary.playbook)
    undoings = _undoings(session, path, plan, [host.name for host in chosen])
    arguments = ["rollback", plan.run]
    return session.execute(
        "rollback",
        chosen,
        lambda run: run.undo(path, undoings, session.named, me(), arguments, check=check),
    )


def _chosen(state: Path, name: str | None) -> tuple[RunSummary, UndoPlan]:
    if name is not None:
        summary = find_run(state, name)
        return summary, undo_plan(read_run(summary.folder))
    summary, plan, passed = newest_undoable(state)
    if passed:
        newer = "1 newer run" if len(passed) == 1 else f"{len(passed)} newer runs"
        click.echo(f"skipping {newer} without anything to take back: {named_few(passed)}", err=True)
    return summary, plan


def _tell(plan: UndoPlan) -> None:
    for warning in plan.warnings:
        click.echo(f"warning: {harmless(warning)}", err=True)
    if plan.not_undone:
        click.echo(f"cannot be taken back ({len(plan.not_undone)}):", err=True)
        for each in plan.not_undone:
            told = f"{each.host}: {each.task}: {each.object}: {each.reason}"
            click.echo(f"  {safe(told)}", err=True)


def _undoings(session: Session, path: Path, plan: UndoPlan, hosts: Sequence[str]) -> list[Undoing]:
    """Return the changes by play, the last play first; each play brings its handlers."""
    plays = _plays(session, path)
    order: dict[str, dict[str, list[UndoStep]]] = {}
    for host in hosts:
        for step in plan.hosts[host]:
            order.setdefault(step.play, {}).setdefault(host, []).append(step)
    titles = [title for title in reversed(list(plays)) if title in order]
    titles += [title for title in order if title not in plays]
    return [Undoing(plays.get(title) or empty_play(title), order[title]) for title in titles]


def _plays(session: Session, path: Path) -> dict[str, Play]:
    if not path.is_file():
        return {}
    decrypt = session.vault.open if session.vault else None
    try:
        playbook = load_playbook(path, project=session.project, vault_decrypt=decrypt)
    except RemedyError as error:
        text = f"warning: no handlers will run, the playbook cannot be read: {error}"
        click.echo(text, err=True)
        return {}
    return {play.title: play for play in playbook.plays}
