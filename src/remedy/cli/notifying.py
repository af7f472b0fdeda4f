"""Whom to tell, from flags and notifications.yml; and telling of the ends of schedules, never at their cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remedy.errors import RemedyError
from remedy.project import Project
from remedy.secret import Secrets
from remedy.template import Vault

if TYPE_CHECKING:
    from remedy.notify import Message, Target
    from remedy.schedule import Schedule
    from remedy.schedule.turn import Ending


def known_targets(project: Project, flags: Mapping[str, Any]) -> tuple[dict[str, Target], Secrets]:
    """Return who may be told, by name, and what must be hidden of them; raises InputError."""
    from remedy.cli.asking import vault_passwords
    from remedy.notify import load_targets

    secrets = Secrets()
    passwords = vault_passwords(flags, project)
    vault = Vault(passwords, secrets) if passwords else None
    return load_targets(project.root, vault, secrets), secrets


def targets_of(schedule: Schedule, project: Project, flags: Mapping[str, Any]) -> tuple[list[Target], Secrets]:
    """Return whom a schedule tells; InputError, with its place, for who is not known."""
    from remedy.notify import chosen

    if not schedule.notify:
        return [], Secrets()
    known, secrets = known_targets(project, flags)
    return chosen(schedule.notify, known, project.root), secrets


def teller(
    schedule: Schedule, project: Project, flags: Mapping[str, Any], say: Callable[[str], None]
) -> Callable[[Ending], None]:
    """Return what tells of a due time's end; what goes wrong with that is said, and never raised."""

    def ended(ending: Ending) -> None:
        if not schedule.notify:
            return
        try:
            from remedy.notify import send

            targets, secrets = targets_of(schedule, project, flags)
            send(_message(schedule, project.state, ending), targets, say, mask=secrets.mask)
        except (RemedyError, OSError) as error:
            say(f"{schedule.name}: nobody could be told: {error}")

    return ended


def _message(schedule: Schedule, state: Path, ending: Ending) -> Message:
    from remedy.cli.past import run_as_document
    from remedy.journal import RUNS, read_run
    from remedy.notify import of_run, without_run

    due = ending.due.astimezone(schedule.zone).strftime("%Y-%m-%d %H:%M %Z")
    if ending.run is None:
        reason = ending.reason or "it is not known why"
        return without_run(schedule.name, due, reason, exit_code=ending.exit_code)
    document = run_as_document(read_run(state / RUNS / ending.run))
    if ending.reason is not None:
        document["run"].update(error=ending.reason, exit_code=ending.exit_code)
    return of_run(document, schedule=schedule.name, due=due)
