"""The engine as a Control module sees it: what it does takes effect only when its turn has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remedy.document import Text
from remedy.engine.flight import Entry
from remedy.engine.state import Finding, HostState
from remedy.engine.variables import Variables
from remedy.events import FindingRaised, Message
from remedy.template import Scope

if TYPE_CHECKING:
    from remedy.engine.context import RunContext


class Desk:
    """Takes the orders of one Control task; `settle` carries them out."""

    def __init__(
        self,
        run: RunContext,
        play: str,
        state: HostState,
        variables: Variables,
        entry: Entry,
        scope: Scope,
    ) -> None:
        self._run = run
        self._play = play
        self._state = state
        self._variables = variables
        self._entry = entry
        self._scope = scope
        self._facts: dict[str, Any] = {}
        self._findings: list[Finding] = []
        self._messages: list[tuple[Any, int]] = []

    def condition(self, expression: Any) -> bool:
        """Evaluate a bare expression that the author wrote."""
        return self._run.templar.condition(expression, self._scope, where=self._entry.task.position)

    def expression(self, text: str) -> Any:
        """Return the value of an expression that the author wrote."""
        where = self._entry.task.position
        return self._run.templar.render(Text("{{ " + text + " }}", where), self._scope, where=where)

    def set_facts(self, facts: dict[str, Any]) -> None:
        """Set variables; tasks that are rendered ahead see them at once."""
        self._facts.update(facts)
        self._variables.provisional = {**self._variables.provisional, **facts}

    def raise_finding(self, finding: dict[str, Any]) -> None:
        """Raise a finding; in the last diagnose it says that an old one stays."""
        found = Finding(
            id=str(finding["id"]),
            severity=str(finding["severity"]),
            title=str(finding["title"]),
            evidence=finding["evidence"],
            advice=None if finding["advice"] is None else str(finding["advice"]),
        )
        self._findings.append(found)
        self._variables.raised = {**self._variables.raised, found.id: found.as_variable()}

    def say(self, message: Any, verbosity: int) -> None:
        """Show a message to the operator who asked for this much detail."""
        self._messages.append((message, verbosity))

    def meta(self, action: str) -> None:
        """The walk itself obeys `meta`, by the task's arguments."""

    def settle(self) -> None:
        """Carry out what was ordered: everything earlier has happened."""
        state, entry = self._state, self._entry
        state.variables.update(self._facts)
        again = entry.section == "diagnose again"
        for found in self._findings:
            (state.again if again else state.findings)[found.id] = found
            if not state.quiet:
                self._run.bus.emit(
                    FindingRaised(
                        host=state.name,
                        play=self._play,
                        id=found.id,
                        severity=found.severity,
                        title=found.title,
                        evidence=found.evidence,
                        advice=found.advice,
                        again=again,
                    )
                )
        for message, verbosity in self._messages:
            if verbosity <= self._run.options.verbosity and not state.quiet:
                shown = Message(host=state.name, task=entry.task.title, message=message)
                self._run.bus.emit(shown)
