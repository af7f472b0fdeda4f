"""The bus: nothing is told before a run has begun, and it knows when the run is over."""

from __future__ import annotations

from remedy.engine.bus import Bus
from remedy.events import Event, RunEnded, Warned
from remedy.secret import Secrets


def test_what_comes_before_the_beginning_is_held_back_and_the_end_is_known() -> None:
    heard: list[Event] = []
    bus = Bus([heard.append], Secrets())
    bus.emit(Warned(message="early"))
    assert (heard, bus.begun, bus.ended) == ([], False, False)
    bus.begin()
    assert (len(heard), bus.begun, bus.ended) == (1, True, False)
    bus.emit(RunEnded(run="run", outcome="ok", exit_code=0, seconds=1.0))
    assert (len(heard), bus.ended) == (2, True)
