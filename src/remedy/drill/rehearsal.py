"""One `remedy drill`: drills in turn on the hosts of one provider, and what stands on disk meanwhile."""

from __future__ import annotations

import os
import secrets as random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from remedy.document import Decrypt
from remedy.drill import plays, record
from remedy.drill.experiment import Experiment
from remedy.drill.file import load_drill
from remedy.drill.locks import taken
from remedy.drill.machines import way
from remedy.drill.model import Drill
from remedy.drill.providers import Provider, Stage
from remedy.drill.providers.choose import Settings, make
from remedy.drill.record import DrillRecord, DrillReport, Phase
from remedy.drill.runs import Access, Runs, Watcher
from remedy.drill.signals import Signals
from remedy.drill.state import FOLDER, Broken, Diary, State, cut_off
from remedy.drill.teller import Teller
from remedy.engine.marked import MARK, marked
from remedy.errors import InputError, Position, Refused, first_of
from remedy.inventory import Inventory
from remedy.inventory import load as load_inventory
from remedy.playbook import Playbook
from remedy.playbook import load as load_playbook
from remedy.project import Project
from remedy.template import Layer

Watch = Callable[[], Sequence[Watcher]]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A drill and its runbook, read and checked; no host has been asked for."""

    drill: Drill
    runbook: Playbook


def prepare(names: Sequence[str], project: Project, decrypt: Decrypt | None = None) -> list[Prepared]:
    """Read drills by name or path, and their runbooks; raises InputError."""
    found = []
    for name in names:
        drill = load_drill(project.drill(name), project=project, decrypt=decrypt)
        where = Position(str(drill.path))
        try:
            path = project.playbook(drill.runbook)
        except InputError as error:
            raise InputError(error.message, where=where, hint=error.hint) from error
        runbook = load_playbook(path, project=project, vault_decrypt=decrypt)
        plays.refuse_ordinary(runbook, drill, where)
        found.append(Prepared(drill=drill, runbook=runbook))
    return found


class Rehearsal:
    """Runs prepared drills one after the other; `run` once."""

    def __init__(
        self,
        prepared: Sequence[Prepared],
        provider: str,
        settings: Settings,
        access: Access,
        teller: Teller,
        watch: Watch = tuple,
    ) -> None:
        """`watch` gives every run of the engine its listeners beside the journal."""
        self._prepared = prepared
        self._settings = settings
        self._access = access
        self._teller = teller
        self._watch = watch
        self._signals = Signals()
        self._provider: Provider = make(provider, settings)
        label = prepared[0].drill.name if len(prepared) == 1 else "all"
        id = f"{time.strftime('%Y%m%d-%H%M%S')}-{label}-{random.token_hex(3)}"
        state = State(id=id, user=access.user, process=os.getpid(), provider=provider)
        self._diary = Diary(settings.project.state / FOLDER / id, state)

    @property
    def folder(self) -> Path:
        """The rehearsal's folder in the state folder; its report belongs there."""
        return self._diary.folder

    def run(self) -> DrillReport:
        """Run the drills; raises RemedyError where there are no hosts at all."""
        started = time.time()
        records: list[DrillRecord] = []
        try:
            with self._signals.handled():
                try:
                    self._open()
                    self._each(records)
                except KeyboardInterrupt:
                    pass  # the signals remember that it came
                finally:
                    self._signals.disarm()
                    with self._signals.shielded():
                        self._provider.close()
                        self._close()
        finally:
            self._diary.close()
        records += [_not_run(each.drill) for each in self._prepared[len(records) :]]
        codes = {each.exit_code for each in records} | ({99} if self._signals.asked else set())
        return DrillReport(
            id=self._diary.state.id,
            provider=self._diary.state.provider,
            user=self._access.user,
            started=started,
            seconds=time.time() - started,
            exit_code=first_of(0, *codes),
            drills=tuple(records),
        )

    def _open(self) -> None:
        self._signals.arm()
        folder = self._diary.folder / "hosts"
        folder.mkdir(mode=0o700)
        (folder / "inventory").mkdir()
        self._provider.open(folder)
        self._diary.write(remembered=self._provider.remember())

    def _each(self, records: list[DrillRecord]) -> None:
        for number, each in enumerate(self._prepared, 1):
            self._teller.drill_begins(each.drill, number, len(self._prepared))
            experiment = Experiment(
                each.drill,
                each.runbook,
                self._provider,
                self._on_stage,
                self._begun,
                self._signals,
                self._teller,
            )
            records.append(experiment.run())
            if self._signals.asked or self._left_broken:
                return

    @property
    def _left_broken(self) -> bool:
        drill = self._diary.state.drill
        return drill is not None and drill.begun

    def _close(self) -> None:
        if self._provider.renews or not self._left_broken:
            self._diary.write(drill=None, closed=True)
            return
        self._teller.say(
            "not everything could be undone; mend what the report names, then: remedy drill --clean"
        )

    def _on_stage(self, drill: Drill, stage: Stage, held: ExitStack) -> Runs:
        project, access = self._settings.project, self._access
        inventory = load_inventory([str(stage.inventory)], root=Path.cwd(), vault=access.vault)
        refuse_unmarked(inventory, stage, drill)
        refuse_redirected(inventory, stage, drill, access)
        held.enter_context(taken(stage.keys.items()))
        for folder, state in cut_off(project.state):
            both = set(stage.keys.values()) & set(state.drill.keys.values() if state.drill else ())
            if both and state.drill is not None and state.drill.begun:
                raise Refused(
                    f"{', '.join(sorted(both))} may still have the faults of {state.drill.name} ({folder.name})",
                    hint="roll that back first: remedy drill --clean",
                )
        copy = self._diary.folder / f"drill-{drill.name}.yml"
        copy.write_bytes(drill.path.read_bytes())
        self._diary.write(
            drill=Broken(
                name=drill.name,
                file=str(drill.path.absolute()),
                copy=str(copy),
                inventory=str(stage.inventory.absolute()),
                hosts=dict(stage.hosts),
                keys=dict(stage.keys),
                project=str(project.root),
            )
        )
        return Runs(
            project,
            access,
            inventory,
            [str(stage.inventory.absolute())],
            list(stage.hosts.values()),
            self._diary.folder,
            self._signals,
            self._watch,
        )

    def _begun(self, faulty: bool) -> None:
        drill = self._diary.state.drill
        if drill is not None:
            self._diary.write(drill=replace(drill, begun=True) if faulty else None)


