"""From a run's journal to the run that takes it back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from remedy.cli.session import Session, me, somebody_is_there
from remedy.cli.telling import harmless
from remedy.engine.undo import Undoing, empty_play
from remedy.errors import InputError, Refused, RemedyError
from remedy.inventory import Host
from remedy.journal import (
    RunSummary,
    UndoPlan,
    UndoStep,
    find_run,
    named_few,
    newest_undoable,
    read_run,
    told_with_project,
    undo_plan,
)
from remedy.playbook import Play
from remedy.playbook import load as load_playbook
from remedy.project import Project
from remedy.report.text import count, safe


def roll_back(name: str | None, *, check: bool, flags: dict[str, Any]) -> int:
    """Undo a run; return the exit code."""
    project = Project.find(Path.cwd())
    run, plan = _chosen(project, name)
    changed = [host for host, steps in plan.hosts.items() if steps]
    if not changed:
        _introduce(run, plan, project)
        _tell(plan)
        click.echo(f"nothing of the run {plan.run} can be taken back", err=True)
        return 0
    session = _session(run, project, flags, check=check)
    chosen = _hosts(session, plan, changed)
    _introduce(run, plan, project)
    _tell(plan)
    for host in changed:
        if session.inventory.named(host).implicit and not _implicit(plan, host):
            text = f"warning: {host} is no longer in the inventory: its {len(plan.hosts[host])} changes stay"
            click.echo(text, err=True)
    steps = [plan.hosts[host.name] for host in chosen if plan.hosts.get(host.name)]
    number = sum(map(len, steps))
    what = f"{count(number, 'change')} of run {run.id} by {run.user}, {_ago(run.started)}"
    _approve(
        f"{what}, on {count(len(steps), 'host')}", run, named=name is not None, session=session, check=check
    )
    path = Path(run.started_in, run.playbook)
    undoings = _undoings(session, path, plan, [host.name for host in chosen])
    arguments = ["rollback", plan.run]
    return session.execute(
        "rollback",
        chosen,
        lambda work: work.undo(path, undoings, session.named, me(), arguments, check=check),
    )


def _chosen(project: Project, name: str | None) -> tuple[RunSummary, UndoPlan]:
    if name is not None:
        summary = find_run(project.state, name)
        return summary, undo_plan(read_run(summary.folder))
    # The state folder is the user's: a run of another project is not what somebody means who names none.
    summary, plan, passed, elsewhere = newest_undoable(project.state, project.root)
    if elsewhere:
        newer = count(len(elsewhere), "newer run")
        click.echo(
            harmless(f"leaving out {newer} of other projects: {told_with_project(elsewhere)}"), err=True
        )
    if passed:
        newer = count(len(passed), "newer run")
        why = "that changed nothing, or nothing that can be taken back"
        click.echo(f"skipping {newer} {why}: {named_few(passed)}", err=True)
    return summary, plan


def _session(run: RunSummary, project: Project, flags: dict[str, Any], *, check: bool) -> Session:
    """Return the session, with the run's own inventory and project unless -i names another."""
    own = not flags.get("inventories")
    if own:
        flags["inventories"] = run.sources or tuple(run.inventory.split(", "))
    session = Session.of("check" if check else "rollback", flags)
    home = Project.find(Path(run.started_in)) if run.started_in else project
    if home.state == project.state:
        session = replace(session, project=home)
    return replace(session, named=run.inventory) if own else session


def _hosts(session: Session, plan: UndoPlan, changed: Sequence[str]) -> list[Host]:
    """Return the hosts to work on; InputError where none is left."""
    known = {host.name for host in session.inventory.hosts}
    implicit = [host for host in changed if host not in known and _implicit(plan, host)]
    if not known.intersection(changed) and not implicit:
        raise InputError(
            f"the inventory '{session.named}' has no host '{changed[0]}', which the run {plan.run} changed",
            hint="name the inventory of that run with -i",
        )
    limited = {host.name for host in session.hosts(["all"])} if known else set()
    # A change that was delegated may have notified handlers on the host whose task it was.
    steps = [step for host in changed if host in limited or host in implicit for step in plan.hosts[host]]
    wanted = {*changed, *(step.notified for step in steps if step.notify)}
    chosen = [host for host in session.inventory.hosts if host.name in limited and host.name in wanted]
    if session.limit is None:
        chosen += [session.inventory.named(name) for name in implicit]
    if not any(host.name in changed for host in chosen):
        raise InputError(
            f"--limit '{session.limit}' leaves no host that the run {plan.run} changed",
            hint=f"it changed: {', '.join(changed)}",
        )
    return chosen


def _implicit(plan: UndoPlan, host: str) -> bool:
    """Say whether the run reached a host by its name, and no inventory named it even then."""
    return any(step.implicit for step in plan.hosts[host])


def _introduce(run: RunSummary, plan: UndoPlan, project: Project) -> None:
    """Say which run it is, and of which project where that is another one."""
    steps = sum(map(len, plan.hosts.values()))
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started))
    click.echo(harmless(f"run {run.id}: {run.playbook}, inventory {run.inventory}"), err=True)
    if run.project not in (None, project.root):
        click.echo(harmless(f"  of another project: {run.project}"), err=True)
    whose = f"  {when} ({_ago(run.started)}) by {run.user}: "
    back = f"{count(steps, 'change')} on {count(len(plan.hosts), 'host')} can be taken back"
    click.echo(harmless(whose + back), err=True)


def _tell(plan: UndoPlan) -> None:
    for warning in plan.warnings:
        click.echo(f"warning: {harmless(warning)}", err=True)
    if plan.not_undone:
        click.echo(f"cannot be taken back ({len(plan.not_undone)}):", err=True)
        for each in plan.not_undone:
            told = f"{each.host}: {each.task}: {each.object}: {each.reason}"
            click.echo(f"  {safe(told)}", err=True)


def _approve(what: str, run: RunSummary, *, named: bool, session: Session, check: bool) -> None:
    """Ask on a terminal; Refused for a no, and where a run that nobody named can be asked about by nobody."""
    if check or session.options.yes:
        return
    if somebody_is_there():
        if not click.confirm(harmless(f"take back {what}?"), err=True):
            raise Refused("nothing was taken back", hint="you said no; --check shows what would be done")
    elif not named:
        raise Refused(
            f"no run was named, and nobody is there to be asked: take back {what}?",
            hint=f"write `remedy rollback {run.id}`, or --yes for the newest run, whichever it is",
        )


def _ago(started: float) -> str:
    seconds = max(0, int(time.time() - started))
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{count(seconds // length, unit)} ago"
    return "just now"


def _undoings(session: Session, path: Path, plan: UndoPlan, hosts: Sequence[str]) -> list[Undoing]:
    """Return the changes by play, the last play first; each play brings its handlers."""
    plays = _plays(session, path)
    order: dict[str, dict[str, list[UndoStep]]] = {}
    for host in hosts:
        for step in plan.hosts.get(host, ()):
            of_play = order.setdefault(step.play, {})
            of_play.setdefault(host, []).append(step)
            if step.notify and step.notified in hosts:
                of_play.setdefault(step.notified, [])
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
