"""The report as a page of its own: no network, no script; light and dark; prints well."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from remedy.drill.record import MEANING, NOT_RUN, DrillRecord, DrillReport, Phase
from remedy.drill.reports.clean import for_people
from remedy.drill.reports.words import moment, recovered, span, verdict

_LEAST = 0.4  # percent of the timeline: a phase of no time at all is seen, too


@dataclass(frozen=True)
class Bar:
    """A phase on the timeline; `left` and `width` in percent of the drill's time."""

    phase: Phase
    meaning: str
    left: float
    width: float


def as_html(report: DrillReport) -> str:
    """Return the page as text."""
    report = for_people(report)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(span=span, moment=moment, verdict=verdict, recovered=recovered)
    source = (files("remedy.drill.reports") / "page.html.j2").read_text(encoding="utf-8")
    page = environment.from_string(source)
    return page.render(report=report, bars={one.name: bars(one) for one in report.drills}) + "\n"


def bars(one: DrillRecord) -> list[Bar]:
    """Return the timeline of a drill; a phase that was not run stands at the place where it would have begun."""
    whole, made, at = max(one.seconds, 0.001), [], 0.0
    for phase in one.phases:
        if phase.outcome != NOT_RUN and phase.started:
            at = max(0.0, phase.started - one.started)
        left = min(100.0 - _LEAST, 100 * at / whole)
        width = (
            min(100.0 - left, max(_LEAST, 100 * phase.seconds / whole)) if phase.outcome != NOT_RUN else 0.0
        )
        made.append(Bar(phase, MEANING[phase.name], round(left, 2), round(width, 2)))
        at += phase.seconds
    return made
