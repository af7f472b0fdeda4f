"""A worker drives the walks of one host: it carries their requests to the agent and brings the answers back.

Write-ahead: an intent of the agent is on the journal's disk before the agent gets its word; a command's intent
is there before the batch leaves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from remedy.engine.barriers import Barriers
from remedy.engine.contact import Contact
from remedy.engine.context import PlayContext, RunContext
from remedy.engine.delegation import delegated, unknown_name
from remedy.engine.flight import Await, Barrier, Entry, Flight, Gate, Hello, Item, Pause, Request, Throttle
from remedy.engine.greeting import greeted
from remedy.engine.heard import Ear
from remedy.engine.here import run_here
from remedy.engine.intent import intent_of
from remedy.engine.ledger import planned
from remedy.engine.results import name_of_command
from remedy.engine.sessions import Sessions
from remedy.engine.state import HostState
from remedy.engine.walk import Walk
from remedy.engine.without_agent import run_raw
from remedy.errors import Interrupted, LinkLost, Refused, RemedyError, Unreachable
from remedy.events import UNCERTAIN, HostLeftOut, RoundTrips, SectionStarted, TaskStarted, Warned

if TYPE_CHECKING:
    from remedy.engine.crew import Crew

_PATIENCE = 0.5  # seconds between two looks at whether the operator wants to stop
_CLOSING = 5.0  # seconds for an agent to end

Places = dict[str, tuple[Entry, Item]]
Arrived = Callable[[Entry, Item, dict[str, Any]], None]


class Worker:
    """Works on one host for the length of a run; its link stays open from play to play.

    A task that another host delegates to this one uses the same link, from the other host's thread: whoever uses it
    holds `_busy`, and waits for nobody else the while.
    """

    def __init__(self, run: RunContext, state: HostState, crew: Crew) -> None:
        self.run = run
        self.state = state
        self.contact = Contact(run, state)
        self._ear = Ear(state.name)
        self._crew = crew
        self._slots = crew.slots
        self._busy = threading.Lock()
        self._gone: Unreachable | None = None
        self._closing: threading.Thread | None = None
        self.sessions = Sessions()
        self.round_trips = 0

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
            self._on(play, items[0].host, lambda there: there._fly(play, walk, request), walk, request)
        elif isinstance(request, Hello):
            self._on(play, request.host, lambda there: there._hear(play))
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

    # -- a flight

    def _fly(self, play: PlayContext, walk: Walk, flight: Flight) -> None:
        items = flight.items()
        places: Places = {
            item.message["id"]: (entry, item)
            for entry in flight.entries
            for item in entry.items
            if item.message is not None and not item.done
        }
        walk.settle(flight)
        place = places[str((items[0].message or {})["id"])][0].task.spec.place

        def arrived(entry: Entry, item: Item, message: dict[str, Any]) -> None:
            walk.ledger.arrived(entry, item, message)
            walk.settle(flight)

        if place == "controller":
            self._hear(play)
        self._announce(play, flight)
        try:
            if place in ("controller", "raw"):  # it travels alone: all items are the same task's
                for entry, item in places.values():
                    raw = place == "raw"
                    done = run_raw(self, play, item) if raw else run_here(self, play, walk, entry, item)
                    arrived(entry, item, done)
                return
            self.contact.carry(play, items)
            self.round_trips += 1
            self._listen(play, places, arrived)
        except Unreachable as error:
            walk.lost(flight, f"{error.message}; {self._fate(error)}")
            raise

    def _fate(self, error: Unreachable) -> str:
        """Say what became of a flight that did not land."""
        if error.reason == "locked":
            return "nothing was run"
        if not self.state.heard and not isinstance(error, LinkLost):
            return "nothing was sent"
        return UNCERTAIN

    def carry_one(
        self, play: PlayContext, entry: Entry, item: Item, *, finishing: bool = False
    ) -> dict[str, Any]:
        """Run one step on the host on behalf of a step that runs here; return its `result` frame.

        `finishing`: it puts right what an earlier step left half done, also where the operator stops the run.
        """
        answers: list[dict[str, Any]] = []
        self.contact.carry(play, [item])
        self.round_trips += 1
        place = {str((item.message or {})["id"]): (entry, item)}
        self._listen(play, place, lambda entry, item, message: answers.append(message), finishing=finishing)
        if not answers:
            raise LinkLost("link_lost", "the agent did not run a step", host=self.state.name)
        return answers[-1]

    def _hear(self, play: PlayContext) -> None:
        """Open the link, and wait until the host has said who it is."""
        self.contact.greet(play)
        while not self.state.heard:
            self._other(self._ear.listen(())(self.contact.receive()))

    def _announce(self, play: PlayContext, flight: Flight) -> None:
        """Put the commands' intents into the journal before they leave: nobody can ask them to wait."""
        written = False
        for entry in flight.entries:
            for item in entry.items:
                if item.message is None or item.done:
                    continue
                if not self.state.quiet:
                    self.run.bus.emit(
                        TaskStarted(host=entry.host, task=entry.task.title, module=entry.task.module)
                    )
                if item.kind == "command" and not item.reads and not item.message.get("check"):
                    name = name_of_command(item, hidden=entry.no_log)
                    self.intend(play, entry, item, {"object": name, "kind": "command"})
                    written = True
        if written:
            self.run.recorder.commit()

    def intend(self, play: PlayContext, entry: Entry, item: Item, intent: dict[str, Any]) -> None:
        """Put into the journal what is about to change."""
        self.run.bus.emit(intent_of(self.state, play.play.title, entry, item, intent))

    def _listen(
        self, play: PlayContext, places: Places, arrived: Arrived, *, finishing: bool = False
    ) -> None:
        """Take what the host says until the batch has ended."""
        heard = self._ear.listen(places)
        while True:
            message = heard(self.contact.receive(finishing=finishing))
            kind = message["t"]
            if kind == "intent":
                entry, item = places[message["step"]]
                self.intend(play, entry, item, message)
                objection = None if finishing else self.objection(play, entry, item, message)
                self._word(message, objection)
            elif kind == "result":
                entry, item = places[message["step"]]
                arrived(entry, item, message)
            elif kind == "ended":
                if message.get("why") == "locked":
                    raise Unreachable("locked", "another run is changing this host", host=self.state.name)
                if self.run.stop.is_set() and not finishing:
                    raise Interrupted("stopped by the operator")
                return
            else:
                self._other(message)

    def objection(self, play: PlayContext, entry: Entry, item: Item, intent: dict[str, Any]) -> str | None:
        """Return why a write must not be: the operator stops the run, or never approved this."""
        if self.run.stop.is_set():
            return "stopped by the operator"
        if item.guarded is None or play.gate is None:
            return None
        return play.gate.beyond(self.state.name, planned(entry, item, intent))

    def _word(self, intent: dict[str, Any], objection: str | None) -> None:
        """Give the word for a write once the journal holds its intent; the content it needs travels along."""
        word: dict[str, Any] = {"t": "word", "change": intent["change"], "step": intent["step"]}
        if objection is not None:
            word["refuse"] = objection
        else:
            try:
                self.run.recorder.commit()
                word["contents"] = {name: self.run.contents.data(name) for name in intent.get("needs") or ()}
            except (OSError, KeyError, RemedyError) as error:
                word["refuse"] = f"not written: {error}"
        self.contact.send(word)
        self.round_trips += 1

    def _other(self, message: dict[str, Any]) -> None:
        kind = message["t"]
        if kind == "hello":
            self.state.heard = True
            self.state.clock_skew = float(message.get("clock") or time.time()) - time.time()
            greeted(self.run, self.state, message, self._crew.machines)
        elif kind == "need":
            answer: dict[str, Any] = {
                "t": "content",
                "source": message["source"],
                "step": message.get("step"),
            }
            try:
                answer["data"] = self.run.contents.data(message["source"])
            except (OSError, KeyError) as error:
                answer["error"] = str(error)
            self.contact.send(answer)
            self.round_trips += 1
        elif kind == "identity_failed":
            raise Unreachable(message["reason"], message["message"], host=self.state.name)
        elif kind == "warn" and not self.state.quiet:
            self.run.bus.emit(Warned(message=message["text"], host=self.state.name))

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
