"""The playbooks that a drill plays beside its runbook: the hypothesis, the method, the readings, the rollback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from remedy.document import Map, Text
from remedy.drill.collateral import reading
from remedy.drill.model import Drill, Step, Thing
from remedy.drill.tasks import reading_task
from remedy.errors import InputError, Position
from remedy.playbook import Become, Play, Playbook

_FIX = ("pre_tasks", "roles", "tasks", "post_tasks")
_SECONDS = 120  # for one task of a drill's own: a fault waits for no one


def hypothesis(runbook: Playbook) -> Playbook:
    """Return what of a runbook looks and proves, without what fixes."""
    nothing = {name: () for name in _FIX if name in Play.__struct_fields__}
    plays = [replace(play, **nothing) for play in runbook.plays if play.diagnose or play.verify]
    return replace(runbook, plays=tuple(plays))


def refuse_ordinary(runbook: Playbook, drill: Drill, where: Position | None) -> None:
    """Raise InputError for a playbook that is no runbook: a drill needs something to detect with."""
    if not any(play.diagnose for play in runbook.plays):
        raise InputError(
            f"'{drill.runbook}' has no diagnose section",
            where=where,
            hint="a drill rehearses a runbook: diagnose finds the fault, verify proves that it is gone",
        )


def of_steps(drill: Drill, name: str, steps: Sequence[Step], hosts: Mapping[str, str]) -> Playbook:
    """Return steps as a playbook, one play a step; `hosts` leads to the inventory's names."""
    return Playbook(path=drill.path, plays=tuple(_play(drill, name, step, hosts) for step in steps))


def of_things(drill: Drill, things: Sequence[Thing], hosts: Mapping[str, str]) -> Playbook:
    """Return what reads the collateral, one play for each set of hosts."""
    groups: dict[tuple[str, ...], list[Thing]] = {}
    for thing in things:
        groups.setdefault(thing.hosts, []).append(thing)
    steps = [Step(hosts=names, tasks=tuple(map(reading, group))) for names, group in groups.items()]
    return of_steps(drill, "collateral", steps, hosts)


def of_disks(drill: Drill, hosts: Mapping[str, str]) -> Playbook:
    """Return what reads the file systems of the hosts that need disks; no play where none does."""
    steps = [
        Step(hosts=(need.name,), tasks=(reading_task(need.position, "file systems", "disk_usage", {}),))
        for need in drill.needs
        if need.options.get("disks")
    ]
    return of_steps(drill, "disks", steps, hosts)


def variables(drill: Drill, hosts: Mapping[str, str]) -> Map:
    """Return the drill's variables for every run: its `vars`, and drill_hosts, which leads to the real names."""
    merged = Map()
    merged.update(drill.vars)
    merged.keys_at.update(drill.vars.keys_at)
    merged.values_at.update(drill.vars.values_at)
    merged["drill_hosts"] = dict(hosts)
    return merged


def _play(drill: Drill, name: str, step: Step, hosts: Mapping[str, str]) -> Play:
    position = step.tasks[0].position
    return Play(
        position=position,
        name=Text(f"{drill.name}: {name}", position),
        hosts=Text(",".join(hosts[host] for host in step.hosts), position),
        tasks=step.tasks,
        become=Become(become=drill.become),
        gather_facts=False,
        timeout=_SECONDS,
    )
