"""The books of one host in one play: outcomes become variables, notifications and events, in task order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from remedy.engine.approval import Planned
from remedy.engine.build import constant
from remedy.engine.context import PlayContext
from remedy.engine.cursor import Failure
from remedy.engine.difference import counted, unified
from remedy.engine.flight import CHANGED, FAILED, NOT_RUN, OK, SKIPPED, UNKNOWN, Entry, Item
from remedy.engine.results import combined, name_of_command, text_of_command
from remedy.engine.state import HostState
from remedy.engine.unknown import left_out_by, names_in
from remedy.engine.variables import Variables
from remedy.errors import InputError
from remedy.events import Changed, TaskDone
from remedy.template import Layer, Scope, Unknowable, UnknownValue

_LEFT_OUT = "check mode"  # the agent's reason for a Command that it did not run
_ITEMS = 1000  # of a sweep that are told and written down
HIDDEN = {"censored": "the output is hidden: the task says no_log"}


class Ledger:
    """Takes what the host answers and keeps the books."""

    def __init__(self, play: PlayContext, state: HostState, variables: Variables) -> None:
        self._play = play
        self._run = play.run
        self._state = state
        self._variables = variables
        self.planned: list[Planned] = []

    def arrived(self, entry: Entry, item: Item, message: dict[str, Any]) -> None:
        """Take the result of a step: `changed` and `failed` are decided here, once."""
        result = dict(message.get("result") or {})
        item.status = message["status"]
        item.reason = str(message.get("reason") or "")
        item.seconds = float(message.get("seconds") or 0.0)
        item.kept = list(message.get("kept") or [])
        change = message.get("change")
        if item.kind == "command" and item.status in (OK, CHANGED):
            # A database says what a statement has written; of a program, or from a host, that is no proof.
            known = item.status == OK and entry.task.spec.place == "controller"
            item.status = OK if item.reads or known else CHANGED
        result.setdefault("changed", item.status == CHANGED)
        result.setdefault("failed", item.status == FAILED)
        result["changed"] = item.status == CHANGED
        if item.status == FAILED:
            result.setdefault("msg", item.reason)
            item.reason = item.reason or str(result["msg"])
        if item.status == SKIPPED:
            result["skipped"] = True
            if entry.check and item.kind == "command" and item.reason == _LEFT_OUT:
                item.left_out = True
                left_out = left_out_by(entry.task.title), text_of_command(item)
                self._play.commands(self._state, item.host).append(left_out)
        item.result = result
        commands = self._play.commands(self._state, item.host)
        if item.status == FAILED and entry.check and commands:
            item.status = UNKNOWN
            item.reason = f"{item.reason} (perhaps it {commands[-1][0]})"
            item.about = " ".join(names_in((item.message or {}).get("params", {})))
        self._judge(entry, item)
        if change and item.status in (CHANGED, FAILED):
            self._changed(entry, item, change)
        elif item.kind == "command" and item.status == CHANGED:
            self._changed(
                entry, item, {"kind": "command", "object": name_of_command(item, hidden=entry.no_log)}
            )

    def _judge(self, entry: Entry, item: Item) -> None:
        """Let changed_when and failed_when have their say."""
        task = entry.task
        if item.status not in (OK, CHANGED, FAILED) or (
            task.changed_when is None and task.failed_when is None
        ):
            return
        scope = self.scope_of(entry, item)
        try:
            if task.changed_when is not None:
                changed = self._all(task.changed_when, scope, entry)
                item.result["changed"] = changed
                if item.status != FAILED:
                    item.status = CHANGED if changed else OK
            if task.failed_when is not None:
                failed = self._all(task.failed_when, scope, entry)
                item.result["failed"] = failed
                item.result["failed_when_result"] = failed
                if failed:
                    item.judged = item.status != FAILED
                    item.status = FAILED
                    item.reason = item.reason or "failed_when: " + " and ".join(map(str, task.failed_when))
                    item.result.setdefault("msg", item.reason)
                elif item.status == FAILED:
                    item.status = CHANGED if item.result["changed"] else OK
        except UnknownValue as unknown:
            item.status, item.reason = UNKNOWN, unknown.reason
        except InputError as error:
            item.judged = item.status != FAILED
            item.status, item.reason = FAILED, str(error)
            item.result.update(failed=True, msg=str(error))

    def _all(self, conditions: tuple[Any, ...], scope: Scope, entry: Entry) -> bool:
        templar = self._run.templar
        return all(
            value
            if (value := constant(part)) is not None
            else templar.condition(part, scope, where=entry.task.position)
            for part in conditions
        )

    def scope_of(self, entry: Entry, item: Item) -> Scope:
        """Return the scope in which a result is judged: everything earlier is known, and the result itself."""
        layers = [*entry.scope.layers, *item.layers]
        if entry.task.register:
            layers.append(Layer("result", {entry.task.register: item.result}, data=True))
        return self._run.templar.scope(layers)

    def _changed(self, entry: Entry, item: Item, change: dict[str, Any]) -> None:
        kind = change.get("kind", item.kind)
        if item.status == FAILED and not change.get("after") and not change.get("bytes_freed"):
            return
        predicted = bool(change.get("predicted"))
        if self._state.quiet:
            if item.guard or (predicted and kind != "command"):
                self.planned.append(planned(entry, item, change))
            return
        message = item.message or {}
        hidden = entry.no_log or entry.secret
        unwanted = entry.words.values.get("diff") is False
        diff = "" if unwanted else unified(change.get("diff"), change.get("object", ""), self._run.contents)
        if hidden:
            diff = counted(diff)
        if predicted:
            self._state.predicted += 1
        else:
            self._state.changes += 1
        irreversible = change.get("irreversible")
        reversible = kind == "resource" and not irreversible
        why = irreversible or {
            "command": "a command of the user's",
            "sweep": "what is removed is gone",
            "action": "an action cannot be taken back",
        }.get(kind, "")
        self._run.bus.emit(
            Changed(
                host=item.host or self._state.name,
                change=str(change.get("id") or message.get("id", "")),
                play=self._play.play.title,
                section=entry.section,
                task=entry.task.title,
                module=entry.task.module,
                kind=kind,
                object=str(change.get("object", "")),
                before=None if hidden else change.get("before"),
                after=None if hidden else change.get("after"),
                diff=diff,
                reversible=reversible,
                reason=(item.reason if not entry.no_log else "") or ("" if reversible else why),
                seconds=item.seconds,
                bytes_freed=change.get("bytes_freed"),
                predicted=predicted,
                items=[] if hidden else _largest(change.get("items") or ()),
                happened=str(change.get("happened") or ""),
                delegated_by="" if item.host is None else self._state.name,
            )
        )

    def commit(self, entry: Entry) -> Failure | None:
        """Let a task count: variables, notifications, its event; return the failure that the walk must obey."""
        entry.committed = True
        items = entry.items
        handlers = self._handlers(entry)
        for item in items:
            if self._state.quiet and item.status == UNKNOWN and item.guard:
                self.planned.append(doubtful(entry, item))
            if item.effect is not None:
                item.effect()
            if item.about:
                self._play.commands(self._state, item.host).append((item.reason, item.about))
        status = _overall(items)
        result = combined(items, entry.looped)
        failed = status == FAILED
        reason = next((item.reason for item in items if item.status == status and item.reason), "")
        self._register(entry, status, result, reason)
        self._state.notified.update(handlers)
        rescued = failed and not entry.ignore and entry.cursor.rescues()
        self._emit(entry, status, reason, result, rescued)
        if not failed or entry.ignore:
            return None
        return Failure(entry.task.title, result, entry.words)

    def _register(self, entry: Entry, status: str, result: dict[str, Any], reason: str) -> None:
        name = entry.task.register
        if status == UNKNOWN:
            self._state.variables.update(self._unknowable(entry, reason))
        elif name:
            why = left_out_by(entry.task.title)
            hangs = any(item.left_out for item in entry.items)
            self._state.variables[name] = Unknowable(why) if hangs else result
        if name:
            self._variables.in_flight.discard(name)
        for item in entry.items:
            facts = item.result.get("ansible_facts")
            if isinstance(facts, dict) and item.kind == "probe":
                self._state.facts.update(
                    {key.removeprefix("ansible_"): value for key, value in facts.items()}
                )

    def _handlers(self, entry: Entry) -> dict[str, bool]:
        """Return the handlers that a task notifies, and whether surely; one that cannot be named fails the task."""
        status = _overall(entry.items)
        left_out = any(item.left_out for item in entry.items)
        if not entry.task.notify or not (status in (CHANGED, UNKNOWN) or left_out or _any_changed(entry)):
            return {}
        sure = status == CHANGED or _any_changed(entry)
        templar, known = self._run.templar, self._state.notified
        scope = templar.scope(entry.scope.layers)
        try:
            names = [
                str(templar.render(name, scope, where=entry.task.position)) for name in entry.task.notify
            ]
        except UnknownValue:
            every = [handler.title for handler in self._play.play.handlers]
            return {name: known.get(name, False) for name in every}
        except InputError as error:
            item = entry.items[-1]
            item.judged, item.status, item.reason = True, FAILED, str(error)
            item.result.update(failed=True, msg=str(error))
            return {}
        return {name: known.get(name, False) or sure for name in names}

    def settled(self, entry: Entry) -> dict[str, Any]:
        """Return the variables that a task which the engine settled brings, before its turn to count has come."""
        if _overall(entry.items) == UNKNOWN:
            return self._unknowable(
                entry, next(item.reason for item in entry.items if item.status == UNKNOWN)
            )
        name = entry.task.register
        return {name: combined(entry.items, entry.looped)} if name else {}

    @staticmethod
    def _unknowable(entry: Entry, why: str) -> dict[str, Any]:
        """Return the variables of a task of which check mode cannot tell what it would do."""
        names = [entry.task.register] if entry.task.register else []
        if entry.task.module == "set_fact":
            names += entry.task.args
        return {str(name): Unknowable(why) for name in names}

    def dropped(self, entry: Entry, reason: str) -> None:
        """Tell that a task which was on its way did not run, or that nobody knows."""
        self._emit(entry, NOT_RUN, reason, {}, False)

    def _emit(self, entry: Entry, status: str, reason: str, result: dict[str, Any], rescued: bool) -> None:
        if self._state.quiet:
            return
        items = entry.items
        self._run.bus.emit(
            TaskDone(
                host=self._state.name,
                play=self._play.play.title,
                section=entry.section,
                task=entry.task.title,
                position=str(entry.task.position),
                module=entry.task.module,
                status=status,
                reason="" if entry.no_log and status == FAILED else reason,
                seconds=sum(item.seconds for item in items),
                result=dict(HIDDEN, changed=status == CHANGED) if entry.no_log else result,
                kept=[kept for item in items for kept in item.kept],
                ignored=status == FAILED and entry.ignore,
                rescued=rescued,
                reads=any(item.reads for item in items),
                no_log=entry.no_log,
                delegated=entry.delegates,
            )
        )


def planned(entry: Entry, item: Item, change: Mapping[str, Any]) -> Planned:
    """Return a change as approval sees it; `change` is an intent or a predicted change."""
    hidden = entry.no_log or entry.secret
    return Planned(
        task=entry.task.title,
        guarded=item.guard.kinds if item.guard else frozenset(),
        attended=item.guard is not None and item.guard.attended,
        object=str(change.get("object", "")),
        means=str(change.get("means") or ""),
        items=tuple(change.get("items") or ()),
        bytes=change.get("bytes_freed"),
        kept=tuple(item.kept),
        host=item.host or "",
        before=None if hidden else change.get("before"),
        after=None if hidden else change.get("after"),
        happened=str(change.get("happened") or "done") if change.get("kind", item.kind) == "action" else "",
    )


def doubtful(entry: Entry, item: Item) -> Planned:
    """Return a guarded step of which check mode could not tell what it would do."""
    return Planned(
        task=entry.task.title,
        guarded=item.guard.kinds if item.guard else frozenset(),
        attended=item.guard is not None and item.guard.attended,
        object=" ".join(dict.fromkeys((entry.task.module, *item.about.split()))),
        unknown=True,
        reason=item.reason,
        host=item.host or "",
    )


def _largest(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what people may want to know of a sweep's items, the largest first."""
    largest = sorted(items, key=lambda item: -(item.get("size") or 0))[:_ITEMS]
    return [
        {
            "item": str(item["item"]),
            "reason": str(item.get("reason") or ""),
            "size": item.get("size") or 0,
            **{name: item[name] for name in ("count", "noun") if item.get(name) is not None},
        }
        for item in largest
    ]


def _any_changed(entry: Entry) -> bool:
    return any(item.result.get("changed") for item in entry.items)


def _overall(items: list[Item]) -> str:
    """Return a task's status from its items': the worst, and skipped only where all are."""
    statuses = {item.status for item in items}
    for status in (FAILED, UNKNOWN, CHANGED, OK):
        if status in statuses:
            return status
    return SKIPPED
