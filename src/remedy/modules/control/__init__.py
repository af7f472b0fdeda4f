"""Modules that run in the engine and touch no host.

A file here holds a docstring, `PARAMS` and `run(params, engine)`, which returns the return values or raises
`agent.kinds.Failed`. Parameters named in `UNRENDERED` reach it as the author wrote them: expressions, so that a
value is never taken for an expression. Everything a control module does goes through the engine's `Engine`.
"""

from __future__ import annotations

from typing import Any, Protocol


class Engine(Protocol):
    """What a control module may do; nothing takes effect before everything earlier has happened."""

    def condition(self, expression: Any) -> bool:
        """Evaluate a bare expression that the author wrote."""
        ...

    def expression(self, text: str) -> Any:
        """Return the value of an expression that the author wrote."""
        ...

    def set_facts(self, facts: dict[str, Any]) -> None:
        """Set variables for this host, for the rest of the run."""
        ...

    def raise_finding(self, finding: dict[str, Any]) -> None:
        """Raise a finding: id, severity, title, evidence, advice."""
        ...

    def say(self, message: Any, verbosity: int) -> None:
        """Show a message to the operator who asked for at least this much detail."""
        ...

    def meta(self, action: str) -> None:
        """Steer the walk: flush_handlers, end_host, end_play, clear_facts, clear_host_errors, noop."""
        ...
