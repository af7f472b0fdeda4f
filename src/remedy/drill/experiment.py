"""One drill through its phases: hypothesis, method, probes, heal, and the rollback that nothing skips."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remedy.drill import record
from remedy.drill.model import Drill
from remedy.drill.phases import OnStage, Phases
from remedy.drill.providers import Provider
from remedy.drill.record import DrillRecord, Phase
from remedy.drill.signals import Signals
from remedy.drill.teller import Teller
from remedy.drill.told import Told, verdict
from remedy.errors import RemedyError
from remedy.playbook import Playbook

_IN_TIME_ALONE = ("late-detection", "late-heal")


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
        self._work = Phases(drill, runbook, provider, on_stage, begun)
        self._signals = signals
        self._teller = teller
        self._phases: dict[str, Phase] = {}

    def run(self) -> DrillRecord:
        """Go through the phases; the rollback comes whatever became of the others."""
        started, trouble = time.time(), None
        with self._work.held:
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
        work = self._work
        for name, does in (
            (record.HOSTS, work.acquire),
            (record.STEADY, work.steady_state),
            (record.METHOD, work.method),
            (record.DETECT, work.detect),
            (record.HEAL, work.heal),
            (record.VERIFY, work.verify),
            (record.AGAIN, work.again),
        ):
            self._phase(name, does)
            if self._stops_at(name):
                break
        method = self._phases.get(record.METHOD)
        if method is not None and method.outcome == record.OK and not self._signals.asked:
            self._phase(record.COLLATERAL, work.compare)

    def _stops_at(self, name: str) -> bool:
        """Say whether nothing can be learned from what would come next."""
        phase = self._phases[name]
        stopping = [one for one in phase.deviations if one.what not in _IN_TIME_ALONE]
        return phase.outcome not in (record.OK, record.DEVIATED) or bool(stopping)

    def _back(self) -> None:
        """Roll back as far as the drill went, and say of every phase what became of it."""
        for name in record.PHASES[:-1]:
            if name not in self._phases:
                self._phases[name] = Phase(name=name)
                self._teller.phase_ends(self._phases[name])
        if self._work.stage is None:
            self._phases[record.ROLLBACK] = Phase(name=record.ROLLBACK, note="there was nothing to undo")
            return
        if self._signals.asked:
            self._teller.say(
                "interrupted: rolling back; this is not cut short (after a kill: remedy drill --clean)"
            )
        self._phase(record.ROLLBACK, self._work.roll_back)

    def _phase(self, name: str, does: Callable[[Told], None]) -> None:
        self._teller.phase_begins(name)
        told, started, results = Told(name), time.time(), self._work.results
        try:
            does(told)
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
            if told.error is not None and results.error is None:
                results.error = told.error
        self._teller.phase_ends(self._phases[name])

    def _record(self, started: float) -> DrillRecord:
        drill, results = self._drill, self._work.results
        phases = tuple(self._phases[name] for name in record.PHASES)
        outcome, code = verdict(phases, self._signals.asked, results.error)
        return DrillRecord(
            name=drill.name,
            title=drill.title,
            file=str(Path(drill.path).absolute()),
            runbook=drill.runbook,
            hosts=self._hosts(),
            outcome=outcome,
            started=started,
            seconds=time.time() - started,
            detect_limit=drill.limits.detect,
            heal_limit=drill.limits.heal,
            time_to_detect=results.time_to_detect,
            time_to_heal=results.time_to_heal,
            changes=results.changes,
            recoveries=results.recoveries,
            second_run_changes=results.second_run_changes,
            findings=results.findings,
            collateral=results.collateral,
            phases=phases,
            error=None if results.error is None else str(results.error),
            exit_code=code,
        )

    def _hosts(self) -> dict[str, dict[str, Any]]:
        """Return what is known of each host: its role, its name in the inventory, the provider's facts."""
        found: dict[str, dict[str, Any]] = {need.name: {"role": need.role} for need in self._drill.needs}
        stage = self._work.stage
        for name, about in found.items() if stage is not None else ():
            if stage is not None:
                about.update(inventory_name=stage.hosts[name], **stage.facts.get(name, {}))
        return found
