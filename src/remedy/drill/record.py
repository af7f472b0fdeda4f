"""What a drill came to, as plain data: what console, JSON, JUnit, Markdown and HTML tell in their own ways.

Times are seconds since the epoch, durations seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SCHEMA = "remedy.drill/1"

HOSTS, STEADY, METHOD, DETECT, HEAL = "hosts", "steady state", "method", "detect", "heal"
VERIFY, AGAIN, COLLATERAL, ROLLBACK = "verify", "again", "collateral", "rollback"
PHASES = (HOSTS, STEADY, METHOD, DETECT, HEAL, VERIFY, AGAIN, COLLATERAL, ROLLBACK)
"""The phases of a drill in their order; `hosts` is the provider's."""

MEANING = {
    HOSTS: "hosts as new, marked drill: true",
    STEADY: "hypothesis: the runbook verifies, and finds nothing",
    METHOD: "the faults are injected",
    DETECT: "probe: diagnose raises what is expected, and nothing else",
    HEAL: "the runbook is played",
    VERIFY: "hypothesis: the steady state is back",
    AGAIN: "the runbook is played once more, and changes nothing",
    COLLATERAL: "probe: what must not change has not changed",
    ROLLBACK: "everything is undone",
}

OK, DEVIATED, FAILED, INTERRUPTED, NOT_RUN = "ok", "deviation", "error", "interrupted", "not run"


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """What was not as the drill says it must be; `what` is a word for programs (see docs/drills.md)."""

    phase: str
    what: str
    text: str
    host: str | None = None


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase: ok, deviation, error, interrupted or not run; `runs` are the ids of its runs' journals."""

    name: str
    outcome: str = NOT_RUN
    started: float = 0.0
    seconds: float = 0.0
    note: str = ""
    runs: tuple[str, ...] = ()
    deviations: tuple[Deviation, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A finding that diagnose raised, `after` seconds from the end of the method."""

    host: str
    id: str
    severity: str
    title: str
    after: float
    expected: bool


@dataclass(frozen=True, kw_only=True)
class Change:
    """What the heal changed on a host."""

    host: str
    task: str
    module: str
    object: str
    bytes_freed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """Data that the heal brought back: how long that took, to which moment, and what is missing since.

    `lost_seconds` is the time between that moment and the last commit before the accident, 0 where every row that the
    damaged copy still has came back; None where the method does not tell its last commit.
    """

    host: str
    engine: str
    database: str
    seconds: float
    point: float
    rows_behind: int
    lost_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """One thing of the collateral on one host, before and after in words."""

    host: str
    kind: str
    title: str
    before: str
    after: str
    same: bool


@dataclass(frozen=True, kw_only=True)
class DrillRecord:
    """One drill; None for what was not reached. `time_to_detect` counts from the end of the method."""

    name: str
    title: str
    file: str
    runbook: str
    hosts: dict[str, dict[str, Any]]
    outcome: str
    started: float
    seconds: float
    detect_limit: float
    heal_limit: float
    time_to_detect: float | None = None
    time_to_heal: float | None = None
    changes: tuple[Change, ...] = ()
    recoveries: tuple[Recovery, ...] = ()
    second_run_changes: int | None = None
    findings: tuple[Seen, ...] = ()
    collateral: tuple[Guarded, ...] = ()
    phases: tuple[Phase, ...] = ()
    error: str | None = None
    exit_code: int = 0

    @property
    def passed(self) -> bool:
        """Say whether every phase was as the drill says."""
        return self.outcome == "passed"

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Every deviation, in the order of the phases."""
        return tuple(one for phase in self.phases for one in phase.deviations)

    @property
    def collateral_changed(self) -> int | None:
        """How many guarded things are not as they were; None where nobody compared."""
        nobody = (NOT_RUN,) if self.collateral else (NOT_RUN, INTERRUPTED)
        compared = any(phase.name == COLLATERAL and phase.outcome not in nobody for phase in self.phases)
        return sum(not one.same for one in self.collateral) if compared else None


@dataclass(frozen=True, kw_only=True)
class DrillReport:
    """One `remedy drill`: its drills in the order they ran; `id` names its folder in the state folder."""

    id: str
    provider: str
    user: str
    started: float
    seconds: float
    exit_code: int
    drills: tuple[DrillRecord, ...] = field(default_factory=tuple)

    @property
    def passed(self) -> int:
        """How many drills passed."""
        return sum(one.passed for one in self.drills)
