"""Approval: what would be destroyed or interrupted is known, for all hosts, before the first write."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from remedy.errors import Refused

_MOST_SHOWN = 20


class Approval:
    """Collects the plans of all hosts of a batch; without `--yes` a plan that destroys or interrupts is refused."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._missing = set(hosts)
        self._plans: dict[str, list[Mapping[str, Any]]] = {}
        self._changed = threading.Condition()

    def nothing(self, host: str) -> None:
        """A host has nothing to be asked about (healthy, failed or left out)."""
        self.plan(host, [])

    def plan(self, host: str, steps: list[dict[str, Any]]) -> None:
        """Take what a host's check pass would destroy or interrupt."""
        with self._changed:
            if host in self._missing:
                self._missing.discard(host)
                self._plans[host] = list(steps)
                self._changed.notify_all()

    def answer(self) -> None:
        """Wait for every host's plan; raise Refused where somebody would have to be asked."""
        with self._changed:
            self._changed.wait_for(lambda: not self._missing)
            plans = {host: steps for host, steps in self._plans.items() if steps}
        if plans:
            raise Refused(
                "this play would destroy or interrupt, and nobody has approved it:\n" + describe(plans),
                hint="look at it with --check --diff, then run it again with --yes",
            )


def describe(plans: Mapping[str, list[Mapping[str, Any]]]) -> str:
    """Return the plans as text, one line for each step."""
    lines = []
    for host in sorted(plans):
        for step in plans[host][:_MOST_SHOWN]:
            freed = f", {step['bytes']} bytes" if step.get("bytes") else ""
            lines.append(f"    {host}: {step['task']}: {step['guarded']}: {step['object']}{freed}")
        if len(plans[host]) > _MOST_SHOWN:
            lines.append(f"    {host}: and {len(plans[host]) - _MOST_SHOWN} more")
    return "\n".join(lines)
