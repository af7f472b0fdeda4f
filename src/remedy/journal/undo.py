"""What undoes a run: its changes in reverse order, and what cannot be undone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from remedy.errors import RemedyError
from remedy.events import UNCERTAIN, Changed, HostConnected, HostLeftOut, Intent, RunStarted, TaskDone
from remedy.journal.lines import Line
from remedy.journal.record import RunRecord
from remedy.journal.rollbacks import rollbacks
from remedy.journal.summary import CUT_OFF, RUNNING
from remedy.secret import MASK

_WHY = {
    "sweep": "what was swept away is gone",
    "action": "an action cannot be taken back",
    "command": "a command of the user's: remedy does not know what undoes it",
}
_LOST = frozenset({"link_lost", "agent_killed", "nonsense"})  # what was sent along may have run by then


class UndoStep(Struct, frozen=True, kw_only=True):
    """One change to undo. `module` with `params`, run as `become`, gives `kept` to its `undo`.

    `expect` are the states in which the object may be found: what the run left, for a change that was cut off
    either side of it, and what a failed rollback of the run made of it. `before` is what it should become.
    `undone` are the states from before earlier changes of the run: there this one is taken back already.
    `notify` are the handlers that the change notified, on the host `notified`: this one, or the one whose task was
    delegated to it. `implicit`: the host stood in no inventory, and was reached by its name. `undone_by` is the
    rollback that has undone it already. `secret`: hide the states. `lent`: the change was for the time of a
    task alone.
    """

    host: str
    change: str
    play: str
    task: str
    position: str
    module: str
    object: str
    params: Mapping[str, Any]
    become: Mapping[str, Any]
    kept: Any
    before: Any
    expect: tuple[Any, ...]
    notify: tuple[str, ...]
    secret: bool
    undone_by: str | None
    undone: tuple[Any, ...] = ()
    lent: bool = False
    notified: str = ""
    implicit: bool = False


class NotUndone(Struct, frozen=True, kw_only=True):
    """Something the run did, or may have done, that cannot be undone, and why."""

    host: str
    play: str
    task: str
    position: str
    module: str
    kind: str
    object: str
    reason: str


class UndoPlan(Struct, frozen=True, kw_only=True):
    """What undoes a run: for each host, in inventory order, the steps from the last change to the first."""

    run: str
    hosts: Mapping[str, tuple[UndoStep, ...]]
    not_undone: tuple[NotUndone, ...]
    warnings: tuple[str, ...]

    def notify(self, host: str) -> tuple[str, ...]:
        """Return the handlers to notify on a host, each once."""
        steps = (step for each in self.hosts.values() for step in each if step.notified == host)
        return tuple(dict.fromkeys(name for step in steps for name in step.notify))


class _Told(Struct):
    """An Intent, and what the journal tells of its fate."""

    line: Line
    intent: Intent
    changed: Changed | None = None
    done: TaskDone | None = None


def undo_plan(record: RunRecord) -> UndoPlan:
    """Return what undoes a run; warnings tell of a run cut off and of earlier rollbacks."""
    told, unannounced = _tell(record)
    earlier = rollbacks(record)
    undone = {key: list(runs) for key, runs in earlier.undone.items()}
    steps: dict[str, list[UndoStep]] = {name: [] for name in _inventory_order(record)}
    lost: list[NotUndone] = []
    sure = _hosts_not_reached(record)
    for each in reversed(told):
        reason = _why_not(each, reached=each.intent.host not in sure)
        if reason is None:
            key = each.intent.host, each.intent.object
            runs = undone.get(key)
            try:
                step = _step(record, each, runs.pop(0) if runs else None, earlier.left.get(key, ()))
                steps.setdefault(each.intent.host, []).append(step)
            except RemedyError as error:
                reason = error.message
        if reason:
            lost.append(_not_undone(each.intent, reason))
    lost += [
        _not_undone(event, event.reason or _WHY.get(event.kind, "nothing was kept")) for event in unannounced
    ]
    hosts = {host: _chained(left) for host, found in steps.items() if (left := _lasting(found))}
    return UndoPlan(run=record.id, hosts=hosts, not_undone=tuple(lost), warnings=_warnings(record, hosts))


def _inventory_order(record: RunRecord) -> list[str]:
    return next((event.hosts for event in record.events if isinstance(event, RunStarted)), [])


def _tell(record: RunRecord) -> tuple[list[_Told], list[Changed]]:
    """Return the intents with their fates, and the changes that nobody announced.

    Ids of changes come again in the next play: a change belongs to the last intent of its id before it.
    """
    told: list[_Told] = []
    last: dict[tuple[str, str], _Told] = {}
    waiting: dict[tuple[str, ...], list[_Told]] = defaultdict(list)
    unannounced = []
    for line in record.lines:
        event = line.event
        if isinstance(event, Intent):
            each = _Told(line, event)
            told.append(each)
            last[event.host, event.change] = each
            asked = event.delegated_by or event.host  # the end of a task is told of the host whose task it is
            waiting[asked, event.section, event.task, event.position].append(each)
        elif isinstance(event, Changed) and not event.predicted:
            found = last.pop((event.host, event.change), None)
            if found is not None:
                found.changed = event
            else:
                unannounced.append(event)
        elif isinstance(event, TaskDone):
            for each in waiting.pop((event.host, event.section, event.task, event.position), ()):
                each.done = event
    return told, unannounced


def _hosts_not_reached(record: RunRecord) -> set[str]:
    """Return the hosts on which nothing happened whose outcome is missing: a lock, or no contact at all."""
    connected = {event.host for event in record.events if isinstance(event, HostConnected)}
    return {
        event.host
        for event in record.events
        if isinstance(event, HostLeftOut)
        and (event.refused or (event.host not in connected and event.reason not in _LOST))
    }


def _why_not(told: _Told, *, reached: bool) -> str | None:
    """Return why a change cannot be undone, "" where nothing happened, None where it can."""
    intent = told.intent
    if intent.kind == "resource" and intent.irreversible is None:
        return None
    reason = intent.irreversible or _WHY.get(intent.kind, "nothing was kept")
    if told.changed is not None:
        return reason
    if told.done is None:
        return f"it may have happened, the run was cut off there; {reason}" if reached else ""
    if told.done.status == "not_run" and told.done.reason.endswith(UNCERTAIN) and reached:
        return f"it may have happened, the host was lost there; {reason}"
    return f"it failed, and may have happened in part; {reason}" if told.done.status == "failed" else ""


def _step(record: RunRecord, told: _Told, undone_by: str | None, left: Sequence[Any]) -> UndoStep:
    intent = record.intent(told.line)
    return UndoStep(
        host=intent.host,
        change=intent.change,
        play=intent.play,
        task=intent.task,
        position=intent.position,
        module=intent.module,
        object=intent.object,
        params=intent.params,
        become=intent.become,
        kept=intent.kept,
        before=intent.before,
        expect=(*_expect(intent, told.changed), *(state for state in left if not _masked(state))),
        notify=tuple(intent.notify),
        secret=intent.secret,
        undone_by=undone_by,
        lent=bool(intent.lent),
        notified=intent.delegated_by or intent.host,
        implicit=intent.implicit,
    )


def _lasting(steps: Sequence[UndoStep]) -> list[UndoStep]:
    """Leave out what the run itself has put back, such as a reserve that was lent; the last change comes first."""
    ends: dict[str, list[UndoStep]] = defaultdict(list)
    for step in steps:
        ends[step.object].append(step)
    back = {
        name
        for name, each in ends.items()
        if len(each) > 1 and each[0].expect == (_goal(each[-1]),) and not any(step.undone_by for step in each)
    }
    return [step for step in steps if step.object not in back]


def _chained(steps: Sequence[UndoStep]) -> tuple[UndoStep, ...]:
    """Return a host's steps, the last change first, each with the states that come after it on the way back."""
    chained: list[UndoStep] = []
    before: dict[str, tuple[Any, ...]] = {}
    for step in reversed(steps):
        chained.append(replace(step, undone=before.get(step.object, ())))
        before[step.object] = (*before.get(step.object, ()), _goal(step))
    return tuple(reversed(chained))


