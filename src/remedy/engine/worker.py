"""A worker drives the walks of one host: it carries their requests to the host, and waits where they must wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from remedy.engine.barriers import Barriers
from remedy.engine.carrier import Carrier
from remedy.engine.context import PlayContext, RunContext
from remedy.engine.delegation import delegated, unknown_name
from remedy.engine.flight import Await, Barrier, Flight, Gate, Hello, Pause, Request, Throttle
from remedy.engine.state import HostState
from remedy.engine.walk import Walk
from remedy.errors import Interrupted, LinkLost, Refused, RemedyError, Unreachable
from remedy.events import HostLeftOut, RoundTrips, SectionStarted, Warned

if TYPE_CHECKING:
    from remedy.engine.crew import Crew

_PATIENCE = 0.5  # seconds between two looks at whether the operator wants to stop
_CLOSING = 5.0  # seconds for an agent to end


class Worker(Carrier):
    """Works on one host for the length of a run; its link stays open from play to play.

    A task that another host delegates to this one uses the same link, from the other host's thread: whoever uses it
    holds `_busy`, and waits for nobody else the while.
    """

    def __init__(self, run: RunContext, state: HostState, crew: Crew) -> None:
        super().__init__(run, state, crew.machines)
        self._crew = crew
        self._slots = crew.slots
        self._busy = threading.Lock()
        self._gone: Unreachable | None = None
        self._closing: threading.Thread | None = None

    # -- driving

    def drive(
        self, play: PlayContext, walk: Walk, requests: Iterator[Request], first: Request | None
    ) -> None:
        """Carry out a walk's requests until it ends or the host is lost; never raises for the host's sake."""
        self._slots.acquire()
        try:
            if play.gate is not None:
                play.gate.began()
            request = first
            while request is not None:
                self._one(play, walk, request, play.barriers)
                request = next(requests, None) if self.state.alive else None
        except Unreachable as error:
            self._leave_out(error)
        except Refused as error:
            self.state.left_out = "approval"
            play.refused = error
        except Interrupted:
            self.state.left_out = "interrupted"
        except RemedyError as error:
            self.state.failed = True
            self.run.bus.emit(Warned(message=str(error), host=self.state.name))
        except BaseException as error:
            # One host's surprise must not take the others' run with it; the exit code still says "internal".
            self.state.broken = error
            self._gone = LinkLost("link_lost", "an internal error has ended its work", host=self.state.name)
            self.run.bus.emit(Warned(message=f"internal error: {error!r}", host=self.state.name))
        finally:
            self._slots.release()
            play.leave(self.state.name)
            self._report_trips()

    def close(self) -> threading.Thread:
        """Begin to end the host's agent and connection; nobody waits for one that hangs. A second call joins in."""
        if self._closing is None:
            name = f"close {self.state.name}"
            self._closing = threading.Thread(target=self._close, name=name, daemon=True)
            self._closing.start()
        return self._closing

    def _close(self) -> None:
        try:
            self.sessions.close()
        finally:
            self.contact.close()

    def rest(self) -> None:
        """Close, unless another host's task is at work here; it may be wanted again."""
        if self._busy.acquire(blocking=False):
            try:
                self.close()
            finally:
                self._busy.release()

    def _one(self, play: PlayContext, walk: Walk, request: Request, barriers: Barriers) -> None:
        if self.run.stop.is_set():
            raise Interrupted("stopped by the operator")
        if isinstance(request, Flight):
            if request.entries:
                barriers.at(self.state.name, request.entries[0].cursor.position)
            items = request.items()
            if not items:
                return walk.settle(request)
            self._on(play, items[0].host, lambda there: there.fly(play, walk, request), walk, request)
        elif isinstance(request, Hello):
            self._on(play, request.host, lambda there: there.hear(play))
        elif isinstance(request, Pause):
            if self.run.stop.wait(request.seconds):
                raise Interrupted("stopped by the operator")
        elif isinstance(request, Barrier):
            position = request.position
            self._wait(lambda: barriers.wait(self.state.name, position))
            if barriers is play.rehearsal and play.gate is not None:
                play.gate.began()  # who has waited for the others is not late for that
        elif isinstance(request, Await):
            key = request.key
            self._wait(lambda: barriers.turns.wait(key))
        elif isinstance(request, Throttle):
            key, most = request.key, request.most
            self._wait(lambda: barriers.turns.enter(key, self.state.name, most))
        elif isinstance(request, Gate):
            self._gate(play)

    def _wait(self, wait: Callable[[], object]) -> None:
        """Wait for other hosts without holding one of the forks."""
        self._slots.release()
        try:
            wait()
        finally:
            self._slots.acquire()

    # -- on this host, or on the one that a task is delegated to

    def _on(
        self,
        play: PlayContext,
        name: str | None,
        do: Callable[[Worker], None],
        walk: Walk | None = None,
        flight: Flight | None = None,
    ) -> None:
        """Let a host's worker do something with its link, in this thread; `flight` is what is lost without it."""
        if name is None:
            self._alone(do)
            return
        there = self._crew.worker(delegated(play, name, play.play.position))

        def serve(there: Worker) -> None:
            before = there.round_trips
            if there._gone is not None:  # nobody waits twice for a host that does not answer
                if walk is not None and flight is not None:
                    walk.lost(flight, f"{there._gone.message}; nothing was sent")
                raise there._gone
            try:
                do(there)
            except Unreachable as error:
                there._gone = error
                raise
            finally:
                self.round_trips += there.round_trips - before
                there.round_trips = before

        try:
            there._alone(serve)
        except Unreachable as error:
            hint = unknown_name(play, there.state) or error.hint
            text = f"'{name}', which a task is delegated to: {error.message}"
            raise Unreachable(error.reason, text, hint=hint, host=self.state.name) from error

    def _alone(self, do: Callable[[Worker], None]) -> None:
        """Use the link when nobody else does."""
        while not self._busy.acquire(timeout=_PATIENCE):
            if self.run.stop.is_set():
                raise Interrupted("stopped by the operator")
        try:
            if self._closing is not None:
                self._closing.join(_CLOSING)
                self._closing = None
            do(self)
        finally:
            self._busy.release()

    def _gate(self, play: PlayContext) -> None:
        """Without --yes, make a check pass over the fix and let all hosts' plans be judged together."""
        gate = play.gate
        if gate is None:
            return
        if play.play.diagnose and not self.state.findings:
            gate.nothing(self.state.name)
            play.rehearsal.leave(self.state.name)
            return
        self._enter(play, "check")
        shadow = self.state.fork()
        parts = ("pre_tasks", "tasks", "post_tasks", "handlers")
        ahead = Walk(play, shadow, check=True, only=parts, barriers=play.rehearsal)
        for request in ahead.requests():
            self._one(play, ahead, request, play.rehearsal)
            # The pass may be what greets the host first, and its copy of the state is older than that.
            shadow.heard, shadow.clock_skew = self.state.heard, self.state.clock_skew
        play.rehearsal.leave(self.state.name)
        self._enter(play, "approval")
        gate.plan(self.state.name, ahead.ledger.planned)
        self._wait(lambda: gate.answer(self.state.name))

    def _enter(self, play: PlayContext, section: str) -> None:
        self.run.bus.emit(SectionStarted(host=self.state.name, play=play.play.title, section=section))

    # -- the end

    def _leave_out(self, error: Unreachable) -> None:
        self.state.left_out = error.reason
        if error.__cause__ is None or not isinstance(error.__cause__, Unreachable):
            self._gone = error  # else it is another host that is out of reach
        self.run.bus.emit(
            HostLeftOut(
                host=self.state.name,
                reason=error.reason,
                message=error.message if not error.hint else f"{error.message}\n  {error.hint}",
                refused=error.reason == "locked",
            )
        )

    def _report_trips(self) -> None:
        setup = self.contact.setup_trips
        self.run.bus.emit(RoundTrips(host=self.state.name, setup_trips=setup, round_trips=self.round_trips))
