"""A worker drives the walks of one host: it carries their requests to the agent and brings the answers back.

Write-ahead: an intent of the agent is on the journal's disk before the agent gets its word; a command's intent
is there before the batch leaves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from remedy.engine.barriers import Barriers
from remedy.engine.contact import Contact
from remedy.engine.context import PlayContext, RunContext
from remedy.engine.flight import FAILED, OK, Barrier, Entry, Flight, Gate, Hello, Item, Pause, Request
from remedy.engine.greeting import Machines, greeted
from remedy.engine.heard import Ear
from remedy.engine.here import run_here
from remedy.engine.ledger import planned
from remedy.engine.results import name_of_command, text_of_command
from remedy.engine.sessions import Sessions
from remedy.engine.state import HostState
from remedy.engine.walk import Walk
from remedy.errors import Interrupted, LinkLost, Refused, RemedyError, Unreachable
from remedy.events import UNCERTAIN, HostLeftOut, Intent, RoundTrips, SectionStarted, TaskStarted, Warned

_RAW_SECONDS = 1800.0

Places = dict[str, tuple[Entry, Item]]
Arrived = Callable[[Entry, Item, dict[str, Any]], None]


class Worker:
    """Works on one host for the length of a run; its link stays open from play to play."""

    def __init__(
        self, run: RunContext, state: HostState, machines: Machines, slots: threading.Semaphore
    ) -> None:
        self.run = run
        self.state = state
        self.contact = Contact(run, state)
        self._ear = Ear(state.name)
        self._machines = machines
        self._slots = slots
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

    def _one(self, play: PlayContext, walk: Walk, request: Request, barriers: Barriers) -> None:
        if self.run.stop.is_set():
            raise Interrupted("stopped by the operator")
        if isinstance(request, Flight):
            if request.entries:
                barriers.at(self.state.name, request.entries[0].cursor.position)
            self._fly(play, walk, request)
        elif isinstance(request, Hello):
            self._hear(play)
        elif isinstance(request, Pause):
            if self.run.stop.wait(request.seconds):
                raise Interrupted("stopped by the operator")
        elif isinstance(request, Barrier):
            position = request.position
            self._wait(lambda: barriers.wait(self.state.name, position))
        elif isinstance(request, Gate):
            self._gate(play)

    def _wait(self, wait: Callable[[], None]) -> None:
        """Wait for other hosts without holding one of the forks."""
        self._slots.release()
        try:
            wait()
        finally:
            self._slots.acquire()

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
        ahead = Walk(play, shadow, check=True, only=("pre_tasks", "tasks", "post_tasks", "handlers"))
        for request in ahead.requests():
            self._one(play, ahead, request, play.rehearsal)
            # The pass may be what greets the host first, and its copy of the state is older than that.
            shadow.heard, shadow.clock_skew = self.state.heard, self.state.clock_skew
        play.rehearsal.leave(self.state.name)
        self._enter(play, "approval")
        gate.plan(self.state.name, ahead.ledger.guarded)
        self._wait(lambda: gate.answer(self.state.name))

    def _enter(self, play: PlayContext, section: str) -> None:
        self.run.bus.emit(SectionStarted(host=self.state.name, play=play.play.title, section=section))

    # -- a flight

    def _fly(self, play: PlayContext, walk: Walk, flight: Flight) -> None:
        items = flight.items()
        if not items:
            walk.settle(flight)
            return
        places: Places = {
            item.message["id"]: (entry, item)
            for entry in flight.entries
            for item in entry.items
            if item.message is not None and not item.done
        }
        walk.settle(flight)
        place = places[str((items[0].message or {})["id"])][0].task.spec.place
        if place == "raw":  # it travels alone: all items are the same task's
            self._announce(play, flight)
            for each in items:
                self._raw(play, walk, flight, *places[str((each.message or {})["id"])])
            return

        def arrived(entry: Entry, item: Item, message: dict[str, Any]) -> None:
            walk.ledger.arrived(entry, item, message)
            walk.settle(flight)

        if place == "controller":
            self._hear(play)
        self._announce(play, flight)
        try:
            if place == "controller":
                for entry, item in places.values():
                    arrived(entry, item, run_here(self, play, walk, entry, item))
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
                        TaskStarted(host=self.state.name, task=entry.task.title, module=entry.task.module)
                    )
                if item.kind == "command" and not item.reads and not item.message.get("check"):
                    name = name_of_command(item, hidden=entry.no_log)
                    self.intend(play, entry, item, {"object": name, "kind": "command"})
                    written = True
        if written:
            self.run.recorder.commit()

    def intend(self, play: PlayContext, entry: Entry, item: Item, intent: dict[str, Any]) -> None:
        message = item.message or {}
        identity = item.identity
        self.run.bus.emit(
            Intent(
                host=self.state.name,
                change=str(intent.get("change") or message["id"]),
                play=play.play.title,
                section=entry.section,
                task=entry.task.title,
                position=str(entry.task.position),
                module=message["module"],
                kind=str(intent.get("kind") or item.kind),
                object=str(intent.get("object", "")),
                before=intent.get("before"),
                want=intent.get("items") or intent.get("want"),  # a sweep's list is what may go
                kept=intent.get("kept"),
                irreversible=intent.get("irreversible"),
                params=dict(message["params"]),
                become={} if identity is None else identity.means(),
                notify=[str(name) for name in entry.task.notify],
                secret=entry.no_log or entry.secret,
                sealed=entry.sealed,
                lent=bool(message.get("lent")),
            )
        )

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
            greeted(self.run, self.state, message, self._machines)
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

    def _raw(self, play: PlayContext, walk: Walk, flight: Flight, entry: Entry, item: Item) -> None:
        """Run a raw command without the agent."""
        message = item.message or {}
        if message["check"]:
            skipped = {"status": "skipped", "reason": "check mode", "result": {}}
            walk.ledger.arrived(entry, item, skipped)
            walk.settle(flight)
            return
        began = time.monotonic()
        timeout = _RAW_SECONDS if message["timeout"] is None else message["timeout"]
        target = self.contact.target(play)
        try:
            rc, out, err = self.run.connector.raw(target, text_of_command(item), item.identity, timeout)
        except Unreachable as error:
            walk.lost(flight, f"{error.message}; {self._fate(error)}")
            raise
        except TimeoutError:
            outcome: dict[str, Any] = {
                "status": FAILED,
                "reason": f"no end within {timeout:g} s",
                "result": {"cause": "timeout"},
            }
        else:
            stdout, stderr = (part.decode("utf-8", "surrogateescape") for part in (out, err))
            outcome = {
                "status": FAILED if rc else OK,
                "reason": f"the command ended with {rc}" if rc else "",
                "result": {
                    "rc": rc,
                    "stdout": stdout,
                    "stderr": stderr,
                    "stdout_lines": stdout.splitlines(),
                    "stderr_lines": stderr.splitlines(),
                },
            }
        self.round_trips += 1
        walk.ledger.arrived(entry, item, {**outcome, "seconds": time.monotonic() - began})
        walk.settle(flight)

    # -- the end

    def _leave_out(self, error: Unreachable) -> None:
        self.state.left_out = error.reason
        self.run.bus.emit(
            HostLeftOut(
                host=self.state.name,
                reason=error.reason,
                message=error.message if not error.hint else f"{error.message}\n  {error.hint}",
                refused=error.reason == "locked",
            )
        )

    def _report_trips(self) -> None:
        self.run.bus.emit(
            RoundTrips(
                host=self.state.name,
                setup_trips=self.contact.setup_trips,
                round_trips=self.round_trips,
            )
        )
