"""From a task to what travels: loop, conditions, arguments, identity, each item a step of the protocol."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from remedy.agent.kinds import Failed
from remedy.document import Map, Text
from remedy.engine.context import PlayContext
from remedy.engine.control import Desk
from remedy.engine.cursor import Cursor
from remedy.engine.delegation import Delegate, Delegation
from remedy.engine.flight import FAILED, OK, SKIPPED, UNKNOWN, Entry, Item
from remedy.engine.guards import Guard, guarded, perhaps, perhaps_within
from remedy.engine.keywords import Keywords, environment_of, identity_of, list_of, number_of
from remedy.engine.marked import refuse
from remedy.engine.source import TaskSource
from remedy.engine.state import HostState
from remedy.engine.unknown import hangs_on, names_in
from remedy.engine.variables import Variables
from remedy.errors import InputError
from remedy.modules import ModuleSpec, check, find, prepare
from remedy.playbook import Include, Task
from remedy.template import Layer, Pending, Scope, UnknownValue

READ_ONLY = ("diagnose", "diagnose again")


class NeedsHello(Exception):
    """A module wants to know how far the host's clock is off, and the host has not been heard yet.

    `host` is the one that the task is delegated to, None its own.
    """

    def __init__(self, host: str | None = None) -> None:
        super().__init__(host)
        self.host = host


class Builder:
    """Builds the entries of one host in one play."""

    def __init__(self, play: PlayContext, state: HostState, variables: Variables, *, check: bool) -> None:
        self._play = play
        self._run = play.run
        self._state = state
        self._variables = variables
        self._check = check
        self._numbers = count(1)
        self._delegation = Delegation(play, state, check=check)

    def entry(self, task: Task, cursor: Cursor, words: Keywords, section: str) -> Entry:
        """Return the task, rendered for this host; raises Pending where it needs a result still on its way.

        Raises Refused for a fault that an include has brought to a host which is not there to be broken.
        """
        if not words.values.get("delegate_to"):
            refuse(self._play, task, [self._state])
        scope = self._variables.scope(task, cursor)
        entry = Entry(task, cursor, words, scope, section, items=[], host=self._state.name)
        try:
            self._fill(entry)
        except UnknownValue as unknown:
            about, guard = self._about(entry), self._guard(entry)
            entry.items = [Item(0, status=UNKNOWN, reason=str(unknown.reason), about=about, guard=guard)]
        except InputError as error:
            if not self._run.bus.begun:
                raise
            entry.items, entry.looped = [_failed(0, (), str(error))], False
        return entry

    def stumble(self, cursor: Cursor, section: str, why: InputError | UnknownValue) -> Entry:
        """Return a task that stands for a node which cannot be read (an include, mostly): failed or unknown."""
        node = cursor.node
        spec = find("fail")
        task = Task(
            position=node.position,
            name=Text(node.title),
            module=getattr(node, "module", "include_tasks"),
            spec=spec,
            args=Map(),
        )
        words = Keywords.of(node, cursor.ancestors)
        scope = self._variables.scope(cursor=cursor)
        if isinstance(why, UnknownValue):
            guard = None
            if self._state.quiet and isinstance(node, Include):
                guard = perhaps_within(
                    self._play.play,
                    node,
                    lambda include, name: self._play.tasks_file(name, include, section),
                    lambda value: self._run.templar.render(value, scope, where=node.position),
                )
            item = Item(0, status=UNKNOWN, reason=str(why.reason), guard=guard)
        else:
            item = _failed(0, (), str(why))
        return Entry(task, cursor, words, scope, section, items=[item], host=self._state.name)

    def _guard(self, entry: Entry) -> Guard | None:
        """Return how a task is guarded, as far as it can be told though it is unknown what it would do."""
        return perhaps(
            self._play.play, entry.task, lambda value: self._run.templar.render(value, entry.scope)
        )

    def _fill(self, entry: Entry) -> None:
        task, scope, templar = entry.task, entry.scope, self._run.templar
        group = str(next(self._numbers))
        entry.check = entry.words.flag("check_mode", self._check, templar, scope, task)
        # A task may ask for less than the run allows, never for a write in a run that promised none.
        entry.no_log = entry.words.flag("no_log", False, templar, scope, task)
        entry.ignore = entry.words.flag("ignore_errors", False, templar, scope, task)
        for index, (layers, value) in enumerate(self._passes(entry)):
            inner = scope.with_layers(layers) if layers else scope
            delegate = self._delegation.of(task, entry.cursor, entry.words, inner)
            if delegate is not None:
                refuse(self._play, task, [delegate.state])
                layers, inner = (*layers, delegate.layer), inner.with_layers((delegate.layer,))
            elif entry.words.values.get("delegate_to"):
                refuse(self._play, task, [self._state])
            false = self._false_condition(entry, inner)
            if false is not None:
                entry.items.append(_skipped(index, layers, value, false))
                continue
            items = self._items(entry, inner, index, layers, value, group, delegate)
            if delegate is not None and delegate.name != self._state.name:
                for item in items:
                    item.host = delegate.name
            entry.items.extend(items)
        for item in entry.items:
            item.looped = entry.looped
        for word in ("retries", "delay"):
            written = getattr(task, word)
            if task.until is not None and written is not None:
                setattr(entry, word, type(getattr(entry, word))(self._number(entry, word, written)))
        if task.loop_control.pause:
            entry.pause = self._number(entry, "pause", task.loop_control.pause)

    def _number(self, entry: Entry, word: str, written: Any) -> float:
        return number_of(word, written, self._run.templar, entry.scope, entry.task.position)

    def _passes(self, entry: Entry) -> Iterator[tuple[tuple[Layer, ...], Any]]:
        task, templar = entry.task, self._run.templar
        if task.loop is None:
            yield (), None
            return
        entry.looped = True
        try:
            values = list_of(task.loop, templar, entry.scope, task.position)
        except InputError:
            # As in Ansible, a loop that cannot be rendered does not matter where the task is skipped anyway.
            if self._false_condition(entry, entry.scope) is not None:
                return
            raise
        yield from loop_layers(task, values)

    def _false_condition(self, entry: Entry, scope: Scope) -> str | None:
        for condition in entry.words.when:
            if not self._run.templar.condition(condition, scope, where=entry.task.position):
                return str(condition)
        return None

    def _items(
        self,
        entry: Entry,
        scope: Scope,
        index: int,
        layers: tuple[Layer, ...],
        value: Any,
        group: str,
        delegate: Delegate | None,
    ) -> list[Item]:
        task, spec = entry.task, entry.task.spec
        state = self._state if delegate is None else delegate.state
        try:
            params = self._params(spec, task, scope)
            if spec.place == "control":
                return [self._control(entry, scope, params, index, layers, value)]
            parts = [params] if spec.place == "raw" else self._prepared(entry, params, scope)
        except InputError as error:
            if not self._run.bus.begun:
                raise
            return [_failed(index, layers, str(error), value)]
        if entry.check:
            if hangs_on(self._variables.under_way, params):
                raise Pending(f"what '{task.title}' may hang on")
            host = None if state is self._state else state.name
            if reason := hangs_on(self._play.commands(self._state, host), params):
                about = " ".join(names_in(params)) if spec.may_change else ""
                guard = guarded(self._play.play, spec, spec.kind(params))
                return [
                    Item(index, layers, value, status=UNKNOWN, reason=reason, about=about, guard=guard)
                ]
        for part in parts:
            if "clock_skew" in spec.internal:
                if not state.heard:
                    raise NeedsHello(None if state is self._state else state.name)
                part["clock_skew"] = state.clock_skew
        return [self._step(entry, scope, part, index, layers, value, group, delegate) for part in parts]

    @property
    def _left_out(self) -> bool:
        """Say whether check mode has left out a command: then a failure may hang on it, and the batch goes on."""
        return bool(self._state.commands or self._variables.under_way)

    def _about(self, entry: Entry) -> str:
        """Return the names a task is about, as far as they can be told though it is unknown what it would do."""
        found: list[str] = []
        args = entry.task.args.items() if entry.task.spec.may_change else ()
        try:
            scopes = [entry.scope.with_layers(layers) for layers, _ in self._passes(entry)]
        except (UnknownValue, InputError):
            scopes = [entry.scope]
        for scope in scopes:
            for name, value in args:
                try:
                    found += names_in({name: self._run.templar.render(value, scope)})
                except (UnknownValue, InputError):
                    continue
        return " ".join(found)

    def _params(self, spec: ModuleSpec, task: Task, scope: Scope) -> dict[str, Any]:
        raw = getattr(spec.loaded, "UNRENDERED", ())
        rendered: dict[str, Any] = {}
        for name, value in task.args.items():
            rendered[name] = (
                value if name in raw else self._run.templar.render(value, scope, where=task.position)
            )
        given = Map(task.args.position)
        given.keys_at, given.values_at = task.args.keys_at, task.args.values_at
        given.update(self._run.templar.without_omitted(rendered))
        # Guards that an inventory states once for all: a module names the variables that fill its parameters.
        for name, variable in getattr(spec.loaded, "VARIABLES", {}).items():
            if given.get(name) is None and (value := self._run.templar.value(variable, scope)) is not None:
                given[name] = value
        complete = check(spec, given, task.position, templates_allowed=False)
        secrets = [param.name for param in spec.params if param.secret]
        self._run.secrets.add([complete[name] for name in secrets if complete.get(name)])
        return dict(complete)

    def _prepared(self, entry: Entry, params: dict[str, Any], scope: Scope) -> list[dict[str, Any]]:
        task, spec = entry.task, entry.task.spec
        source = TaskSource(self._run.contents, self._play, task, scope)
        parts = prepare(spec, params, source)
        # A password that logs in is no part of what is changed: the journal seals it, and states are shown.
        logs_in = {param.name for param in spec.params if param.secret}
        shown = {name: value for name, value in params.items() if name not in logs_in}
        entry.secret = entry.secret or source.secret or self._run.secrets.mask(shown) != shown
        entry.sealed = entry.sealed or any(params.get(name) for name in logs_in)
        return parts

    def _control(
        self,
        entry: Entry,
        scope: Scope,
        params: dict[str, Any],
        index: int,
        layers: tuple[Layer, ...],
        value: Any,
    ) -> Item:
        desk = Desk(self._run, self._play.play.title, self._state, self._variables, entry, scope)
        try:
            result = entry.task.spec.loaded.run(params, desk)
        except Failed as failed:
            return _failed(index, layers, failed.message, value, **failed.result)
        result = {"changed": False, "failed": False, **result}
        return Item(index, layers, value, kind="control", status=OK, result=result, effect=desk.settle)

    def _step(
        self,
        entry: Entry,
        scope: Scope,
        params: dict[str, Any],
        index: int,
        layers: tuple[Layer, ...],
        value: Any,
        group: str,
        delegate: Delegate | None,
    ) -> Item:
        task, spec, templar = entry.task, entry.task.spec, self._run.templar
        module = spec.kind(params)
        kind = module.kind
        # Only of what the user wrote is `reads` a promise; a module's own `reads: true` is a Probe.
        reads = kind == "command" and bool(params.get("reads"))
        if entry.section in READ_ONLY and kind != "probe" and not reads:
            text = f"'{spec.name}' may change the host, and diagnose only reads"
            return _failed(index, layers, f"{text}; a command that only reads says `reads: true`", value)
        # Check mode leaves out what the user wrote; a promise to read only, or `check_mode: false`, lets it run.
        checked = entry.check and not reads
        defaults = self._run.options.defaults
        identity = identity_of(
            self._state.name if delegate is None else delegate.name,
            entry.words,
            templar,
            scope,
            defaults,
            task.position,
            connection=None if delegate is None else delegate.scope,
        )
        timeout = entry.words.values.get("timeout")
        number = f"{group}.{next(self._numbers)}"
        message = {
            # A delegate hears the steps of several hosts, and each host counts its own.
            "id": f"{self._state.name}:{number}" if delegate is not None else number,
            "group": group,
            "op": "run",
            "module": spec.import_name,
            "params": params,
            "check": checked,
            "diff": True,
            "timeout": None if timeout is None else self._number(entry, "timeout", timeout),
            "environment": environment_of(entry.words, templar, scope, task.position),
            "ignore": entry.ignore or never_fails(task) or (entry.check and self._left_out),
        }
        return Item(
            index,
            layers,
            value,
            message=message,
            identity=identity,
            kind=kind,
            reads=reads,
            guard=guarded(self._play.play, spec, module),
        )


def never_fails(task: Task) -> bool:
    """Say whether failed_when is the constant false."""
    return task.failed_when is not None and all(constant(part) is False for part in task.failed_when)


def constant(condition: Any) -> bool | None:
    """Return the value of a condition that is written as a constant, else None."""
    if isinstance(condition, bool):
        return condition
    return {"true": True, "false": False}.get(str(condition).strip().lower())


def loop_layers(node: Any, values: list[Any]) -> Iterator[tuple[tuple[Layer, ...], Any]]:
    """Yield the variables of each pass of a loop, and its item."""
    control = node.loop_control
    for index, value in enumerate(values):
        known: dict[str, Any] = {control.loop_var: value}
        if control.index_var:
            known[control.index_var] = index
        if control.extended is True:
            known["ansible_loop"] = _extended(values, index)
        yield (Layer("loop", known, data=True),), value


def _extended(values: list[Any], index: int) -> dict[str, Any]:
    length = len(values)
    known = {
        "index": index + 1,
        "index0": index,
        "revindex": length - index,
        "revindex0": length - index - 1,
        "first": index == 0,
        "last": index == length - 1,
        "length": length,
        "allitems": values,
    }
    if index:
        known["previtem"] = values[index - 1]
    if index < length - 1:
        known["nextitem"] = values[index + 1]
    return known


def _skipped(index: int, layers: tuple[Layer, ...], value: Any, condition: str) -> Item:
    result = {
        "changed": False,
        "skipped": True,
        "skip_reason": "Conditional result was False",
        "false_condition": condition,
    }
    return Item(index, layers, value, status=SKIPPED, reason=f"not: {condition}", result=result)


def _failed(index: int, layers: tuple[Layer, ...], message: str, value: Any = None, **result: Any) -> Item:
    outcome = {"changed": False, "failed": True, "msg": message, **result}
    return Item(index, layers, value, status=FAILED, reason=message, result=outcome)
