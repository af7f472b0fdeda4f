"""The start of a batch: all that needs no contact is settled, for every host, before any host is contacted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from remedy.engine.barriers import Barriers
from remedy.engine.context import PlayContext
from remedy.engine.flight import Await, Barrier, Flight, Gate, Request, Throttle
from remedy.engine.state import HostState
from remedy.engine.walk import Walk
from remedy.errors import InputError


class Start:
    """A walk and what it asks for now; `request` is None where it asks for nothing more."""

    def __init__(self, state: HostState, walk: Walk) -> None:
        self.state = state
        self.walk = walk
        self.requests = walk.requests()
        self.request: Request | None = None
        self.looked = False

    @property
    def name(self) -> str:
        return self.state.name

    def go_on(self) -> None:
        """Ask for the next request; an InputError names the host."""
        try:
            self.request = next(self.requests, None) if self.state.alive else None
        except InputError as error:
            error.host = error.host or self.name
            raise


def settle_ahead(play: PlayContext, starts: Sequence[Start]) -> Iterator[tuple[Start, InputError]]:
    """Carry out every host's requests up to the first that needs the host; yield what is wrong with the input."""
    for start in starts:
        try:
            start.go_on()
        except InputError as error:
            yield start, error
    moving = True
    while moving:
        moving = False
        for start in starts:
            try:
                while start.request is not None and _needs_nobody(play, start, start.request):
                    moving = True
                    start.go_on()
            except InputError as error:
                start.request = None
                yield start, error
            if start.request is None:
                play.barriers.leave(start.name)


def _needs_nobody(play: PlayContext, start: Start, request: Request) -> bool:
    if isinstance(request, Flight):
        if request.entries:
            play.barriers.at(start.name, request.entries[0].cursor.position)
        if request.items():
            return False
        start.walk.settle(request)
        return True
    if isinstance(request, Barrier):
        return play.barriers.reached(start.name, request.position)
    if isinstance(request, Await):
        return play.barriers.turns.done(request.key)
    if isinstance(request, Throttle):
        return play.barriers.turns.enter(request.key, start.name, request.most, wait=False)
    if isinstance(request, Gate):
        if play.gate is not None and not play.play.diagnose and not start.looked:
            start.looked = True
            _look_ahead(play, start.state)
        return play.gate is None
    return False


def _look_ahead(play: PlayContext, state: HostState) -> None:
    """Render what the check pass before the approval would send first; raises InputError."""
    shadow = state.fork()
    parts = ("pre_tasks", "tasks", "post_tasks", "handlers")
    walk = Walk(play, shadow, check=True, only=parts, barriers=Barriers(play.batch, ahead=True))
    ahead = Start(shadow, walk)
    ahead.go_on()
    while request := ahead.request:
        if isinstance(request, Flight) and not request.items():
            walk.settle(request)
        elif not isinstance(request, Barrier | Throttle):
            return
        ahead.go_on()
