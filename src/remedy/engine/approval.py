"""Approval: what would be destroyed or interrupted is shown, for all hosts together, before the first write."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from remedy.engine.guards import KINDS
from remedy.errors import Refused, RemedyError, Unreachable
from remedy.events import Approved

PATIENCE = 30.0
"""Seconds after which hosts whose diagnose and check pass have not ended are left out."""


class Planned(Struct, frozen=True, kw_only=True):
    """One step as the check pass foresaw it: `guarded` says that it destroys ("destructive"), interrupts ("disruptive")
    or does both, empty that it does neither; `attended`, that it is marked ! and nothing that answers by itself may
    approve it.

    The latter are shown beside the others, never asked about. `means` says what a step comes to where the object's id
    does not. `items` are what a Sweep would take, as {item, reason, size, perhaps count and noun}; `before` and
    `after` are the object's states, `happened` says instead what an Action would do; `bytes` is what it would free;
    `kept` what it would leave, as {item, reason}; `unknown`: the check pass could not tell, for this `reason`, and the
    play asks when it comes to it. `host` is the one that the step is delegated to, "" where it is the host's whose plan
    it is.
    """

    task: str
    guarded: frozenset[str]
    object: str
    attended: bool = False
    means: str = ""
    items: tuple[Mapping[str, Any], ...] = ()
    bytes: int | None = None
    kept: tuple[Mapping[str, Any], ...] = ()
    unknown: bool = False
    reason: str = ""
    host: str = ""
    before: Any = None
    after: Any = None
    happened: str = ""

    @property
    def mark(self) -> str:
        """Return what the texts of an approval add to it."""
        return " (!)" if self.attended else ""

    def told(self, words: Mapping[str, str], between: str = " and ") -> str:
        """Return how it is guarded, in these words."""
        return between.join(words[kind] for kind in KINDS if kind in self.guarded)


Plans = Mapping[str, Sequence[Planned]]
"""The host that is touched to steps, only hosts where something would be destroyed or interrupted."""


class Leave(Struct, frozen=True, kw_only=True):
    """On whose word a plan happens; the rest only where that person had granted it ahead: see events.Approved."""

    by: str
    schedule: str = ""
    kinds: tuple[str, ...] = ()
    at_most: str = ""
    until: str = ""

    def event(self, play: str, plans: Plans) -> Approved:
        """Return what the journal holds of it."""
        return Approved(
            play=play,
            by=self.by,
            steps=[_said_to(host, step) for host in plans for step in plans[host] if step.guarded],
            schedule=self.schedule,
            kinds=list(self.kinds),
            at_most=self.at_most,
            until=self.until,
        )


Approver = Callable[[Plans], Leave | None]
"""Shows plans to whoever may approve them, one call at a time; raises Refused where the answer is no.

