"""What may stand where: diagnose only reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remedy.errors import InputError, Position
from remedy.modules import ModuleSpec

_READING = (
    "diagnose only reads: it takes probes (stat, find), control modules (finding, set_fact) "
    "and commands with 'reads: true'"
)


def objection(spec: ModuleSpec, params: Mapping[str, Any]) -> str | None:
    """Return why a module with these parameters may not run in diagnose, None where it may."""
    kind = spec.kind_name(params)
    if kind in ("probe", "control"):
        return None
    if kind == "command":
        return (
            None
            if params.get("reads") is True
            else f"'{spec.name}' cannot stand in diagnose without 'reads: true'"
        )
    return f"'{spec.name}' cannot stand in diagnose: it changes the host"


def refuse_in_diagnose(spec: ModuleSpec, params: Mapping[str, Any], position: Position) -> None:
    """Raise InputError for a module that may not run in diagnose."""
    reason = objection(spec, params)
    if reason is not None:
        raise InputError(reason, where=position, hint=_READING)