def refuse_unmarked(inventory: Inventory, stage: Stage, drill: Drill) -> None:
    """Raise Refused where a host of the stage is not there to be broken: every task of a method may break it."""
    others = [name for name in stage.hosts.values() if not marked(inventory, inventory.host(name))]
    if others:
        raise Refused(
            f"the drill '{drill.name}' breaks hosts on purpose, and {stage.inventory} does not mark "
            f"{', '.join(others)} for that",
            hint=f"expected `{MARK}: true` in an inventory file for each host that is there to be broken",
        )


def refuse_redirected(inventory: Inventory, stage: Stage, drill: Drill, access: Access) -> None:
    """Raise Refused where variables lead to another machine than the one that the inventory marks, and is locked."""
    above = Layer("drill vars", drill.vars), Layer("extra vars", access.extra)
    for host in (inventory.host(stage.hosts[name]) for name in stage.keys):
        marks = way(inventory, host, access.vault)
        leads = way(inventory, host, access.vault, *above)
        if leads != marks:
            raise Refused(
                f"the inventory marks {_place(marks)}, and with the drill's variables or -e it is {_place(leads)}",
                host=host.name,
                hint=f"`{MARK}: true` belongs to the address that {stage.inventory} gives: change it there",
            )


def _place(way: tuple[str, int]) -> str:
    return f"{way[0]}:{way[1]}"


def _not_run(drill: Drill) -> DrillRecord:
    return DrillRecord(
        name=drill.name,
        title=drill.title,
        file=str(drill.path.absolute()),
        runbook=drill.runbook,
        hosts={need.name: {"role": need.role} for need in drill.needs},
        outcome=record.NOT_RUN,
        started=time.time(),
        seconds=0.0,
        detect_limit=drill.limits.detect,
        heal_limit=drill.limits.heal,
        phases=tuple(Phase(name=name) for name in record.PHASES),
    )