def _goal(step: UndoStep) -> Any:
    return step.kept["state"] if isinstance(step.kept, Mapping) and "state" in step.kept else step.before


def _expect(intent: Intent, changed: Changed | None) -> tuple[Any, ...]:
    states: tuple[Any, ...]
    if changed is None:
        states = (intent.want, intent.before)
    elif changed.after is None and intent.secret:
        states = (intent.want,)  # the event hides the state; converged means that it is the wanted one
    else:
        states = (_unmasked(changed.after, intent.want),)
    if any(map(_masked, states)):
        raise RemedyError(
            "its state holds a secret that the journal does not know: nobody could tell if it changed"
        )
    return states


def _unmasked(state: Any, want: Any) -> Any:
    """Return a state with what the event masks taken from the wanted one."""
    if isinstance(state, Mapping) and isinstance(want, Mapping):
        return {key: _unmasked(value, want.get(key, value)) for key, value in state.items()}
    return want if _masked(state) else state


def _masked(value: Any) -> bool:
    if isinstance(value, str):
        return MASK in value
    if isinstance(value, Mapping):
        return any(map(_masked, (*value, *value.values())))
    return isinstance(value, list | tuple) and any(map(_masked, value))


def _not_undone(event: Intent | Changed, reason: str) -> NotUndone:
    return NotUndone(
        host=event.host,
        play=event.play,
        task=event.task,
        position=event.position if isinstance(event, Intent) else "",
        module=event.module,
        kind=event.kind,
        object=event.object,
        reason=reason,
    )


def _warnings(record: RunRecord, hosts: Mapping[str, tuple[UndoStep, ...]]) -> tuple[str, ...]:
    warnings = []
    if record.summary.outcome == RUNNING:
        warnings.append(f"the run {record.id} is still under way")
    elif record.summary.outcome == CUT_OFF:
        warnings.append(f"the run {record.id} was cut off: its last changes may or may not have happened")
    steps = [step for found in hosts.values() for step in found]
    for run in dict.fromkeys(step.undone_by for step in steps if step.undone_by is not None):
        count = sum(step.undone_by == run for step in steps)
        warnings.append(f"{count} of {len(steps)} changes were undone by the run {run}")
    return tuple(warnings)
