"""One drill through its phases: hypothesis, method, probes, heal, and the rollback that nothing skips."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from remedy.drill import plays, record
from remedy.drill.collateral import METHOD, STEADY
from remedy.drill.method import undoing
from remedy.drill.model import Drill, Step, covered
from remedy.drill.probes import Detection, Watch
from remedy.drill.providers import Provider, Stage
from remedy.drill.record import Change, DrillRecord, Phase
from remedy.drill.runs import Outcome, Runs
from remedy.drill.signals import Signals
from remedy.drill.teller import Teller
from remedy.drill.told import Results, Told, verdict
from remedy.engine.options import DIAGNOSE
from remedy.errors import RemedyError
from remedy.playbook import Playbook

_PAUSE = 0.5  # seconds between two looks for a finding that takes its time
_AGREED = (0, 2, 10)  # exit codes that say something of the hosts; the others say that nobody can tell

OnStage = Callable[[Drill, Stage, ExitStack], Runs]
"""Checks and locks the hosts of a stage, writes them down, and returns what plays on them."""


class Experiment:
    """Runs one drill; `run` returns its record whatever happened."""

    def __init__(
        self,
        drill: Drill,
        runbook: Playbook,
        provider: Provider,
        on_stage: OnStage,
        begun: Callable[[bool], None],
        signals: Signals,
        teller: Teller,
    ) -> None:
        """`begun` is told on disk before the first fault (True) and when nothing of it is left (False)."""
        self._drill = drill
        self._runbook = runbook
        self._hypothesis = plays.hypothesis(runbook)
        self._provider = provider
        self._on_stage = on_stage
        self._begun = begun
        self._signals = signals
        self._teller = teller
        self._held = ExitStack()
        self._stage: Stage | None = None
        self._runs: Runs | None = None
        self._results = Results()
        self._phases: dict[str, Phase] = {}
        self._faulty = False

    def run(self) -> DrillRecord:
        """Go through the phases; the rollback comes whatever became of the others."""
        started, trouble = time.time(), None
        with self._held:
            try:
                self._signals.arm()
                self._forward()
                self._signals.disarm()
            except KeyboardInterrupt:
                pass  # the signals remember that it came
            except Exception as error:  # a fault of remedy's own must not leave a host broken
                trouble = error
            with self._signals.shielded():
                self._back()
        if trouble is not None:
            raise trouble
        made = self._record(started)
        self._teller.drill_ends(made)
        return made

    def _forward(self) -> None:
        for name, work in (
            (record.HOSTS, self._acquire),
            (record.STEADY, self._steady_state),
            (record.METHOD, self._method),
            (record.DETECT, self._detect),
            (record.HEAL, self._heal),
            (record.VERIFY, self._verify),
            (record.AGAIN, self._again),
        ):
            self._phase(name, work)
            if self._stops_at(name):
                break
        if self._went_well(record.METHOD) and not self._signals.asked:
            self._phase(record.COLLATERAL, self._compare)

    def _stops_at(self, name: str) -> bool:
        """Say whether nothing can be learned from what would come next."""
        late = ("late-detection", "late-heal")
        phase = self._phases[name]
        stopping = [one for one in phase.deviations if one.what not in late]
        return phase.outcome not in (record.OK, record.DEVIATED) or bool(stopping)

    def _went_well(self, name: str) -> bool:
        return name in self._phases and self._phases[name].outcome == record.OK

    # -- the phases

    def _acquire(self, told: Told) -> None:
        stage = self._provider.acquire(self._drill.needs)
        self._stage = stage
        self._runs = self._on_stage(self._drill, stage, self._held)
        told.note = ", ".join(
            name if stage.hosts[name] == name else f"{name} is {stage.hosts[name]}" for name in stage.hosts
        )

    def _steady_state(self, told: Told) -> None:
        deadline = _hard(self._drill.limits.heal)
        outcome = self._play(self._hypothesis, record.STEADY, told, deadline=deadline)
        self._hypothesis_holds(
            outcome, record.STEADY, told, allowed=lambda host, id: self._drill.allows(host, id)
        )
        self._remember(STEADY, told)

    def _method(self, told: Told) -> None:
        self._begun(True)
        self._faulty = True
        for step in self._drill.method:
            time.sleep(step.pause)
            playbook = plays.of_steps(self._drill, record.METHOD, [step], self._hosts)
            outcome = self._play(playbook, record.METHOD, told)
            for host, text in outcome.troubles():
                told.deviate("method", text, host)
            if told.deviations or told.outcome:
                return
        told.note = _counted(sum(len(step.tasks) for step in self._drill.method), "task")
        self._remember(METHOD, told)
        self._results.method_ended = time.time()

    def _detect(self, told: Told) -> None:
        limit = self._drill.limits.detect
        found = Detection(self._drill, self._results.method_ended)
        until = time.monotonic() + limit - (time.time() - self._results.method_ended)
        while True:
            outcome = self._play(self._runbook, record.DETECT, told, mode=DIAGNOSE, deadline=_hard(limit))
            found.add(outcome, self._named)
            for host, text in outcome.troubles():
                told.deviate("diagnose-failed", text, host)
            if told.outcome or told.deviations or not found.missing or time.monotonic() >= until:
                break
            time.sleep(_PAUSE)
        self._results.findings = found.findings
        self._results.time_to_detect = found.seconds
        if not told.deviations:  # what a diagnose that failed did not raise says nothing
            told.deviations += found.deviations()
        told.note = "probe: " + (", ".join(sorted({seen.id for seen in found.findings})) or "no finding")

    def _heal(self, told: Told) -> None:
        limit = self._drill.limits.heal
        outcome = self._play(self._runbook, record.HEAL, told, deadline=_hard(limit))
        taken = outcome.ended - outcome.started
        self._results.changes = tuple(self._changes(outcome))
        told.note = _counted(len(self._results.changes), "change")
        for host, text in outcome.troubles():
            told.deviate("not-healed", text, host)
        if told.outcome or told.deviations:
            return
        self._results.time_to_heal = taken
        if taken > limit:
            told.deviate("late-heal", f"healed after {taken:.1f} s, and the limit is {limit:g} s")

    def _verify(self, told: Told) -> None:
        drill = self._drill

        def allowed(host: str, id: str) -> bool:
            return covered(drill.remain, host, id) or drill.allows(host, id)

        outcome = self._play(self._hypothesis, record.VERIFY, told, deadline=_hard(drill.limits.heal))
        self._hypothesis_holds(outcome, record.VERIFY, told, allowed=allowed)

    def _again(self, told: Told) -> None:
        outcome = self._play(self._runbook, record.AGAIN, told, deadline=_hard(self._drill.limits.heal))
        changes = self._changes(outcome)
        self._results.second_run_changes = max(len(changes), outcome.changed())
        told.note = _counted(self._results.second_run_changes, "change")
        for change in changes:
            text = (
                f"the second run changed something: '{change.task}' changed {change.object or change.module}"
            )
            told.deviate("not-idempotent", text, change.host)
        if not changes and outcome.changed():
            told.deviate(
                "not-idempotent", f"the second run changed something in {_counted(outcome.changed(), 'task')}"
            )
        for host, text in outcome.troubles():
            told.deviate("not-healed", text, host)

    def _compare(self, told: Told) -> None:
        watch = self._watch
        if not self._drill.collateral:
            told.note = "the drill names nothing"
            return
        outcome = self._read(self._drill.collateral, record.COLLATERAL, told)
        guarded, wrong = watch.compare(outcome)
        self._results.collateral = tuple(guarded)
        told.deviations += wrong
        told.note = f"probe: {_counted(len(guarded), 'thing')}, {len(wrong)} changed"

    def _back(self) -> None:
        """Roll back as far as the drill went, and say of every phase what became of it."""
        for name in record.PHASES[:-1]:
            if name not in self._phases:
                self._phases[name] = Phase(name=name)
                self._teller.phase_ends(self._phases[name])
        if self._stage is None:
            self._phases[record.ROLLBACK] = Phase(name=record.ROLLBACK, note="there was nothing to undo")
            return
        if self._signals.asked:
            self._teller.say(
                "interrupted: rolling back; this is not cut short (after a kill: remedy drill --clean)"
            )
        self._phase(record.ROLLBACK, self._roll_back)

    def _roll_back(self, told: Told) -> None:
        notes = []
        if self._faulty and self._runs is not None:
            steps = undoing(self._drill)
            if steps:
                outcome = self._undo(steps, told)
                notes.append(_counted(sum(len(step.tasks) for step in steps), "task"))
                for host, text in outcome.troubles():
                    told.deviate("rollback", text, host)
        if self._provider.renews:
            self._provider.reset(tuple(self._hosts))
            notes.append("hosts thrown away")
        elif self._faulty and self._runs is not None:
            outcome = self._play(self._hypothesis, record.ROLLBACK, told)
            self._hypothesis_holds(outcome, record.ROLLBACK, told, allowed=self._drill.allows)
        if self._provider.renews or not (told.deviations or told.outcome):
            self._begun(False)
        told.note = ", ".join(notes) or "there was nothing to undo"

    # -- what they share

    @property
    def _hosts(self) -> Mapping[str, str]:
        return {} if self._stage is None else self._stage.hosts

    @property
    def _named(self) -> dict[str, str]:
        return {there: here for here, there in self._hosts.items()}

    @property
    def _watch(self) -> Watch:
        if self._results.watch is None:
            self._results.watch = Watch(self._drill.collateral, self._named)
        return self._results.watch

    def _phase(self, name: str, work: Callable[[Told], None]) -> None:
        self._teller.phase_begins(name)
        told, started = Told(name), time.time()
        try:
            work(told)
        except RemedyError as error:
            told.fail(error)
        except KeyboardInterrupt:
            told.outcome = record.INTERRUPTED
        finally:
            outcome = told.outcome or (record.DEVIATED if told.deviations else record.OK)
            self._phases[name] = Phase(
                name=name,
                outcome=outcome,
                started=started,
                seconds=time.time() - started,
                note=told.note,
                runs=tuple(told.runs),
                deviations=tuple(told.deviations),
            )
            if told.error is not None and self._results.error is None:
                self._results.error = told.error
        self._teller.phase_ends(self._phases[name])

    def _play(
        self,
        playbook: Playbook,
        phase: str,
        told: Told,
        *,
        mode: str = "apply",
        deadline: float | None = None,
    ) -> Outcome:
        """Play, and take down what concerns the run as a whole."""
        extra = plays.variables(self._drill, self._hosts)
        return self._noted(
            told, self._on.play(playbook, self._label(phase), mode=mode, extra=extra, deadline=deadline)
        )

    def _undo(self, steps: Sequence[Step], told: Told) -> Outcome:
        playbook = plays.of_steps(self._drill, record.ROLLBACK, steps, self._hosts)
        extra = plays.variables(self._drill, self._hosts)
        return self._noted(told, self._on.undo(playbook, self._label(record.ROLLBACK), extra))

    def _noted(self, told: Told, outcome: Outcome) -> Outcome:
        told.runs.append(outcome.run)
        if outcome.interrupted:
            told.outcome = record.INTERRUPTED
        elif outcome.code not in _AGREED and not outcome.late:
            told.fail(outcome.error or RemedyError(_all(outcome)), outcome.code)
        return outcome

    @property
    def _on(self) -> Runs:
        if self._runs is None:
            raise RemedyError("the drill has no hosts")
        return self._runs

    def _label(self, phase: str) -> str:
        return f"{self._drill.name}-{phase}".replace(" ", "-")

    def _read(self, things: Sequence[object], moment: str, told: Told) -> Outcome:
        chosen = [thing for thing in self._drill.collateral if thing in things]
        return self._play(plays.of_things(self._drill, chosen, self._hosts), moment, told)

    def _remember(self, moment: str, told: Told) -> None:
        things = self._watch.since(moment)
        if things and not told.outcome:
            told.deviations += self._watch.remember(self._read(things, "collateral", told), moment)

    def _hypothesis_holds(
        self, outcome: Outcome, phase: str, told: Told, *, allowed: Callable[[str, str], bool]
    ) -> None:
        for raised in outcome.raised:
            host = self._named.get(raised.host, raised.host)
            if not allowed(host, raised.id):
                told.deviate("finding", f"diagnose raises '{raised.id}': {raised.title}", host)
        for trouble, text in outcome.troubles():
            told.deviate("verify", text, trouble)
        if not told.deviations:
            told.note = "hypothesis: it verifies, and nothing is found"

    def _changes(self, outcome: Outcome) -> list[Change]:
        return [
            Change(
                host=self._named.get(one["host"], one["host"]),
                task=one["task"],
                module=one["module"],
                object=one["object"],
                bytes_freed=one["bytes_freed"],
            )
            for one in outcome.document["changes"]
        ]

    def _record(self, started: float) -> DrillRecord:
        drill, results = self._drill, self._results
        phases = tuple(self._phases[name] for name in record.PHASES)
        outcome, code = verdict(phases, self._signals.asked, results.error)
        stage = self._stage
        return DrillRecord(
            name=drill.name,
            title=drill.title,
            file=str(Path(drill.path).absolute()),
            runbook=drill.runbook,
            hosts={
                need.name: {
                    "role": need.role,
                    "inventory_name": self._hosts.get(need.name),
                    **(dict(stage.facts.get(need.name, {})) if stage is not None else {}),
                }
                for need in drill.needs
            },
            outcome=outcome,
            started=started,
            seconds=time.time() - started,
            detect_limit=drill.limits.detect,
            heal_limit=drill.limits.heal,
            time_to_detect=results.time_to_detect,
            time_to_heal=results.time_to_heal,
            changes=results.changes,
            second_run_changes=results.second_run_changes,
            findings=results.findings,
            collateral=results.collateral,
            phases=phases,
            error=None if results.error is None else str(results.error),
            exit_code=code,
        )


def _counted(number: int, word: str) -> str:
    """Return a number of things in words."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _hard(limit: float) -> float:
    """Return when a run is stopped that has passed its limit long ago."""
    return 3 * limit + 60


def _all(outcome: Outcome) -> str:
    return "; ".join(f"{host}: {text}" if host else text for host, text in outcome.troubles()) or (
        f"the run {outcome.run} ended with exit code {outcome.code}"
    )
