"""Reports with every word made harmless: names, titles and reasons come from hosts and files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from remedy.drill.record import DrillReport
from remedy.report.text import safe


def for_people(report: DrillReport) -> DrillReport:
    """Return the report without characters that paint, hide or turn round what a reader sees; lines stay lines."""
    made: DrillReport = _each(report, lambda text: "\n".join(map(safe, text.split("\n"))))
    return made


def for_programs(report: DrillReport) -> DrillReport:
    """Return the report with bytes that were no UTF-8 written as `\\xff`: no encoding can hold them."""
    made: DrillReport = _each(report, encodable)
    return made


def encodable(text: str) -> str:
    """Return a text that UTF-8 can hold."""
    return "".join(safe(char) if "\ud800" <= char <= "\udfff" else char for char in text)


def _each(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {_each(key, change): _each(item, change) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_each(item, change) for item in value)
    if hasattr(value, "__dataclass_fields__"):
        return replace(value, **{one.name: _each(getattr(value, one.name), change) for one in fields(value)})
    return value
