"""`delegate_to`: a task of one host that another one carries out.

Its arguments are rendered with the variables of the host whose task it is; only how to reach the other host, and whom
to become there, comes from the other host's variables. The result belongs to the first host, the change to the other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from remedy.engine.cursor import Cursor
from remedy.engine.keywords import Keywords, list_of
from remedy.engine.state import HostState
from remedy.engine.variables import NeedsBarrier, Variables
from remedy.errors import InputError, Position, nearest
from remedy.inventory.patterns import LOCALHOST
from remedy.modules.parameters import has_template
from remedy.playbook import Task, walk
from remedy.template import OMIT, Layer, Pending, Scope, UnknownValue
from remedy.template import Variables as Mapped
from remedy.transport import Target

if TYPE_CHECKING:
    from remedy.engine.context import PlayContext

_HOST = re.compile(r"\w[\w.%-]*|[0-9a-fA-F:.]*:[\w:.%-]*")  # a name, an IPv4 or an IPv6 address
_ONE = "expected the name of one host, such as db2 or {{ groups['standby'][0] }}"


class Delegate(Struct, frozen=True):
    """The host that carries a task out; `scope` has its connection variables, `layer` what the task sees of it."""

    state: HostState
    scope: Scope
    layer: Layer

    @property
    def name(self) -> str:
        return self.state.name


class Delegation:
    """Finds the hosts that the tasks of one host are delegated to."""

    def __init__(self, play: PlayContext, state: HostState, *, check: bool) -> None:
        self._play = play
        self._state = state
        self._check = check
        self._known: dict[str, Variables] = {}

    def of(self, task: Task, cursor: Cursor | None, words: Keywords, scope: Scope) -> Delegate | None:
        """Return the delegate of a task (of one pass of its loop), None where its own host carries it out."""
        written = words.values.get("delegate_to")
        if not written:
            return None
        where = getattr(written, "position", None) or task.position
        found = self._play.run.templar.render(written, scope, where=where)
        if found is OMIT:
            return None
        if not isinstance(found, str | int) or isinstance(found, bool) or found == "":
            text = f"a {type(found).__name__}" if found != "" else "empty"
            raise InputError(f"'delegate_to' is {text}", where=where, hint=_ONE)
        name = str(found)
        state = delegated(self._play, name, where)
        if state.name not in self._known:
            known = Variables(self._play, state, check=self._check)
            known.barrier_passed = True  # the task itself has waited for the others
            self._known[state.name] = known
        connection = self._known[state.name].scope(task, cursor)
        seen = Mapped(connection.with_values("delegated", {"inventory_hostname": self._state.name}))
        return Delegate(
            state, connection, Layer("delegated", {"ansible_delegated_vars": {name: seen}}, data=True)
        )


def delegated(play: PlayContext, name: str, where: Position) -> HostState:
    """Return the state of a host that something is delegated to; one that no source names is reached by its name."""
    if name in play.states:
        return play.states[name]
    inventory = play.run.inventory
    host = inventory.named(name)
    if host.implicit:
        if name in LOCALHOST:
            # This machine may stand in the inventory under a name of its own: it has one lock and one agent.
            return next((state for state in play.states.values() if _is_local(play, state)), play.other(host))
        if name in inventory.groups:
            raise InputError(f"'delegate_to' names the group '{name}'", where=where, hint=_ONE)
        if not _HOST.fullmatch(name):
            raise InputError(f"'delegate_to' is '{name}', which is no host", where=where, hint=_ONE)
    return play.other(host)


def unknown_name(play: PlayContext, state: HostState) -> str:
    """Return what to look at where a host cannot be reached that no inventory names, else an empty text."""
    if not state.host.implicit:
        return ""
    close = nearest(state.name, [host.name for host in play.run.inventory.hosts])
    return f"no inventory names '{state.name}'" + (f": {close}" if close.startswith("did you mean") else "")


def look_ahead(play: PlayContext) -> None:
    """Raise InputError for a host named by `delegate_to` that can be none; nothing has been contacted yet."""
    for _, nodes in play.play.sections():
        for node, outer in walk(nodes):
            for each in (*outer, node):
                name = each.delegate_to
                if name and not has_template(name):
                    delegated(play, str(name), name.position or each.position)


def touched_ahead(play: PlayContext, task: Task, words: Keywords) -> list[HostState]:
    """Return the hosts that a task touches, as far as they are known before the play."""
    own = [play.states[name] for name in play.hosts]
    if not words.values.get("delegate_to"):
        return own
    touched: dict[str, HostState] = {}
    for state in own:
        try:
            for scope in _passes(play, state, task):
                found = Delegation(play, state, check=play.run.options.check).of(task, None, words, scope)
                touched.setdefault(*((state.name, state) if found is None else (found.name, found.state)))
        except (InputError, Pending, UnknownValue, NeedsBarrier):
            continue  # whoever comes to the task looks again before it is sent
    return list(touched.values())


def _passes(play: PlayContext, state: HostState, task: Task) -> list[Scope]:
    scope = Variables(play, state, check=play.run.options.check).scope(task)
    if task.loop is None:
        return [scope]
    values = list_of(task.loop, play.run.templar, scope, task.position)
    return [scope.with_values("loop", {task.loop_control.loop_var: value}) for value in values]


def _is_local(play: PlayContext, state: HostState) -> bool:
    try:
        scope = play.target_scope(state)
        return (
            Target.from_variables(state.name, Mapped(scope), play.run.options.defaults).connection == "local"
        )
    except (InputError, Pending, UnknownValue, NeedsBarrier):
        return False
