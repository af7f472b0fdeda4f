"""What grows, as `remedy capacity` shows it: a table with curves, a document, a page with plots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from msgspec import Struct

from remedy.history.growth import Growth
from remedy.report.sparkline import sparkline
from remedy.report.text import cells, count, pad, safe, size

_HEAD = ("host", "what", "used", "of", "", "a day", "days left", "")
_QUIET = 0.1  # of a limit that is not coming nearer: shown only where it is asked for
_RIGHT = (False, False, True, True, True, True, True, False)
_WIDE, _HIGH = 640.0, 160.0  # a plot, without its labels
_AHEAD = 0.25  # of the plot's width is to come


def as_text(found: Sequence[Growth], *, any_at_all: bool, below: float | None, every: bool) -> str:
    """Return a line for each thing that is measured, with its curve; `every`: also those of which little is used."""
    if not found and below is not None and any_at_all:
        return f"nothing is full within {count(int(below), 'day') if below == int(below) else f'{below:g} days'}\n"
    if not found:
        return (
            "nothing was measured yet: `remedy diagnose capacity-report -i NAME` measures, best once a day\n"
        )
    shown = [each for each in found if every or not _is_quiet(each)]
    rows = [_HEAD, *map(_row, shown)]
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            pad(text, width, right=right) for text, width, right in zip(row, widths, _RIGHT, strict=True)
        )
        for row in rows
    ]
    notes = sorted({each.reason for each in shown if each.reason})
    if len(shown) < len(found):
        lines += ["", f"{len(found) - len(shown)} more of which little is used (-v lists them)"]
    why = notes[0] if len(notes) == 1 else "too few measures for a trend, or none of late"
    return "".join([*(f"{line.rstrip()}\n" for line in lines), *([f"\n-: {why}\n"] if notes else [])])


def _is_quiet(each: Growth) -> bool:
    used = each.last.used if each.share is None else each.share
    return each.days_left is None and used < (_QUIET if each.share is not None else 1)


def as_json(found: Sequence[Growth], since: datetime, now: datetime) -> str:
    """Return the document: schema `remedy.capacity/1`; times are ISO 8601 in UTC, sizes bytes."""
    return json.dumps(
        {
            "schema": "remedy.capacity/1",
            "since": since.isoformat(),
            "now": now.isoformat(),
            "resources": [_plain(each) for each in found],
        },
        indent=2,
    )


def _plain(each: Growth) -> dict[str, Any]:
    points = [[point.time.isoformat(), point.used, point.limit] for point in each.points]
    return {"host": each.host, **each.told(), "share": each.share, "points": points}


def _row(each: Growth) -> tuple[str, ...]:
    last = each.last
    return (
        safe(each.host),
        safe(f"{each.resource} {each.object}".rstrip()),
        amount(each, last.used),
        "" if last.limit is None else amount(each, last.limit),
        "" if each.share is None else f"{each.share:.0%}",
        speed(each),
        days(each),
        sparkline([point.used for point in each.points]),
    )


def amount(each: Growth, value: float) -> str:
    """Return a value in its unit."""
    return size(value) if each.unit == "bytes" else f"{value:,.0f}".replace(",", " ")


def speed(each: Growth) -> str:
    """Return its growth a day, with its sign."""
    if each.per_day is None:
        return "-"
    if each.unit != "bytes":
        return f"{each.per_day:+.1f}"
    return ("+" if each.per_day >= 0 else "-") + size(abs(each.per_day))


def days(each: Growth) -> str:
    """Return the days that are left, as people say it."""
    if each.days_left is None:
        return "-"
    if each.days_left == 0:
        return "full"
    return f"{each.days_left:.1f}" if each.days_left < 10 else f"{each.days_left:.0f}"


# -- the page


class Plot(Struct, frozen=True):
    """A curve as SVG has it: pairs of x and y, the line to come, the limit's height, labels."""

    growth: Growth
    curve: str
    ahead: str
    limit: float | None
    top: str
    first: str
    last: str
    now: float


def as_html(found: Sequence[Growth], since: datetime, now: datetime) -> str:
    """Return a page of its own with a plot of each: no network, no script; light and dark."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        amount=lambda value, each: amount(each, value), speed=speed, days=days, safe_text=safe
    )
    source = (files("remedy.cli") / "capacity.html.j2").read_text(encoding="utf-8")
    plots = [_plot(each, since, now) for each in found]
    return (
        environment.from_string(source).render(plots=plots, since=since, now=now, wide=_WIDE, high=_HIGH)
        + "\n"
    )


def _plot(each: Growth, since: datetime, now: datetime) -> Plot:
    first = each.points[0].time
    span = max((now - first).total_seconds(), 3600.0)
    present = _WIDE * (1 - _AHEAD)
    most = max(max(point.used, point.limit or 0.0) for point in each.points) or 1.0
    high = most * 1.05

    def x(moment: datetime) -> float:
        return present * (moment - first).total_seconds() / span

    def y(value: float) -> float:
        return _HIGH * (1 - min(max(value, 0.0), high) / high)

    pairs = [(x(point.time), y(point.used)) for point in each.points]
    shown = pairs if len(pairs) > 1 else pairs * 2  # a line of no length is a dot
    last = each.last
    ahead = ""
    if each.per_day is not None:
        days_ahead = span / 86400 / (1 - _AHEAD) * _AHEAD
        end = last.used + each.per_day * days_ahead
        right = _WIDE
        bound = last.limit if last.limit is not None else high
        if each.per_day > 0 and end > bound:  # the line ends where it meets the limit
            right = pairs[-1][0] + (_WIDE - pairs[-1][0]) * max(0.0, bound - last.used) / (end - last.used)
            end = bound
        ahead = f"{pairs[-1][0]:.1f},{pairs[-1][1]:.1f} {right:.1f},{y(end):.1f}"
    return Plot(
        growth=each,
        curve=" ".join(f"{left:.1f},{up:.1f}" for left, up in shown),
        ahead=ahead,
        limit=None if last.limit is None else y(last.limit),
        top=amount(each, most),
        first=first.strftime("%Y-%m-%d"),
        last=now.strftime("%Y-%m-%d"),
        now=present,
    )
