"""From schedules/NAME.yml to the model: what is wrong in it is said with its place."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from remedy.document import Map, load_file, load_yaml
from remedy.errors import InputError, Position, nearest
from remedy.modules.values import TYPES
from remedy.playbook import readers
from remedy.project import Project
from remedy.schedule.model import DIAGNOSE, ONCE, PLAY, REFUSE, SKIP, WAIT, Schedule
from remedy.schedule.permission import KINDS, Permission
from remedy.schedule.when import Rule, read_when
from remedy.schedule.windows import Opening, Span, Window, read_window

FOLDER = "schedules"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
EXPECTED_NAME = "expected a name such as disk-nightly: up to 63 of a-z, 0-9, '-' and '_'"
_DAY = 86400
_YEAR = timedelta(days=366)
_EXPECTED = "expected 'playbook' and 'when'"
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d?:\d\d(?::\d\d)?)?")
_Read = TypeVar("_Read")


def schedules_folder(project: Project) -> Path:
    """Return where a project keeps its schedules."""
    return project.root / FOLDER


_YEARS = range(2000, 2200)  # what lies further away is a slip, and beyond what calendars can add to


def key_of(project: Project, name: str) -> str:
    """Return what a schedule is called in the history database.

    In one that several machines share it is the same in every copy of the project: there the folder's name counts.
    """
    return f"{project_key(project)}/{name}"


def label_of(project: Project, name: str) -> str:
    """Return what a schedule is called for people, units and its jitter: FOLDER/NAME, the same in every copy."""
    return f"{project.root.name}/{name}"


def project_key(project: Project) -> str:
    """Return what a project is called in the history database: its folder, in a shared one the folder's name."""
    return project.root.name if project.history else str(project.root)


def schedule_files(project: Project) -> list[Path]:
    """Return the files of a project's schedules, sorted by name."""
    folder = schedules_folder(project)
    return sorted(path for path in folder.glob("*.yml") if path.is_file()) if folder.is_dir() else []


def schedule_file(project: Project, name: str) -> Path:
    """Return the file of a schedule; InputError names the nearest."""
    path = schedules_folder(project) / f"{name}.yml"
    if NAME.fullmatch(name) and path.is_file():
        return path
    known = [each.stem for each in schedule_files(project)]
    hint = nearest(name, known) if known else "there is none yet: remedy schedule add"
    raise InputError(f"no schedule '{name}'", hint=f"{hint}\n  looked in {schedules_folder(project)}")


def load_schedule(path: Path, *, project: Project, name: str = "", text: str | None = None) -> Schedule:
    """Read a schedule's file; the first thing that is wrong raises InputError with its place.

    `name`: what it is to be called, where that is not the file's name; `text`: what the file is to hold.
    What hangs on today (an expired permission, windows that never open) and on other files is `vet`'s.
    """
    start = Position(str(path), 1, 1)
    name = name or path.stem
    if not NAME.fullmatch(name):
        raise InputError(f"'{name}' cannot name a schedule", where=Position(str(path)), hint=EXPECTED_NAME)
    document = load_file(path) if text is None else load_yaml(text, str(path))
    if not isinstance(document, Map):
        where = getattr(document, "position", None) or start
        raise InputError(f"the schedule is {readers.describe(document)}", where=where, hint=_EXPECTED)
    for word in ("playbook", "when"):
        if not document.get(word):
            raise InputError(
                f"a schedule without '{word}'", where=document.keys_at.get(word, start), hint=_EXPECTED
            )
    zone = _zone(document.get("zone", "UTC"), "zone", document.values_at.get("zone", start))
    spans = _Spans(zone)
    written = readers.read_mapping(
        document,
        "schedule",
        {
            "title": lambda value, name, at: " ".join(readers.constant(value, name, at).split()),
            "playbook": readers.constant,
            "inventory": readers.constants,
            "limit": readers.constant,
            "vars": readers.variables,
            "mode": readers.choice(DIAGNOSE, PLAY),
            "fail_on": readers.choice("P0", "P1", "P2", "P3"),
            "when": _when,
            "zone": _zone,
            "jitter": _seconds,
            "grace": _seconds,
            "windows": spans.windows,
            "blackouts": spans.blackouts,
            "missed": readers.choice(SKIP, ONCE),
            "overlap": readers.choice(REFUSE, WAIT),
            "permission": _permission,
            "notify": lambda value, name, at: tuple(
                (readers.constant(item, name, where), where) for item, where in readers.items(value, at)
            ),
            "paused": readers.constant,
        },
    )
    opening = Opening(zone, written.get("windows", ()), written.get("blackouts", ()))
    _refuse_contradictions(document, written, opening)
    texts, rules = written["when"]
    same = (
        "limit",
        "mode",
        "fail_on",
        "jitter",
        "grace",
        "missed",
        "overlap",
        "permission",
        "notify",
        "paused",
    )
    return Schedule(
        name=name,
        key=key_of(project, name),
        label=label_of(project, name),
        path=path,
        title=written.get("title", name),
        playbook=written["playbook"],
        inventories=written.get("inventory", ()),
        vars=written.get("vars", Map(start)),
        when=texts,
        rules=rules,
        zone=zone,
        opening=opening,
        document=document,
        **{name: written[name] for name in same if name in written},
    )


