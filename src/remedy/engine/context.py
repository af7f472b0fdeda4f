"""What the parts of a run share: one RunContext for the run, one PlayContext for each serial batch of a play."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct, field

from remedy.document import Map, load_file
from remedy.engine.approval import Approval, Approver, nobody
from remedy.engine.barriers import Barriers
from remedy.engine.bus import Bus, Recorder
from remedy.engine.guards import may_ask
from remedy.engine.keywords import Keywords, number_of
from remedy.engine.logins import Logins
from remedy.engine.options import Options
from remedy.engine.source import Contents
from remedy.engine.state import HostState, Others
from remedy.engine.variables import Variables
from remedy.errors import InputError, Position, Refused
from remedy.events import Warned
from remedy.inventory import Host, Inventory
from remedy.playbook import Include, Node, Play, load_tasks, walk
from remedy.project import Project
from remedy.secret import Secrets
from remedy.template import Layer, Scope, Templar
from remedy.template import Variables as Mapped
from remedy.transport import Identity, Line, Link, Target
from remedy.transport.reach import Address


class Connector(Protocol):
    """Opens links to hosts; the tests' one needs no host."""

    def open(
        self,
        target: Target,
        *,
        start: Mapping[str, Any],
        identity: Identity | None,
        first: Mapping[str, Any] | None,
    ) -> Link:
        """Return a link whose agent has been sent `start` and, in the same flight, `first`."""
        ...

    def raw(
        self, target: Target, command: str, identity: Identity | None, timeout: float
    ) -> tuple[int, bytes, bytes]:
        """Run a command without an agent; return (rc, stdout, stderr); TimeoutError after `timeout` seconds."""
        ...

    def reach(
        self,
        target: Target,
        addresses: Sequence[Address],
        identity: Identity | None,
        *,
        apart: bool,
        root_as: Sequence[str] = (),
    ) -> Line:
        """Return a line to a service of a host; `apart`: over a connection of its own; `root_as`: see transport."""
        ...

    def close(self, host: str) -> None:
        """Close the connection to a host."""
        ...


