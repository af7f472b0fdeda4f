"""What passes between here and one host: flights and their answers, intents, and the word that lets a write be.

Write-ahead: an intent of the agent is on the journal's disk before the agent gets its word; a command's intent
is there before the batch leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from remedy.engine.contact import Contact
from remedy.engine.context import PlayContext, RunContext
from remedy.engine.flight import Entry, Flight, Item
from remedy.engine.greeting import Machines, greeted
from remedy.engine.heard import Ear
from remedy.engine.here import run_here
from remedy.engine.intent import intent_of
from remedy.engine.ledger import planned
from remedy.engine.results import name_of_command
from remedy.engine.sessions import Sessions
from remedy.engine.state import HostState
from remedy.engine.walk import Walk
from remedy.engine.without_agent import run_raw
from remedy.errors import Interrupted, LinkLost, RemedyError, Unreachable
from remedy.events import UNCERTAIN, TaskStarted, Warned

Places = dict[str, tuple[Entry, Item]]
Arrived = Callable[[Entry, Item, dict[str, Any]], None]


class Carrier:
    """The link of one host, for whoever holds it: one thread at a time."""

    def __init__(self, run: RunContext, state: HostState, machines: Machines) -> None:
        self.run = run
        self.state = state
        self.contact = Contact(run, state)
        self.sessions = Sessions()
        self.round_trips = 0
        self._ear = Ear(state.name)
        self._machines = machines

    def fly(self, play: PlayContext, walk: Walk, flight: Flight) -> None:
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
            self.hear(play)
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

    def hear(self, play: PlayContext) -> None:
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
        if item.guard is None or play.gate is None:
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
