"""Whoever wants to hear how a drill goes on."""

from __future__ import annotations

from remedy.drill.model import Drill
from remedy.drill.record import DrillRecord, Phase


class Teller:
    """Hears of everything and says nothing; who shows or writes it down overrides what it needs."""

    def drill_begins(self, drill: Drill, number: int, total: int) -> None:
        """A drill begins, as the `number`th of `total`."""

    def phase_begins(self, name: str) -> None:
        """A phase begins."""

    def phase_ends(self, phase: Phase) -> None:
        """A phase is over, or will not be run."""

    def drill_ends(self, record: DrillRecord) -> None:
        """A drill is over, rolled back."""

    def say(self, text: str) -> None:
        """Something the operator should know."""
