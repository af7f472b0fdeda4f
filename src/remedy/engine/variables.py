"""The variables of one host in one play: the layers of Ansible's precedence, low to high."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from remedy.engine.cursor import Cursor
from remedy.engine.state import HostState
from remedy.playbook import Task
from remedy.template import FACTS, Layer, Scope
from remedy.template import Variables as Mapped

if TYPE_CHECKING:
    from remedy.engine.context import PlayContext


class NeedsBarrier(BaseException):
    """A template asks for another host's variables before every host has come this far.

    A BaseException, so that no filter's `except Exception` swallows it.
    """


class Variables:
    """Makes the scopes of one host in one play."""

    def __init__(self, play: PlayContext, state: HostState, *, check: bool) -> None:
        self._play = play
        self._state = state
        self.in_flight: set[str] = set()
        self.provisional: dict[str, Any] = {}
        self.raised: dict[str, Any] = {}
        self.under_way: list[tuple[str, str]] = []
        self.barrier_passed = False
        self._inventory = play.inventory_layers(state.host)
        self._magic = dict(play.run.inventory.magic(state.host))
        self._magic.update(
            playbook_dir=str(play.playbook_dir),
            play_hosts=list(play.batch),
            ansible_play_hosts=list(play.batch),
            ansible_play_batch=list(play.batch),
            ansible_play_hosts_all=list(play.hosts),
            ansible_check_mode=check,
            ansible_diff_mode=play.run.options.diff,
            ansible_version={"full": "2.19.0", "major": 2, "minor": 19, "revision": 0, "string": "2.19.0"},
            # Ansible's own default: a file that Ansible wrote from the same template stays as it is.
            ansible_managed="Ansible managed",
            hostvars=HostVars(play, self),
        )
        self._files: tuple[Layer, ...] = ()
        self._files = play.vars_files(self.scope())

    @property
    def name(self) -> str:
        return self._state.name

    def scope(self, task: Task | None = None, cursor: Cursor | None = None) -> Scope:
        """Return the scope of a task at a cursor."""
        state = self._state
        block = cursor.layers if cursor is not None else ()
        live = {"ansible_facts": state.facts, "findings": self.findings()}
        layers = [
            *self._inventory,
            Layer(FACTS, {f"ansible_{name}": value for name, value in state.facts.items()}, data=True),
            self._play.play_vars,
            *self._files,
            *(layer for layer in block if layer.name != INCLUDE),
            *([Layer("task vars", task.vars)] if task is not None and task.vars else ()),
            Layer("set_fact and registered", state.variables, data=True),
            *([Layer("on its way", self.provisional, data=True)] if self.provisional else ()),
            *(layer for layer in block if layer.name == INCLUDE),
            self._play.run.extra_vars,
            Layer("magic", {**self._magic, **live}, data=True),
        ]
        return self._play.run.templar.scope(layers, pending=self.in_flight)

    def findings(self) -> dict[str, Any]:
        """Return the magic variable `findings`, with those raised in this flight."""
        known = {id: found.as_variable() for id, found in self._state.findings.items()}
        return {**known, **self.raised}

    def landed(self) -> None:
        """Everything in flight is settled: what was provisional is committed or void."""
        self.in_flight.clear()
        self.under_way = []
        self.provisional = {}
        self.raised = {}


INCLUDE = "include params"


class HostVars(Mapping[str, Any]):
    """`hostvars`: the variables of any host of the inventory; of others only once all have come this far."""

    def __init__(self, play: PlayContext, asker: Variables) -> None:
        self._play = play
        self._asker = asker

    def __getitem__(self, name: str) -> Any:
        if name == self._asker.name:
            return Mapped(self._asker.scope())  # it sees what is on its way, and what was set ahead of it
        if name in self._play.batch and len(self._play.batch) > 1 and not self._asker.barrier_passed:
            raise NeedsBarrier(name)
        return self._play.variables_of(name)

    def __iter__(self) -> Iterator[str]:
        return iter(host.name for host in self._play.run.inventory.hosts)

    def __len__(self) -> int:
        return len(self._play.run.inventory.hosts)
