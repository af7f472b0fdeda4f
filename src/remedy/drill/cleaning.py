"""`remedy drill --clean`: the rollback of what was killed, or could not undo everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from remedy.drill import plays
from remedy.drill.file import load_drill
from remedy.drill.locks import taken
from remedy.drill.method import undoing
from remedy.drill.providers import Stage
from remedy.drill.providers.choose import resume
from remedy.drill.rehearsal import refuse_redirected
from remedy.drill.runs import Access, Runs
from remedy.drill.signals import Signals
from remedy.drill.state import Broken, Diary, State, cut_off, read_state
from remedy.errors import RemedyError
from remedy.inventory import load as load_inventory
from remedy.project import Project

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What became of one `remedy drill` that was cut off; `troubles` is empty where nothing of it is left."""

    id: str
    drill: str | None
    hosts: tuple[str, ...]
    troubles: tuple[str, ...]


def clean(project: Project, access: Access, say: Say) -> list[Cleaned]:
    """Roll back every drill of the state folder that was cut off; those under way are left alone."""
    signals, found = Signals(), []
    with signals.handled(), signals.shielded():
        for folder, _ in list(cut_off(project.state)):
            state = read_state(folder)
            diary = None if state is None or state.closed else Diary.taken_over(folder, state)
            if diary is None:
                continue  # somebody else has just cleaned it
            try:
                say(f"rolling back {diary.state.id}")
                found.append(_one(diary, access, signals))
            finally:
                diary.close()
    return found


def _one(diary: Diary, access: Access, signals: Signals) -> Cleaned:
    state, troubles = diary.state, []
    try:
        provider = resume(state.provider, state.remembered) if state.remembered else None
        if provider is not None:
            try:
                if not provider.renews and state.drill is not None and state.drill.begun:
                    troubles += _roll_back(state.drill, diary, access, signals)
            finally:
                provider.close()
        elif state.provider == "static" and state.drill is not None and state.drill.begun:
            troubles.append(
                f"the inventory {state.drill.inventory} is gone, and with it the way to the hosts"
            )
    except RemedyError as error:
        troubles.append(str(error))
    if not troubles:
        diary.write(drill=None, closed=True)
    return _cleaned(state, troubles)


def _roll_back(broken: Broken, diary: Diary, access: Access, signals: Signals) -> list[str]:
    """Take the faults back and run what the drill's restore says; return what went wrong."""
    project = Project.find(Path(broken.project))
    path, copy = Path(broken.file), Path(broken.copy)
    if not path.is_file() or path.read_bytes() != copy.read_bytes():
        path = copy  # the file has changed since: what happened then counts
    decrypt = access.vault.open if access.vault else None
    drill = load_drill(path, project=project, decrypt=decrypt)
    steps = undoing(drill)
    if not steps:
        return []
    inventory = load_inventory([broken.inventory], root=Path(broken.project), vault=access.vault)
    stage = Stage(inventory=Path(broken.inventory), hosts=broken.hosts, keys=broken.keys)
    refuse_redirected(inventory, stage, drill, access)
    with taken(broken.keys.items()):
        hosts = list(broken.hosts.values())
        runs = Runs(project, access, inventory, [broken.inventory], hosts, diary.folder, signals)
        outcome = runs.undo(
            plays.of_steps(drill, "rollback", steps, broken.hosts),
            f"{broken.name}-clean",
            plays.variables(drill, broken.hosts),
        )
    return [f"{host}: {text}" if host else text for host, text in outcome.troubles(ignored=True)]


def _cleaned(state: State, troubles: list[str]) -> Cleaned:
    drill = state.drill
    return Cleaned(
        id=state.id,
        drill=None if drill is None else drill.name,
        hosts=() if drill is None else tuple(drill.hosts.values()),
        troubles=tuple(troubles),
    )