class Loan(Protocol):
    """A change that an earlier run made for a time, as its journal tells it; the object was `before`."""

    @property
    def run(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def module(self) -> str: ...
    @property
    def object(self) -> str: ...
    @property
    def params(self) -> Mapping[str, Any]: ...
    @property
    def before(self) -> Any: ...


class Loans(Protocol):
    """What earlier runs lent, and nobody has seen put back."""

    def of(self, host: str, warn: Callable[[str], None]) -> Sequence[Loan]:
        """Return the loans on a host; `warn` is told what cannot be read."""
        ...

    def back(self, loan: Any) -> None:
        """Remember that it was seen put back; raises RemedyError."""
        ...


class NoLoans:
    """Nothing was lent."""

    def of(self, host: str, warn: Callable[[str], None]) -> Sequence[Loan]:
        """Return none."""
        return ()

    def back(self, loan: Any) -> None:
        """Nothing to remember."""


class Journals(Protocol):
    """What earlier runs did to objects of hosts."""

    def last(self, host: str, name: str, warn: Callable[[str], None]) -> Any:
        """Return the last write to an object (run, before, want), None where there was none."""
        ...


class NoJournals:
    """Nothing was done."""

    def last(self, host: str, name: str, warn: Callable[[str], None]) -> Any:
        """Return None."""
        return None


class Growing(Protocol):
    """What grows on hosts, by what earlier runs measured."""

    def of(self, host: str, days: float, warn: Callable[[str], None]) -> list[dict[str, Any]]:
        """Return what was measured of a host in the last days: resource, object, used, limit, days_left and more."""
        ...


class NothingGrows:
    """Nothing was measured."""

    def of(self, host: str, days: float, warn: Callable[[str], None]) -> list[dict[str, Any]]:
        """Return none."""
        return []


class RunContext(Struct, frozen=True, kw_only=True):
    """What one run consists of."""

    id: str
    label: str
    options: Options
    project: Project
    inventory: Inventory
    templar: Templar
    secrets: Secrets
    bus: Bus
    recorder: Recorder
    connector: Connector
    loans: Loans = field(default_factory=NoLoans)
    journals: Journals = field(default_factory=NoJournals)
    growing: Growing = field(default_factory=NothingGrows)
    decrypt: Any = None
    sources: tuple[str, ...] = ()
    approver: Approver = nobody
    schedule: str = ""
    extra_vars: Layer = field(default_factory=lambda: Layer("extra vars", {}))
    contents: Contents = field(default_factory=Contents)
    stop: threading.Event = field(default_factory=threading.Event)
    others: Others = field(default_factory=Others)
    logins: Logins = field(default_factory=Logins)


class PlayContext:
    """One serial batch of a play."""

    def __init__(
        self,
        run: RunContext,
        path: Path,
        play: Play,
        hosts: tuple[str, ...],
        batch: tuple[str, ...],
        states: Mapping[str, HostState],
    ) -> None:
        self.run = run
        self.play = play
        self.playbook_dir = path.resolve().parent
        self.hosts = hosts
        self.batch = batch
        self.states = states
        self.barriers = Barriers(batch)
        self.rehearsal = Barriers(
            batch
        )  # of the check pass before the approval: who waits there stands still here
        self.gate: Approval | None = None
        self.aborted = False
        self.ended = False
        self.refused: Refused | None = None
        self.play_vars = Layer("play vars", play.vars)
        self._tasks: dict[tuple[Path, str], tuple[Node, ...]] = {}
        self._layers: dict[str, tuple[Layer, ...]] = {}
        self._failed: set[str] = set()
        self._guard = threading.Lock()
        nodes = [found for _, section in play.sections() for found in walk(section)]
        self.fatal = any(
            bool(each.any_errors_fatal) for node, outer in nodes for each in (play, *outer, node)
        )
        self.delegates = any(each.delegate_to for node, outer in nodes for each in (*outer, node))
        self.lockstep = len(batch) > 1 and (
            play.strategy == "linear" or self.fatal or play.max_fail_percentage is not None
        )
        asks = not run.options.yes and run.options.changes and any(may_ask(play, node) for node, _ in nodes)
        if asks:
            self.gate = Approval(
                batch,
                run.approver,
                told=lambda leave, plans: run.bus.emit(leave.event(play.title, plans)),
            )

    @property
    def asks(self) -> bool:
        """Say whether the fix needs an approval that nobody has given yet."""
        return self.gate is not None

    def inventory_layers(self, host: Host) -> tuple[Layer, ...]:
        """Return the layers that the inventory gives a host (the third to the tenth of Ansible's order)."""
        with self._guard:
            if host.name not in self._layers:
                self._layers[host.name] = tuple(self.run.inventory.layers(host, self.playbook_dir))
            return self._layers[host.name]

    def other(self, host: Host) -> HostState:
        """Return what the run knows about a host that may belong to none of its plays."""
        return self.states.get(host.name) or self.run.others.state(host)

    def commands(self, state: HostState, host: str | None) -> list[tuple[str, str]]:
        """Return what check mode has left out on the host that a task touches (None: its own, which is `state`)."""
        if host is None or state.quiet:  # a check pass leaves no trace on another host
            return state.commands
        return self.other(self.run.inventory.named(host)).commands

    def vars_files(self, scope: Scope) -> tuple[Layer, ...]:
        """Read the play's vars_files; of a list of alternatives the first that exists counts."""
        layers = []
        for written in self.play.vars_files:
            choices = written if isinstance(written, tuple) else (written,)
            names = [
                str(self.run.templar.render(choice, scope, where=self.play.position)) for choice in choices
            ]
            paths = [self.playbook_dir / name for name in names]
            found = next((path for path in paths if path.is_file()), None)
            if found is None:
                raise InputError(
                    f"vars_files: '{names[0]}' does not exist",
                    where=self.play.position,
                    hint=f"looked at {', '.join(map(str, paths))}",
                )
            values = load_file(found, vault=self.run.decrypt)
            if values is None:
                continue
            if not isinstance(values, Map):
                raise InputError(
                    "the file holds no variables",
                    where=Position(str(found), 1),
                    hint="expected a mapping of variables: name: value",
                )
            layers.append(Layer(f"vars_files {found.name}", values))
        return tuple(layers)

    def tasks_file(self, name: str, include: Include, section: str) -> tuple[Node, ...]:
        """Read what an include_tasks brings; the same file is read once for all hosts."""
        path = self.run.project.tasks_file(name, Path(include.position.file).parent, include.position)
        with self._guard:
            if (path, section) not in self._tasks:
                self._tasks[path, section] = load_tasks(
                    path,
                    project=self.run.project,
                    section=section,
                    play=self.play,
                    vault_decrypt=self.run.decrypt,
                )
            return self._tasks[path, section]

    def variables_of(self, name: str) -> Any:
        """Return what `hostvars` gives of a host: its variables, resolved when they are asked for."""
        state = self.states.get(name) or HostState(self.run.inventory.host(name))
        return Mapped(Variables(self, state, check=self.run.options.check).scope())

    def target_scope(self, state: HostState) -> Scope:
        """Return the scope in which a host's connection variables are read."""
        return Variables(self, state, check=self.run.options.check).scope()

    def failed(self, name: str, words: Keywords | None) -> None:
        """A host failed: any_errors_fatal and max_fail_percentage may stop the others."""
        play, templar, where = self.play, self.run.templar, self.play.position
        fatal = words.values.get("any_errors_fatal") if words else play.any_errors_fatal
        limit = play.max_fail_percentage
        try:
            scope = self.target_scope(self.states[name])
            if isinstance(fatal, str):
                fatal = templar.condition(fatal, scope, where=where)
            if limit is not None:
                limit = number_of("max_fail_percentage", limit, templar, scope, where)
        except InputError as error:
            fatal = True  # nobody knows how many failures were meant to be borne
            self.run.bus.emit(Warned(message=str(error), host=name))
        with self._guard:
            self._failed.add(name)
            share = 100 * len(self._failed) / len(self.batch)
            if fatal or (limit is not None and share > float(limit)):
                self.aborted = True

    def leave(self, name: str) -> None:
        """A host is done with this play, or out: nobody waits for it any more."""
        self.barriers.leave(name)
        self.rehearsal.leave(name)
        if self.gate is not None:
            self.gate.nothing(name)

    def end(self) -> None:
        """A task asked for the end of the play on all hosts."""
        self.ended = self.aborted = True
