"""A whole run: plays in order, each in serial batches, every host with a worker of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from remedy.engine.context import PlayContext, RunContext
from remedy.engine.crew import Crew
from remedy.engine.delegation import look_ahead
from remedy.engine.marked import refuse_ahead, refuse_undo
from remedy.engine.options import CHECK, DIAGNOSE
from remedy.engine.start import Start, settle_ahead
from remedy.engine.state import HostState
from remedy.engine.undo import Undoing, UndoWalk
from remedy.engine.walk import Walk
from remedy.errors import InputError, Refused, RemedyError
from remedy.events import PlayStarted, RunEnded, RunStarted, TaskDone, Warned
from remedy.inventory import Host
from remedy.playbook import Play, Playbook, batches

Maker = Callable[[PlayContext, HostState], Walk]

_CLOSING = 5.0  # seconds for all hosts together to end their agents
_SEVERITIES = ("P0", "P1", "P2", "P3")


class Run:
    """Plays a playbook on hosts and says how it ended."""

    def __init__(self, context: RunContext, hosts: list[Host]) -> None:
        self._run = context
        self._states = {host.name: HostState(host) for host in hosts}
        self._crew = Crew(context)
        self._refused: Refused | None = None
        self._later: frozenset[str] | set[str] = frozenset()  # the hosts that a later play needs
        self._began = time.monotonic()

    def play(self, playbook: Playbook, inventory: str, user: str, arguments: list[str]) -> int:
        """Run every play; return the exit code. Raises InputError before any host is contacted."""
        check = self._run.options.mode == CHECK

        def make(context: PlayContext, state: HostState) -> Walk:
            return Walk(context, state, check=check)

        def plays() -> None:
            named = [
                [
                    host.name
                    for host in self._run.inventory.select(str(play.hosts))
                    if host.name in self._states
                ]
                for play in playbook.plays
            ]
            for play, names in zip(playbook.plays, named, strict=True):
                context = self._context(playbook.path, play, names)
                look_ahead(context)
                refuse_ahead(context)
            for number, (play, names) in enumerate(zip(playbook.plays, named, strict=True), 1):
                if self._over:
                    return
                self._later = {name for each in named[number:] for name in each}
                self._play(playbook.path, play, names, make)

        return self._whole(plays, str(playbook.path), inventory, user, arguments)

    def undo(
        self,
        path: Path,
        undoings: Sequence[Undoing],
        inventory: str,
        user: str,
        arguments: list[str],
        *,
        check: bool,
    ) -> int:
        """Take changes back, play by play; return the exit code."""

        def plays() -> None:
            for each in undoings:
                reached = [name for name in each.hosts if name in self._states]
                context = self._context(path, each.play, reached)
                for name in reached:
                    for change in each.hosts[name]:
                        refuse_undo(context, change.module, change.task, name)
            for number, each in enumerate(undoings, 1):
                if self._over:
                    return
                self._later = {name for other in undoings[number:] for name in other.hosts}
                names = self._in_order(each)
                # A handler that another host's change had notified runs once all changes of the play are undone.
                play = replace(each.play, serial=()) if each.crosses else each.play
                self._play(path, play, names, partial(_undo_walk, each, check), backwards=True)

        return self._whole(plays, str(path), inventory, user, arguments)

    def _in_order(self, undoing: Undoing) -> list[str]:
        """Return the hosts of an undoing in the order in which its play, where it is serial, took them."""
        names = [name for name in undoing.hosts if name in self._states]
        if not undoing.play.serial:
            return names
        played = [host.name for host in self._run.inventory.select(str(undoing.play.hosts))]
        # Hosts that tasks were delegated to (standbys of a primary, mostly) go back behind all others.
        return [*(name for name in names if name not in played), *(name for name in played if name in names)]

    @property
    def _over(self) -> bool:
        return self._run.stop.is_set() or self._refused is not None

    def _whole(
        self, plays: Callable[[], None], playbook: str, inventory: str, user: str, arguments: list[str]
    ) -> int:
        run = self._run
        run.bus.emit(
            RunStarted(
                run=run.id,
                playbook=playbook,
                inventory=inventory,
                mode=run.options.mode,
                user=user,
                hosts=list(self._states),
                arguments=arguments,
                sources=list(run.sources),
                started_in=str(Path.cwd()),
                schedule=run.schedule,
            )
        )
        code = 1
        try:
            plays()
            run.bus.begin()
            code = self.exit_code()
        except RemedyError as error:
            code = error.exit_code
            raise
        except KeyboardInterrupt:
            code = 99
            raise
        finally:
            try:
                self._close()
            except KeyboardInterrupt:
                code = 99
                raise
            finally:
                self._end(code)
        if self._refused is not None and code == self._refused.exit_code:
            raise self._refused
        return code

    def _context(self, path: Path, play: Play, names: Sequence[str]) -> PlayContext:
        """Return the play as it is for these hosts together, for what is looked at before any of them is contacted."""
        return PlayContext(self._run, path, play, tuple(names), tuple(names), self._states)

    def _play(
        self, path: Path, play: Play, named: list[str], make: Maker, *, backwards: bool = False
    ) -> None:
        run = self._run
        alive = [name for name in named if self._states[name].alive]
        if not alive:
            return
        run.bus.emit(PlayStarted(play=play.title, hosts=alive, runbook=bool(play.diagnose)))
        waiting = len(alive)
        groups = self._batches(play, alive)
        # What had to come last (a primary, behind its standbys) goes back first.
        for batch in reversed(groups) if backwards else groups:
            waiting -= len(batch)
            context = PlayContext(run, path, play, tuple(alive), tuple(batch), self._states)
            self._batch(context, make)
            later = context.gate.later if context.gate is not None else None
            self._refused = self._refused or context.refused or later
            if context.ended or context.aborted or self._over:
                return
            if not any(self._states[name].alive for name in batch):
                if waiting:
                    text = f"every host of the batch failed: '{play.title}' does not begin on the other {waiting}"
                    run.bus.emit(Warned(message=text))
                return

    def _batches(self, play: Play, hosts: list[str]) -> list[list[str]]:
        templar = self._run.templar
        try:
            sizes = [templar.render(size, templar.scope([self._run.extra_vars])) for size in play.serial]
            return batches(hosts, sizes, play.position)
        except InputError as error:
            self._stumble(play, hosts, error)
            return []

    def _stumble(self, play: Play, hosts: Sequence[str], error: InputError) -> None:
        """Bad input: before the first contact it ends the run, after it these hosts have failed."""
        if not self._run.bus.begun:
            raise error
        for name in hosts:
            self._states[name].failed = True
            failed = TaskDone(
                host=name,
                play=play.title,
                section="begin",
                task="begin the play",
                position=str(play.position),
                module="meta",
                status="failed",
                reason=str(error),
                seconds=0.0,
                result={"changed": False, "failed": True, "msg": str(error)},
            )
            self._run.bus.emit(failed)

    def _batch(self, play: PlayContext, make: Maker) -> None:
        # All that can be rendered before the first contact is rendered for all hosts before any is contacted.
        started: list[Start] = []
        for name in play.batch:
            try:
                started.append(self._start(play, self._states[name], make))
            except InputError as error:
                self._stumble(play.play, [name], error)
                play.leave(name)
        for start, wrong in settle_ahead(play, started):
            self._stumble(play.play, [start.name], wrong)
        self._run.bus.begin()
        ends = [self._set_off(play, start) for start in started]
        try:
            _wait(ends)
        except KeyboardInterrupt:
            self._stop(play)
            _wait(ends)

    def _set_off(self, play: PlayContext, start: Start) -> threading.Event:
        """Let a host's work begin; return what tells its end.

        Not Thread.join: before Python 3.13 one that Ctrl-C interrupts takes a living thread for dead
        (https://github.com/python/cpython/issues/90882).
        """
        ended = threading.Event()

        worker = self._crew.worker(start.state)

        def drive() -> None:
            try:
                worker.drive(play, start.walk, start.requests, start.request)
                if (start.name not in self._later or not start.state.alive) and not play.delegates:
                    worker.rest()  # a thousand links are not kept open for hosts that are done
            except RemedyError:
                if not self._run.bus.ended:
                    raise
                # The run has ended without waiting for this host, and nobody listens any more.
            finally:
                ended.set()

        threading.Thread(target=drive, name=f"host {start.name}", daemon=True).start()
        return ended

    def _start(self, play: PlayContext, state: HostState, make: Maker) -> Start:
        state.findings, state.again = {}, {}
        walk = make(play, state)
        self._crew.worker(state).contact.target(play)
        return Start(state, walk)

    def _stop(self, play: PlayContext) -> None:
        """Ask every host to stop: what must not be cut off finishes, nothing new starts."""
        self._run.stop.set()
        play.barriers.open()
        play.rehearsal.open()
        self._run.bus.emit(
            Warned(message="stopping: steps that must not be cut off finish first (Ctrl-C again: at once)")
        )

    def _close(self) -> None:
        closing = self._crew.close()
        until = time.monotonic() + _CLOSING
        for thread in closing:
            thread.join(max(0.0, until - time.monotonic()))

    def exit_code(self) -> int:
        """Return the first that applies of DESIGN's exit codes."""
        states = self._states.values()
        if any(state.broken for state in states):
            return 1
        reasons = {state.left_out for state in states if state.left_out}
        if "same_machine" in reasons:
            return 5
        if self._run.stop.is_set():
            return 99
        if self._refused is not None or "locked" in reasons:
            return 3
        if reasons:
            return 4
        if any(state.failed or state.unfinished for state in states):
            return 2
        options = self._run.options
        if options.mode == CHECK and options.fail_on_change and any(state.predicted for state in states):
            return 11
        limit = _SEVERITIES.index(options.fail_on)
        found = (finding.severity for state in states for finding in state.findings.values())
        if options.mode == DIAGNOSE and any(_SEVERITIES.index(severity) <= limit for severity in found):
            return 10
        return 0

    def _end(self, code: int) -> None:
        outcome = {
            0: "ok",
            2: "failed",
            3: "refused",
            4: "unreachable",
            5: "refused",
            10: "findings",
            11: "changes_pending",
            99: "interrupted",
        }.get(code, "error")
        with suppress(RemedyError):
            seconds = time.monotonic() - self._began
            self._run.bus.emit(RunEnded(run=self._run.id, outcome=outcome, exit_code=code, seconds=seconds))


def _undo_walk(undoing: Undoing, check: bool, play: PlayContext, state: HostState) -> Walk:
    return UndoWalk(play, state, undoing.hosts[state.name], check=check, crosses=undoing.crosses)


def _wait(ends: list[threading.Event]) -> None:
    for end in ends:
        while not end.wait(0.2):
            pass
