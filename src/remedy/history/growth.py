"""How fast what is measured grows, and when it meets its limit: read from the measures of past runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import select

from remedy.errors import InputError, nearest
from remedy.history.database import Database
from remedy.history.queries import measured
from remedy.history.tables import measures

_DAY = timedelta(days=1)
_LEAST_SPAN = timedelta(hours=20)  # less is one day's tide
_LEAST_POINTS = 3
_BUCKETS = 60  # of the trend: the number of pairs grows with its square
_OF_THE_KERNEL = ("/dev/", "/proc/", "/sys/", "/run/")  # nothing is kept there; /run itself can fill
_FAR = 3650.0  # days; further away is never
_STEADY = 0.001  # of the limit a day: less is noise


class _Kind(NamedTuple):
    """What is compared with what: measures that are added up, those in `less` taken away."""

    name: str
    unit: str
    used: tuple[str, ...]
    less: tuple[str, ...] = ()
    limit: tuple[str, ...] = ()

    @property
    def names(self) -> set[str]:
        return {*self.used, *self.less, *self.limit}


_KINDS = (
    # Without root's reserve, which nobody else can use.
    _Kind("disk", "bytes", ("disk.used",), limit=("disk.used", "disk.available")),
    _Kind("inodes", "count", ("disk.inodes_used",), limit=("disk.inodes",)),
    _Kind("memory", "bytes", ("memory.total",), less=("memory.available",), limit=("memory.total",)),
    _Kind("memory", "bytes", ("memory.used",), limit=("memory.limit",)),  # of a server: object says which
    _Kind("swap", "bytes", ("swap.used",), limit=("swap.total",)),
    _Kind("connections", "count", ("connections.used",), limit=("connections.allowed",)),
    _Kind("database", "bytes", ("database.bytes",)),
    _Kind("binary logs", "bytes", ("binlogs.bytes",)),
    _Kind("write-ahead log", "bytes", ("wal.bytes",)),
    _Kind("docker", "bytes", ("docker.bytes",)),
)
RESOURCES = tuple(dict.fromkeys(kind.name for kind in _KINDS))


class Point(NamedTuple):
    """How much was used at a moment; `limit` None where there is none, or was not told."""

    time: datetime
    used: float
    limit: float | None


class Growth(Struct, frozen=True, kw_only=True):
    """One thing of one host that is measured; `unit` is bytes or count, `object` a mount, a database, "".

    `per_day` is its net growth, None where the points are too few or too close together, or where it has not been
    measured for long (`reason`); `days_left` until it meets its limit, None where it does not within ten years.
    """

    host: str
    resource: str
    object: str
    unit: str
    points: tuple[Point, ...]
    per_day: float | None = None
    days_left: float | None = None
    reason: str | None = None

    @property
    def last(self) -> Point:
        """What was measured last."""
        return self.points[-1]

    def told(self) -> dict[str, Any]:
        """Return what programs are told of it, without its host and its points."""
        last = self.last
        return {
            "resource": self.resource,
            "object": self.object,
            "unit": self.unit,
            "used": last.used,
            "limit": last.limit,
            "per_day": self.per_day,
            "days_left": self.days_left,
            "reason": self.reason,
        }

    @property
    def share(self) -> float | None:
        """How much of the limit is used, 1.0 is all; None without a limit."""
        last = self.last
        return None if not last.limit else last.used / last.limit


def growths(
    database: Database, since: datetime, hosts: Sequence[str] = (), resources: Sequence[str] = ()
) -> list[Growth]:
    """Return what was measured since a moment, the soonest full first; `hosts` may have * and ?.

    InputError for a host that was never measured.
    """
    kinds = [kind for kind in _KINDS if not resources or kind.name in resources]
    chosen = _hosts(database, hosts)
    series = list(_series(database, since, kinds, chosen))
    newest: dict[tuple[str, str], datetime] = {}
    for (kind, host, _), points in series:
        newest[kind.name, host] = max(points[-1].time, newest.get((kind.name, host), points[-1].time))
    found = [
        _grown(kind, host, about, points, newest[kind.name, host]) for (kind, host, about), points in series
    ]
    return sorted(found, key=_urgency)


def days_of(found: Iterable[Growth], below: float) -> list[Growth]:
    """Return those that are full within so many days, or already."""
    return [each for each in found if each.days_left is not None and each.days_left <= below]


def _urgency(each: Growth) -> tuple[float, float, str, str, str]:
    left = _FAR * 10 if each.days_left is None else each.days_left
    return (left, -(each.share or 0.0), each.host, each.resource, each.object)


def _hosts(database: Database, patterns: Sequence[str]) -> list[str] | None:
    if not patterns:
        return None
    with database.reading() as connection:
        known = sorted(connection.execute(select(measures.c.host).distinct()).scalars())
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            hint = (
                nearest(pattern, known)
                if known
                else "remedy diagnose capacity-report measures, best once a day"
            )
            raise InputError(f"no host '{pattern}' was ever measured", hint=hint)
    return [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _series(
    database: Database, since: datetime, kinds: list[_Kind], hosts: list[str] | None
) -> Iterator[tuple[tuple[_Kind, str, str], list[Point]]]:
    wanted = {name for kind in kinds for name in kind.names}
    told: dict[tuple[str, str], dict[datetime, dict[str, float]]] = {}
    for each in measured(database, wanted, hosts=hosts or (), since=since):
        moments = told.setdefault((each.host, each.object), {})
        moments.setdefault(each.time, {})[each.name] = each.value
    for (host, about), moments in told.items():
        if f"{about}/".startswith(_OF_THE_KERNEL) and about != "/run":
            continue
        for kind in kinds:
            points = list(_points(kind, moments))
            if points:
                yield (kind, host, about), points


def _points(kind: _Kind, moments: dict[datetime, dict[str, float]]) -> Iterator[Point]:
    """Yield what was used at each moment; what did not change since the last look was not told again."""
    known: dict[str, float] = {}
    for moment, values in sorted(moments.items()):
        known.update(values)
        if not values.keys() >= {*kind.used} or not known.keys() >= {*kind.less}:
            continue
        limit = sum(known[name] for name in kind.limit) if known.keys() >= {*kind.limit} else 0
        used = sum(values[name] for name in kind.used) - sum(known[name] for name in kind.less)
        yield Point(moment, used, limit or None)  # a limit of 0 is none: Redis without maxmemory


def _grown(kind: _Kind, host: str, about: str, points: list[Point], newest: datetime) -> Growth:
    """Return what became of one thing; `newest`: when its host was last asked for things of its kind."""
    told = Growth(host=host, resource=kind.name, object=about, unit=kind.unit, points=tuple(points))
    if _is_gone(points, newest):
        since = f"{points[-1].time:%Y-%m-%d}"
        return replace(told, reason=f"not measured since {since}, unlike others of its host: it may be gone")
    per_day, reason = _trend(points)
    if per_day is None:
        return replace(told, reason=reason)
    left = None
    last = told.last
    if last.limit is not None:
        room = last.limit - last.used
        if room <= 0:
            left = 0.0
        elif per_day > _STEADY * last.limit and room / per_day <= _FAR:
            left = room / per_day
    return replace(told, per_day=per_day, days_left=left)


def _is_gone(points: list[Point], newest: datetime) -> bool:
    """Say whether a thing has missed so many looks at its host that it must be gone: unmounted, dropped.

    Not all looks are at everything, so what counts is the longest time that it was left out before.
    """
    gaps = (late.time - early.time for early, late in pairwise(points))
    return newest - points[-1].time > max(_LEAST_SPAN, 2 * max(gaps, default=_LEAST_SPAN))


def _trend(points: list[Point]) -> tuple[float | None, str | None]:
    """Return the growth a day: the median of the slopes between all pairs, which one odd day does not move."""
    span = points[-1].time - points[0].time
    if len(points) < _LEAST_POINTS or span < _LEAST_SPAN:
        hours = span.total_seconds() / 3600
        needed = f"{_LEAST_POINTS} in {_LEAST_SPAN.seconds // 3600} h"
        return None, f"{len(points)} measured in {hours:.0f} h, and a trend needs {needed}"
    thin = list(_thinned(points))
    slopes = [
        (late.used - early.used) / ((late.time - early.time) / _DAY)
        for number, early in enumerate(thin)
        for late in thin[number + 1 :]
        if late.time > early.time
    ]
    return median(slopes), None


def _thinned(points: list[Point]) -> Iterator[Point]:
    """Yield at most so many points: of each stretch of time the middle one by what was used."""
    if len(points) <= _BUCKETS:
        yield from points
        return
    first = points[0].time
    width = (points[-1].time - first) / _BUCKETS or _DAY
    buckets: dict[int, list[Point]] = {}
    for point in points:
        buckets.setdefault(min(_BUCKETS - 1, int((point.time - first) / width)), []).append(point)
    for bucket in buckets.values():
        yield sorted(bucket, key=lambda point: point.used)[len(bucket) // 2]
