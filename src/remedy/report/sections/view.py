"""How much of a run is told, and the ways in which all sections tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from remedy.report.sheet import Part, Sheet
from remedy.report.text import on_hosts, some


@dataclass(frozen=True, slots=True)
class View:
    """What the operator wants to see; `everyone` is the number of hosts of the run.

    `known` are the keys of findings that stand on the screen already.
    """

    verbosity: int
    diff: bool
    everyone: int
    known: frozenset[tuple[str, str, str]] = frozenset()

    def most(self, few: int) -> int | None:
        """Return how many rows of a kind are shown: `few`, many with -v, all (None) with -vv."""
        return few if self.verbosity <= 0 else few * 6 if self.verbosity == 1 else None

    def hosts(self, hosts: Sequence[str]) -> list[Part]:
        """Return the hosts as the bold beginning of a line."""
        return [("bold", on_hosts(hosts, self.everyone)[0]), ": "]

    def host_names(self, sheet: Sheet, hosts: Sequence[str], *, indent: int) -> None:
        """List the names behind "on 12 hosts"."""
        if on_hosts(hosts, self.everyone)[1]:
            sheet.line(("dim", some(hosts, self.most(12))), indent=indent, hang=0)