def vet(schedule: Schedule, now: datetime) -> None:
    """Raise InputError for what cannot work from today on: it is refused when a schedule is added."""
    at, start = schedule.document.values_at, Position(str(schedule.path), 1, 1)
    for text, rule, where in zip(schedule.when, schedule.rules, _places(schedule), strict=False):
        today = now.astimezone(schedule.zone).date()
        if not rule.days.ever(today):
            raise InputError(
                f"'{text}' names days that never come",
                where=where,
                hint="no month has such a day; look at it again",
            )
    permission = schedule.permission
    if permission is not None and permission.expired(now, schedule.zone):
        inside = schedule.document["permission"].values_at
        raise InputError(
            f"the permission ended on {permission.until}",
            where=inside.get("until", start),
            hint="expected a day that is still to come; who grants it writes a new one",
        )
    if not _opens(schedule, now):
        word = "windows" if schedule.opening.windows else "blackouts"
        raise InputError(
            f"the {word} are closed at every due time of the next year: it would never run",
            where=at.get(word, start),
            hint=f"due times are: {', '.join(schedule.when)} ({schedule.zone.key})",
        )


def _opens(schedule: Schedule, now: datetime) -> bool:
    """Say whether there is a due time within a year at which something may start."""
    opening, moment, until = schedule.opening, now, now + _YEAR
    if not opening.windows and not opening.blackouts:
        return True
    seen = False
    while moment < until:
        for due in schedule.dues(moment):
            if due.at >= until:
                return not seen and not opening.windows and opening.closed(due.at) is None
            seen = True
            if not due.gap and opening.closed(due.at) is None:
                return True
            later = opening.skip_to(due.at)
            if later is None and opening.windows and opening.opens(due.at) is None:
                return False
            if later is not None and later > due.at:
                moment = later - timedelta(seconds=1)  # a due time at the opening itself counts
                break
        else:
            return False
    return False


def _places(schedule: Schedule) -> list[Position]:
    """Return where each rule's text stands, one entry a rule."""
    value, at = schedule.document["when"], schedule.document.values_at["when"]
    return [where for item, where in readers.items(value, at) for _ in read_when(str(item))]


def _mapped(read: Callable[[str], _Read], value: Any, name: str, position: Position, expected: str) -> _Read:
    """Read a text, a ValueError of `read` becoming an InputError here."""
    text = readers.constant(value, name, position) if isinstance(value, str) else None
    if text is None:
        raise readers.wrong(value, name, position, expected)
    try:
        return read(text)
    except ValueError as error:
        message, colon, hint = str(error).rpartition(": ")
        if hint.startswith(("expected", "did you mean", "valid here")) and colon:
            raise InputError(f"{name}: {message}", where=position, hint=hint) from None
        found = re.match(r"(.*?): (expected .*)", str(error), re.DOTALL)
        message, hint = (found[1], found[2]) if found else (str(error), f"expected {expected}")
        raise InputError(f"{name}: {message}", where=position, hint=hint) from None


def _when(value: Any, name: str, position: Position) -> tuple[tuple[str, ...], tuple[Rule, ...]]:
    texts: list[str] = []
    rules: list[Rule] = []
    for item, at in readers.items(value, position):
        read = _mapped(read_when, item, name, at, "a cron expression or words such as 'daily at 03:10'")
        texts.append(str(item))
        rules += read
    if not rules:
        raise readers.wrong(value, name, position, "a cron expression or words such as 'daily at 03:10'")
    return tuple(texts), tuple(rules)


def _zone(value: Any, name: str, position: Position) -> ZoneInfo:
    text = readers.constant(value, name, position)
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = available_timezones()
        hint = nearest(text, known)
        if not hint.startswith("did you mean"):
            last = [
                each for each in known if each.rpartition("/")[2].lower() == text.lower().replace(" ", "_")
            ]
            hint = (
                nearest(last[0], last)
                if last
                else "expected a name such as Europe/Berlin, Asia/Shanghai or UTC"
            )
        raise InputError(f"no time zone '{text}'", where=position, hint=hint) from None


def _seconds(value: Any, name: str, position: Position) -> float:
    try:
        found = float(TYPES["duration"](value))
    except (ValueError, OverflowError):
        found = -1.0
    if not 0 <= found <= _DAY:
        raise readers.wrong(value, name, position, "a duration such as 90s or 10m, at most 1d")
    return found


