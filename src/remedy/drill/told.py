"""What a drill has found so far, while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from remedy.drill import record
from remedy.drill.record import Change, Deviation, Guarded, Phase, Recovery, Seen
from remedy.errors import Interrupted, RemedyError


@dataclass
class Told:
    """What a phase says of itself while it runs."""

    phase: str
    note: str = ""
    outcome: str = ""
    runs: list[str] = field(default_factory=list)
    deviations: list[Deviation] = field(default_factory=list)
    error: RemedyError | None = None

    def deviate(self, what: str, text: str, host: str | None = None) -> None:
        """Say that something is not as the drill says."""
        self.deviations.append(Deviation(phase=self.phase, what=what, text=text, host=host))

    def fail(self, error: RemedyError, code: int | None = None) -> None:
        """Say that the phase could not be carried out; `code` is what the run ended with."""
        self.outcome, self.error = record.FAILED, error
        if code is not None and code != error.exit_code:
            error.exit_code = code


@dataclass
class Results:
    """What the phases have found so far."""

    method_ended: float = 0.0
    findings: tuple[Seen, ...] = ()
    time_to_detect: float | None = None
    time_to_heal: float | None = None
    changes: tuple[Change, ...] = ()
    recoveries: tuple[Recovery, ...] = ()
    last_commits: dict[tuple[str, str], float] = field(default_factory=dict)
    """Of databases that the method has damaged, by (host, database)."""
    second_run_changes: int | None = None
    collateral: tuple[Guarded, ...] = ()
    error: RemedyError | None = None


def verdict(phases: Sequence[Phase], asked: bool, error: RemedyError | None) -> tuple[str, int]:
    """Return the drill's outcome and its exit code."""
    if asked or any(phase.outcome == record.INTERRUPTED for phase in phases):
        return "interrupted", Interrupted.exit_code
    if error is not None:
        return "error", error.exit_code
    if any(phase.outcome != record.OK for phase in phases):
        return "failed", 2
    return "passed", 0
