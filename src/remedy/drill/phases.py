"""What each phase of a drill does, and what it calls a deviation."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from remedy.drill import plays
from remedy.drill.collateral import METHOD, STEADY
from remedy.drill.method import undoing
from remedy.drill.model import Drill, covered
from remedy.drill.playing import Playing
from remedy.drill.probes import Detection, Watch
from remedy.drill.providers import Provider, Stage
from remedy.drill.record import INTERRUPTED
from remedy.drill.runs import Outcome, Runs
from remedy.drill.told import Results, Told
from remedy.engine.options import DIAGNOSE
from remedy.errors import RemedyError
from remedy.playbook import Playbook

_PAUSE = 0.5  # seconds between two looks for a finding that takes its time

OnStage = Callable[[Drill, Stage, ExitStack], Runs]
"""Checks and locks the hosts of a stage, writes them down, and returns what plays on them."""


class Phases:
    """The phases of one drill as methods; each says what it saw in the notes it is given."""

    def __init__(
        self,
        drill: Drill,
        runbook: Playbook,
        provider: Provider,
        on_stage: OnStage,
        begun: Callable[[bool], None],
    ) -> None:
        """`begun` is told on disk before the first fault (True) and when nothing of it is left (False)."""
        self.results = Results()
        self.stage: Stage | None = None
        self.held = ExitStack()
        """What keeps the hosts from others."""
        self._drill = drill
        self._runbook = runbook
        self._hypothesis = plays.hypothesis(runbook)
        self._provider = provider
        self._on_stage = on_stage
        self._begun = begun
        self._playing: Playing | None = None
        self._watch = Watch((), {})
        self._faulty = False
        self._hard_heal = _hard(drill.limits.heal)

    def acquire(self, told: Told) -> None:
        """Get the hosts, and be sure that they are ours to break."""
        stage = self.stage = self._provider.acquire(self._drill.needs)
        self._playing = Playing(self._drill, stage, self._on_stage(self._drill, stage, self.held))
        self._watch = Watch(self._drill.collateral, self._playing.named)
        if not self._provider.renews:
            self._playing.refuse_missing_disks(told)
        told.note = ", ".join(
            name if stage.hosts[name] == name else f"{name} is {stage.hosts[name]}" for name in stage.hosts
        )

    def steady_state(self, told: Told) -> None:
        """Hypothesis: the runbook verifies, and finds nothing."""
        outcome = self._on.play(self._hypothesis, told, deadline=self._hard_heal)
        self._holds(outcome, told, allowed=self._drill.allows)
        self._remember(STEADY, told)

    def method(self, told: Told) -> None:
        """Inject the faults, step by step."""
        self._begun(True)
        self._faulty = True
        for step in self._drill.method:
            time.sleep(step.pause)
            outcome = self._on.step(step, told)
            self.results.last_commits.update(self._on.last_commits(outcome))
            for host, text in self._on.troubles(outcome):
                told.deviate("method", text, host)
            if told.deviations or told.outcome:
                return
        told.note = counted(sum(len(step.tasks) for step in self._drill.method), "task")
        self._remember(METHOD, told)
        self.results.method_ended = time.time()

    def detect(self, told: Told) -> None:
        """Probe: look until everything expected is found or the limit has passed."""
        limit = self._drill.limits.detect
        found = Detection(self._drill, self.results.method_ended)
        until = time.monotonic() + limit
        while True:
            outcome = self._on.play(self._runbook, told, mode=DIAGNOSE, deadline=_hard(limit))
            found.add(outcome, self._on.named)
            for host, text in self._on.troubles(outcome):
                told.deviate("diagnose-failed", text, host)
            if told.outcome or told.deviations or not found.missing or time.monotonic() >= until:
                break
            time.sleep(_PAUSE)
        self.results.findings = found.findings
        self.results.time_to_detect = found.seconds
        if not told.deviations:  # what a diagnose that failed did not raise says nothing
            told.deviations += found.deviations()
        told.note = "probe: " + (", ".join(sorted({seen.id for seen in found.findings})) or "no finding")

    def heal(self, told: Told) -> None:
        """Play the runbook."""
        limit = self._drill.limits.heal
        outcome = self._on.play(self._runbook, told, deadline=self._hard_heal)
        taken = outcome.ended - outcome.started
        self.results.changes = tuple(self._on.changes(outcome))
        self.results.recoveries = tuple(self._on.recoveries(outcome, self.results.last_commits))
        told.note = counted(len(self.results.changes), "change")
        for host, text in self._on.troubles(outcome):
            told.deviate("not-healed", text, host)
        if told.outcome or told.deviations:
            return
        self.results.time_to_heal = taken
        if taken > limit:
            told.deviate("late-heal", f"healed after {taken:.1f} s, and the limit is {limit:g} s")

    def verify(self, told: Told) -> None:
        """Hypothesis: the steady state is back, but for the findings that are for a person."""
        drill = self._drill
        outcome = self._on.play(self._hypothesis, told, deadline=self._hard_heal)
        self._holds(
            outcome,
            told,
            allowed=lambda host, id: covered(drill.remain, host, id) or drill.allows(host, id),
        )

    def again(self, told: Told) -> None:
        """Play the runbook once more: nothing may change."""
        outcome = self._on.play(self._runbook, told, deadline=self._hard_heal)
        changes = self._on.changes(outcome)
        self.results.second_run_changes = max(len(changes), outcome.changed())
        told.note = counted(self.results.second_run_changes, "change")
        for change in changes:
            text = (
                f"the second run changed something: '{change.task}' changed {change.object or change.module}"
            )
            told.deviate("not-idempotent", text, change.host)
        if not changes and outcome.changed():
            text = f"the second run changed something in {counted(outcome.changed(), 'task')}"
            told.deviate("not-idempotent", text)
        for host, text in self._on.troubles(outcome):
            told.deviate("not-healed", text, host)

    def compare(self, told: Told) -> None:
        """Probe: the collateral is as it was."""
        if not self._drill.collateral:
            told.note = "the drill names nothing"
            return
        guarded, wrong = self._watch.compare(self._on.read(self._drill.collateral, told))
        self.results.collateral = tuple(guarded)
        told.deviations += wrong
        cut = " (interrupted: not all was compared)" if told.outcome == INTERRUPTED else ""
        told.note = f"probe: {counted(len(guarded), 'thing')}, {len(wrong)} changed{cut}"

    def roll_back(self, told: Told) -> None:
        """Undo the faults, then throw away the hosts, or look whether they are as they were."""
        notes, steps = [], undoing(self._drill)
        if self._faulty and steps:
            outcome = self._on.undo(steps, told)
            notes.append(counted(sum(len(step.tasks) for step in steps), "task"))
            for host, text in self._on.troubles(outcome, ignored=True):
                told.deviate("rollback", text, host)
        if self._provider.renews and self.stage is not None:
            self._provider.reset(tuple(self.stage.hosts))
            notes.append("hosts thrown away")
        elif self._faulty:
            self._holds(self._on.play(self._hypothesis, told), told, allowed=self._drill.allows)
        if self._provider.renews or not (told.deviations or told.outcome):
            self._begun(False)
        told.note = ", ".join(notes) or "there was nothing to undo"

    # -- what they share

    @property
    def _on(self) -> Playing:
        if self._playing is None:
            raise RemedyError("the drill has no hosts")
        return self._playing

    def _remember(self, moment: str, told: Told) -> None:
        things = self._watch.since(moment)
        if things and not told.outcome:
            told.deviations += self._watch.remember(self._on.read(things, told), moment)

    def _holds(self, outcome: Outcome, told: Told, *, allowed: Callable[[str, str], bool]) -> None:
        """Say where the hypothesis does not hold."""
        for raised in outcome.raised:
            host = self._on.named.get(raised.host, raised.host)
            if not allowed(host, raised.id):
                told.deviate("finding", f"diagnose raises '{raised.id}': {raised.title}", host)
        for name, text in self._on.troubles(outcome):
            told.deviate("verify", text, name)
        if not told.deviations:
            told.note = "hypothesis: it verifies, and nothing is found"


def counted(number: int, word: str) -> str:
    """Return a number of things in words."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _hard(limit: float) -> float:
    """Return when a run is stopped that has passed its limit long ago."""
    return 3 * limit + 60
