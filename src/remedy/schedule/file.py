"""From schedules/NAME.yml to the model: what is wrong in it is said with its place."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from remedy.document import Map, load_file, load_yaml
from remedy.errors import InputError, Position, nearest
from remedy.playbook import readers
from remedy.project import Project
from remedy.schedule import reading
from remedy.schedule.decide import span
from remedy.schedule.model import DIAGNOSE, ONCE, PLAY, REFUSE, SKIP, WAIT, Schedule
from remedy.schedule.times import Due
from remedy.schedule.when import read_when
from remedy.schedule.windows import Opening

FOLDER = "schedules"
_ENDING = ".yml"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
EXPECTED_NAME = "expected a name such as disk-nightly: up to 63 of a-z, 0-9, '-' and '_'"
_YEAR = timedelta(days=366)
_LEAST_GRACE = 10  # seconds
_EXPECTED = "expected 'playbook' and 'when'"


def schedules_folder(project: Project) -> Path:
    """Return where a project keeps its schedules."""
    return project.root / FOLDER


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
    """Return the files of a project's schedules, sorted by name; InputError where their folder cannot be read.

    What is no file, and links that lead nowhere, are among them: who reads one says what is wrong.
    """
    return [path for path in _entries(project) if path.suffix == _ENDING]


def misnamed_files(project: Project) -> list[Path]:
    """Return files that look like schedules, and that nothing reads, sorted by name; raises InputError."""
    return [path for path in _entries(project) if path.suffix.lower() in (".yaml", _ENDING) and path.suffix != _ENDING]


def misnamed(path: Path) -> str:
    """Say why nothing reads a file."""
    return f"{path.name} is not read: name it {path.stem}{_ENDING}"


def _entries(project: Project) -> list[Path]:
    folder = schedules_folder(project)
    try:
        # Not what editors hide beside a file.
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not folder.is_symlink():
            return []
        raise InputError(
            f"the schedules cannot be read: {error.strerror}",
            where=Position(str(folder)),
            hint="expected a folder that whoever runs them may read",
        ) from error


def path_of(project: Project, name: str) -> Path:
    """Return where the file of a schedule is, or would be."""
    return schedules_folder(project) / f"{name}{_ENDING}"


def schedule_file(project: Project, name: str) -> Path:
    """Return the file of a schedule; InputError names the nearest."""
    path = path_of(project, name)
    if NAME.fullmatch(name) and os.path.lexists(path):
        return path
    files = schedule_files(project)
    if path in files:
        raise InputError(f"'{name}' cannot name a schedule", where=Position(str(path)), hint=EXPECTED_NAME)
    known = [each.stem for each in files if NAME.fullmatch(each.stem)]
    hint = nearest(name, known) if known else "there is none yet: remedy schedule add"
    hint = next((misnamed(each) for each in misnamed_files(project) if each.stem == name), hint)
    raise InputError(f"no schedule '{name}'", hint=f"{hint}\n  looked in {schedules_folder(project)}")


def is_gone(path: Path) -> bool:
    """Say whether a file is not there, which is not known where its folder cannot be looked into."""
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


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
    zone = reading.zone(document.get("zone", "UTC"), "zone", document.values_at.get("zone", start))
    spans = reading.Spans(zone)
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
            "when": reading.when,
            "zone": reading.zone,
            "jitter": reading.seconds,
            "grace": reading.seconds,
            "windows": spans.windows,
            "blackouts": spans.blackouts,
            "missed": readers.choice(SKIP, ONCE),
            "overlap": readers.choice(REFUSE, WAIT),
            "permission": reading.permission,
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
    if schedule.grace < _LEAST_GRACE:
        raise InputError(
            f"with a grace of {schedule.grace:g} s a start would mostly be too late, and be recorded as missed",
            where=at.get("grace", start),
            hint=f"expected at least {_LEAST_GRACE} s, such as 10m: timers and processes take seconds to begin",
        )
    permission = schedule.permission
    if permission is not None and permission.expired(now, schedule.zone):
        inside = schedule.document["permission"].values_at
        raise InputError(
            f"the permission ended on {permission.until}",
            where=inside.get("until", start),
            hint="expected a day that is still to come; who grants it writes a new one",
        )
    first = next(starts(schedule, now), None)
    if first is None:
        word = "windows" if schedule.opening.windows else "blackouts"
        late = " (with its jitter)" if schedule.jitter else ""
        raise InputError(
            f"the {word} are closed at every due time of the next year{late}: it would never run",
            where=at.get(word, start),
            hint=f"due times are: {', '.join(schedule.when)} ({schedule.zone.key})"
            + (f", each up to {span(timedelta(seconds=schedule.jitter))} later" if schedule.jitter else ""),
        )
    if permission is not None and first_permitted(schedule, now) is None:
        inside = schedule.document["permission"].values_at
        local = first.start.astimezone(schedule.zone)
        raise InputError(
            f"the permission ends on {permission.until}, before it could run: the next start is "
            f"{local:%a %Y-%m-%d %H:%M} {schedule.zone.key}",
            where=inside.get("until", start),
            hint="expected a day that is not before that; after the permission's last day nothing runs",
        )


class Start(NamedTuple):
    """A due time that runs, and the moment at which it starts: later by its jitter."""

    due: Due
    start: datetime


def starts(schedule: Schedule, now: datetime) -> Iterator[Start]:
    """Yield the due times after a moment at whose start something may run, within a year; a pause is left aside.

    Where only blackouts limit it, and no due time comes within a year, the first one counts.
    """
    opening, moment, until = schedule.opening, now, now + _YEAR
    early = timedelta(seconds=schedule.jitter + 1)  # by which a due time may be before its start
    seen = False
    while True:
        for due in schedule.dues(moment):
            start = due.at + schedule.late_by(due)
            if due.at >= until and (seen or opening.windows):
                return
            seen = True
            moment = due.at
            if not due.gap and opening.closed(start) is None:
                yield Start(due, start)
                continue
            if opening.closed(due.at) is None:
                continue
            # What is due while it is closed, and starts before it opens, does not run either.
            later = opening.skip_to(due.at)
            if later is None and opening.windows and opening.opens(due.at) is None:
                return
            if later is not None and later - early > moment:
                moment = later - early
                break
        else:
            return


def first_permitted(schedule: Schedule, now: datetime) -> Start | None:
    """Return the first of `starts` before the permission is over, where it needs one; None where there is none."""
    permission = schedule.permission
    for each in starts(schedule, now):
        if permission is None or not permission.expired(each.start, schedule.zone):
            return each
        if permission.expired(each.due.at, schedule.zone):
            return None
    return None


def written_at(path: Path) -> datetime | None:
    """Return when a file was put in its place, None where it is gone or its file system cannot say."""
    with suppress(OSError, OverflowError, ValueError):
        # Not the time that a copy or an archive brings along.
        return datetime.fromtimestamp(path.stat().st_ctime, UTC)
    return None


def _places(schedule: Schedule) -> list[Position]:
    """Return where each rule's text stands, one entry a rule."""
    value, at = schedule.document["when"], schedule.document.values_at["when"]
    return [where for item, where in readers.items(value, at) for _ in read_when(str(item))]


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