class _Spans:
    """Reads windows and blackouts; dates are days of the schedule's zone."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone

    def windows(self, value: Any, name: str, position: Position) -> tuple[Window, ...]:
        found = tuple(
            _mapped(read_window, item, name, at, "a text such as 'daily 01:00 to 05:00'")
            for item, at in readers.items(value, position)
        )
        if not found:
            raise readers.wrong(
                value, name, position, "at least one window; without the word any time is open"
            )
        return found

    def blackouts(self, value: Any, name: str, position: Position) -> tuple[Window | Span, ...]:
        return tuple(self._blackout(item, name, at) for item, at in readers.items(value, position))

    def _blackout(self, value: Any, name: str, position: Position) -> Window | Span:
        expected = "a mapping {from, to, why} of dates, or a text such as 'weekdays 08:00 to 18:00'"
        if not isinstance(value, Map):
            return _mapped(read_window, value, name, position, expected)
        written = readers.read_mapping(
            value, name, {"from": self._first, "to": self._last, "why": readers.constant}
        )
        for word in ("from", "to"):
            if word not in written:
                raise InputError(f"a blackout without '{word}'", where=position, hint=f"expected {expected}")
        (start, first), (end, last) = written["from"], written["to"]
        if end <= start:
            where = value.values_at["to"]
            raise InputError(
                f"the blackout ends before it begins: {first} to {last}", where=where, hint="swap them"
            )
        return Span(start, end, f"{first} to {last}", written.get("why", ""))

    def _first(self, value: Any, name: str, position: Position) -> tuple[datetime, str]:
        moment, text, _ = self._moment(value, name, position)
        return moment, text

    def _last(self, value: Any, name: str, position: Position) -> tuple[datetime, str]:
        moment, text, whole = self._moment(value, name, position)
        if whole:  # a day is meant with all its hours
            moment = (moment.astimezone(self._zone) + timedelta(days=1)).astimezone(UTC)
        return moment, text

    def _moment(self, value: Any, name: str, position: Position) -> tuple[datetime, str, bool]:
        """Return a date or a date with a time as a moment, its text, and whether it is a whole day."""
        text = value.isoformat(" ") if isinstance(value, datetime) else str(value)
        found = None
        if _DATE.fullmatch(text):
            try:
                found = datetime.fromisoformat(re.sub(r"([ T])(\d):", r"\g<1>0\2:", text))
            except ValueError:
                pass
        if found is None or found.year not in _YEARS:
            raise readers.wrong(
                value,
                name,
                position,
                "a date (2026-12-20) or a date and time ('2026-12-20 18:00'), of this century or the next",
            )
        return found.replace(tzinfo=self._zone).astimezone(UTC), text, len(text) == len("2026-12-20")


def _permission(value: Any, name: str, position: Position) -> Permission:
    expected = "a mapping such as {kinds: [D, R], at_most: 25%, until: 2027-06-30, by: anna@example.com}"
    if not isinstance(value, Map):
        raise readers.wrong(value, name, position, expected)
    written = readers.read_mapping(
        value, name, {"kinds": _kinds, "at_most": _most, "until": _until, "by": readers.constant}
    )
    for word in ("kinds", "at_most", "until", "by"):
        if word not in written:
            raise InputError(f"a permission without '{word}'", where=position, hint=f"expected {expected}")
    most, share = written["at_most"]
    return Permission(written["kinds"], most, share, written["until"], written["by"])


def _kinds(value: Any, name: str, position: Position) -> frozenset[str]:
    found = set()
    for item, at in readers.items(value, position):
        if item == "!":
            raise InputError(
                "what is marked ! cannot be permitted ahead",
                where=at,
                hint="it needs its own variable and --yes, by hand: somebody must look at it",
            )
        if not isinstance(item, str) or item not in KINDS:
            raise readers.wrong(item, name, at, "D (destroys) or R (interrupts), such as [D, R]")
        found.add(str(item))
    if not found:
        raise readers.wrong(value, name, position, "D (destroys) or R (interrupts), such as [D, R]")
    return frozenset(found)


def _most(value: Any, name: str, position: Position) -> tuple[float, bool]:
    expected = "a share of the hosts (25%) or their number (2)"
    if isinstance(value, str) and value.endswith("%"):
        try:
            share = float(TYPES["percent"](value))
        except ValueError:
            share = 0.0
        if share > 0:
            return share / 100, True
    whole = int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value
    if isinstance(whole, bool) or not isinstance(whole, int) or whole < 1:
        raise readers.wrong(value, name, position, expected)
    return float(whole), False


def _until(value: Any, name: str, position: Position) -> date:
    try:
        found = date.fromisoformat(str(value))
    except ValueError:
        found = date.min
    if found.year not in _YEARS:
        raise readers.wrong(value, name, position, "a date such as 2027-06-30, of this century or the next")
    return found


def _refuse_contradictions(document: Map, written: dict[str, Any], opening: Opening) -> None:
    if written.get("missed") == ONCE and not opening.windows:
        raise InputError(
            "'missed: once' without windows",
            where=document.values_at["missed"],
            hint="what was missed at night would run by day: say when it may (windows: ['daily 01:00 to 05:00'])",
        )
    if written.get("permission") is not None and written.get("mode", DIAGNOSE) != PLAY:
        raise InputError(
            "a permission, and nothing that needs one",
            where=document.keys_at["permission"],
            hint="diagnose only looks; expected 'mode: play' beside it",
        )
