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
    from remedy.notify import Message, Need, Targets
    from remedy.schedule import Schedule
    from remedy.schedule.world import Ending


def known_targets(
    project: Project, flags: Mapping[str, Any], credentials: Mapping[str, Path] | None = None
) -> tuple[Targets, Secrets]:
    """Return who may be told, and what must be hidden of them; raises InputError. `credentials`: see Targets."""
    from remedy.cli.asking import vault_passwords
    from remedy.notify import Targets

    secrets = Secrets()
    passwords = vault_passwords(flags, project)
    vault = Vault(passwords, secrets) if passwords else None
    return Targets(project.root, vault, secrets, credentials), secrets


def check_targets(
    schedule: Schedule,
    project: Project,
    flags: Mapping[str, Any],
    credentials: Mapping[str, Path] | None = None,
) -> dict[str, Need]:
    """Raise InputError, with its place, for whom a schedule tells and who is not known, or cannot be told.

    A credential that is not here is no error; `credentials` are read where they are. Returns for whom a service must be
    given what.
    """
    if not schedule.notify:
        return {}
    known, _ = known_targets(project, flags, credentials)
    needs = {name: known.check(name, where) for name, where in schedule.notify}
    return {name: need for name, need in needs.items() if need is not None}


def teller(
    schedule: Schedule, project: Project, flags: Mapping[str, Any], say: Callable[[str], None]
) -> Callable[[Ending], None]:
    """Return what tells of a due time's end; what goes wrong with that is said, and never raised."""

    def ended(ending: Ending) -> None:
        if not schedule.notify:
            return
        try:
            tell(ending)
        except Exception as error:  # whatever it is: the run has ended as it has
            say(f"{schedule.name}: nobody could be told: {_why(error)}")

    def tell(ending: Ending) -> None:
        from remedy.notify import send

        known, secrets = known_targets(project, flags)
        message = _message(schedule, project.state, ending)
        wanted = []
        for name, where in schedule.notify:
            try:
                wanted.append(known.get(name, where))
            except Exception as error:  # the others are told all the same
                say(secrets.mask(f"{schedule.name}: '{name}' was not told: {_why(error)}"))
        send(message, dict.fromkeys(wanted), say, mask=secrets.mask)

    return ended


def _why(error: Exception) -> str:
    """Return an error in one line; of one that nobody foresaw only its kind, for its text may hold anything."""
    if isinstance(error, RemedyError | OSError):
        return "; ".join(line.strip() for line in str(error).splitlines())
    return f"internal error: {type(error).__name__}"


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
