"""The method of a drill: ordinary tasks and faults, for which hosts, in which order; and how faults are undone."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from remedy.document import Map, Seq, Text
from remedy.drill.collateral import chosen
from remedy.drill.model import Drill, Step
from remedy.errors import InputError, Position
from remedy.modules.values import TYPES
from remedy.playbook import Include, Node, Task, readers, walk
from remedy.playbook.nodes import read_nodes
from remedy.playbook.plays import check_notified
from remedy.playbook.reading import Reading

_STATE = "state"


def read_steps(document: Map, word: str, hosts: tuple[str, ...], reading: Reading) -> tuple[Step, ...]:
    """Read the list `word` of a drill's document: tasks, each with `hosts` of its own or for all, and pauses."""
    value, at = document[word], document.values_at[word]
    if not isinstance(value, Seq):
        raise readers.wrong(value, word, at, "a list of tasks, each beginning with '- '")
    steps: list[Step] = []
    pause = 0.0
    for node, position in readers.items(value, at):
        if isinstance(node, Map) and set(node) == {"pause"}:
            pause += _pause(node["pause"], node.values_at["pause"])
            continue
        named, task = _apart(node, position, hosts)
        nodes = read_nodes(_alone(task, position), word, position, reading)
        _refuse_includes(nodes)
        last = steps[-1] if steps else None
        if last is not None and last.hosts == named and not pause:
            steps[-1] = replace(last, tasks=last.tasks + nodes)
        else:
            steps.append(Step(hosts=named, tasks=nodes, pause=pause))
        pause = 0.0
    check_notified(reading, frozenset())
    if not steps:
        raise InputError(f"'{word}' has no task", where=at, hint="expected at least one")
    if pause:
        raise InputError(f"'{word}' ends with a pause", where=at, hint="a pause stands between two tasks")
    return tuple(steps)


def undoing(drill: Drill) -> tuple[Step, ...]:
    """Return what takes the method back without a memory of it: every fault absent, last first, then `restore`.

    Each task is tried, whatever became of those before it.
    """
    steps = [
        Step(hosts=step.hosts, tasks=faults)
        for step in reversed(drill.method)
        if (faults := tuple(_absent(task) for task in reversed(_faults(step))))
    ]
    return (*steps, *(replace(step, tasks=tuple(map(_tried, step.tasks))) for step in drill.restore))


def undoable(drill: Drill) -> bool:
    """Say whether rollback has anything to run: what is neither a fault nor in `restore` it cannot take back."""
    return bool(undoing(drill))


def _faults(step: Step) -> list[Task]:
    return [
        replace(node, vars=_vars(node, outer))
        for node, outer in walk(step.tasks)
        if isinstance(node, Task) and node.spec.fault and str(node.args.get(_STATE, "present")) != "absent"
    ]


def _vars(node: Task, outer: tuple[Any, ...]) -> Map:
    """Return the variables of a task and of the blocks around it."""
    merged = Map(node.position)
    for owner in (*outer, node):
        merged.update(owner.vars)
        merged.keys_at.update(owner.vars.keys_at)
        merged.values_at.update(owner.vars.values_at)
    return merged


def _absent(task: Task) -> Task:
    args = Map(task.args.position)
    args.update(task.args)
    args.keys_at.update(task.args.keys_at)
    args.values_at.update(task.args.values_at)
    args[_STATE] = "absent"
    at = task.args.position or task.position
    args.keys_at[_STATE] = args.values_at[_STATE] = at
    # What a condition or a result belonged to is of the method's run, which nobody remembers here.
    return replace(
        task,
        name=Text(f"undo: {task.title}", task.position),
        args=args,
        when=(),
        register=None,
        until=None,
        changed_when=None,
        failed_when=None,
        ignore_errors=True,
    )


def _tried(node: Node) -> Node:
    return replace(node, ignore_errors=True)


def _apart(node: Any, position: Position, hosts: tuple[str, ...]) -> tuple[tuple[str, ...], Any]:
    """Return the hosts that an entry names, and the entry without them: an ordinary task."""
    if not isinstance(node, Map) or "hosts" not in node:
        return hosts, node
    named = chosen(readers.constants(node["hosts"], "hosts", node.values_at["hosts"]), hosts, node, position)
    task = Map(node.position)
    task.update({key: item for key, item in node.items() if key != "hosts"})
    task.keys_at.update(node.keys_at)
    task.values_at.update(node.values_at)
    return named, task


def _alone(node: Any, position: Position) -> Seq:
    one = Seq(position)
    one.append(node)
    one.items_at.append(position)
    return one


def _refuse_includes(nodes: tuple[Node, ...]) -> None:
    for node, _ in walk(nodes):
        if isinstance(node, Include):
            raise InputError(
                "include_tasks cannot stand in a drill",
                where=node.position,
                hint="write import_tasks: what undoes the faults must be known before they happen",
            )


def _pause(value: Any, position: Position) -> float:
    try:
        found = float(TYPES["duration"](value))
    except (ValueError, OverflowError):
        found = 0.0
    if not 0 < found <= 600:
        raise readers.wrong(value, "pause", position, "a duration up to 10m, such as 2s")
    return found