Of steps that are all unknown nobody need be asked yet: it raises Refused where nobody will be there later, and returns
None where somebody will.
"""


def nobody(plans: Plans) -> None:
    """Refuse: nobody is there to be asked."""
    steps = [
        f"    {host}: {each.task}: {each.told({kind: kind for kind in KINDS})}: {each.object}{each.mark}"
        for host in plans
        for each in plans[host]
        if each.guarded
    ]
    text = "this play would destroy or interrupt, and nobody has approved it:\n" + "\n".join(steps)
    raise Refused(text, hint="look at it with --check --diff, then run it again with --yes")


class Approval:
    """The plans of all hosts of a batch, and the one answer to them."""

    def __init__(
        self,
        hosts: Iterable[str],
        approver: Approver,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        told: Callable[[Leave, Plans], None] = lambda leave, plans: None,
    ) -> None:
        """`told` hears of each yes, before anything is done on it."""
        self._missing = set(hosts)
        self._plans: dict[str, Sequence[Planned]] = {}
        self._approver = approver
        self._told = told
        self._patience = patience
        self._clock = clock
        self._until = clock() + patience
        self._changed = threading.Condition()
        self._asked = False
        self._answered = False
        self._refusal: RemedyError | None = None
        self.later: Refused | None = None
        """The first "no" to what the plans did not show."""

    def began(self) -> None:
        """A host has begun its diagnose: one that had to wait for its turn (forks) is not late for that."""
        with self._changed:
            self._until = self._clock() + self._patience
            self._changed.notify_all()

    def nothing(self, host: str) -> None:
        """A host has nothing to be asked about (healthy, failed or left out)."""
        self.plan(host, ())

    def plan(self, host: str, steps: Sequence[Planned]) -> None:
        """Take what a host's check pass foresaw."""
        with self._changed:
            if host in self._missing and not self._asked:
                self._missing.discard(host)
                self._plans[host] = tuple(steps)
                self._changed.notify_all()

    def answer(self, host: str) -> None:
        """Wait for the other hosts and the answer; raises Refused, or Unreachable where this host came too late."""
        with self._changed:
            while self._missing and not self._asked and (left := self._until - self._clock()) > 0:
                self._changed.wait(left)
            if host in self._missing:
                raise Unreachable("late", f"diagnose and check pass took more than {PATIENCE:g} s", host=host)
            mine = not self._asked
            if mine:
                # Who comes now has missed the question: nobody waits for a host that hangs.
                self._asked = True
                self._plans = {
                    name: steps for name, steps in self._plans.items() if name not in self._missing
                }
        if mine:
            plans = self._by_touched()
            self._put({name: steps for name, steps in plans.items() if _guarded(steps)})
        with self._changed:
            self._changed.wait_for(lambda: self._answered)
            if self._refusal is not None:
                raise self._refusal

    def beyond(self, host: str, step: Planned) -> str | None:
        """Ask about what the plans did not show; return why it must not be done, None where it may.

        `host` is the one that is touched, whosever task it is.
        """
        mark = (step.task, step.guarded, step.attended, step.object)  # a restart that was shown is no leave to stop it
        known = [
            each
            for each in self._by_touched().get(host, ())
            if not each.unknown and (each.task, each.guarded, each.attended, each.object) == mark
        ]
        shown = {str(item.get("item")) for each in known for item in each.items}
        new = tuple(item for item in step.items if str(item.get("item")) not in shown)
        if known and not new:
            return None
        with self._changed:
            try:
                self._approve({host: (step,)})
            except Refused as refused:
                if self.later is None:
                    self.later = Refused(
                        f"{host}: '{step.task}' was not approved, and not done; what was done before it stays",
                        hint="`remedy history RUN` tells what that was, `remedy rollback RUN` takes back what it can",
                    )
                return refused.message
        return None

    def _approve(self, plans: Plans) -> None:
        leave = self._approver(plans)
        if leave is not None:
            self._told(leave, plans)

    def _by_touched(self) -> dict[str, list[Planned]]:
        plans: dict[str, list[Planned]] = {}
        for name, steps in self._plans.items():
            for step in steps:
                plans.setdefault(step.host or name, []).append(step)
        return plans

    def _put(self, plans: Plans) -> None:
        # A question that breaks (the terminal is gone, the plan cannot be shown) has no answer: nobody may go on.
        refusal: RemedyError | None = Refused("nobody approved it: the question could not be asked")
        try:
            if plans:
                self._approve(plans)
            refusal = None
        except RemedyError as error:
            refusal = error
        finally:
            with self._changed:
                self._refusal = refusal
                self._answered = True
                self._changed.notify_all()


def _said_to(host: str, step: Planned) -> dict[str, Any]:
    kinds = [letter for kind, letter in KINDS.items() if kind in step.guarded]
    return {"host": host, "task": step.task, "object": step.object, "kinds": kinds, "perhaps": step.unknown}


def _guarded(steps: Sequence[Planned]) -> bool:
    return any(step.guarded for step in steps)
