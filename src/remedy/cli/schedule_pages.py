"""What `remedy schedule list` and `show` print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from remedy.report.text import count, safe
from remedy.schedule.book import Entry
from remedy.schedule.decide import span
from remedy.schedule.file import first_permitted
from remedy.schedule.model import DIAGNOSE, Schedule
from remedy.schedule.times import Due
from remedy.schedule.windows import texts

if TYPE_CHECKING:
    from remedy.cli.schedule_install import Timer
    from remedy.cli.scheduling import Past

_SOON = timedelta(days=14)
_LOOK = 50  # due times


def state(schedule: Schedule, now: datetime) -> str:
    """Return in a few words whether a schedule will run."""
    if schedule.paused is not None:
        return f"paused: {schedule.paused}"
    permission = schedule.permission
    if permission is None or schedule.mode == DIAGNOSE:
        return "active"
    if permission.expired(now, schedule.zone):
        return f"permission ended on {permission.until}"
    left = permission.until - now.astimezone(schedule.zone).date()
    return f"active, permission ends in {left.days} d" if left < _SOON else "active"


def upcoming(schedule: Schedule, now: datetime, number: int) -> list[dict[str, Any]]:
    """Return the next due times, each with what becomes of it as far as that is known."""
    found = []
    for due in islice(schedule.dues(now), number):
        start = due.at + schedule.late_by(due)
        closed = None if due.gap else _closed(schedule, start)
        note = notes(schedule, due)
        found.append(
            {
                "due": _iso(due.at),
                "local": f"{due.wall:%a %Y-%m-%d %H:%M} {schedule.zone.key}",
                "starts": None if due.gap or closed else _iso(start),
                "note": "; ".join([*note, *([f"does not run, {closed}"] if closed else [])]),
            }
        )
    return found


def _closed(schedule: Schedule, start: datetime) -> str | None:
    """Return why nothing runs at a moment, None where something does."""
    permission = schedule.permission
    if permission is not None and permission.expired(start, schedule.zone):
        return f"the permission's last day is {permission.until}"
    return schedule.opening.closed(start)


def next_run(schedule: Schedule, now: datetime) -> Due | None:
    """Return the next due time that runs, None where none does; a pause is left aside."""
    first = first_permitted(schedule, now)
    return None if first is None else first.due


def next_text(following: Due | None) -> str:
    """Say when a schedule runs next."""
    if following is None:
        return "and never: remedy schedule show says why"
    return f"next at {following.wall:%a %Y-%m-%d %H:%M %Z}"


def lost_to_jitter(schedule: Schedule, now: datetime) -> str | None:
    """Say how many of the next times would run, and do not because their jitter leads to where nothing may start."""
    if not schedule.jitter:
        return None
    opening = schedule.opening
    meant = [due for due in islice(schedule.dues(now), _LOOK) if not due.gap and opening.closed(due.at) is None]
    lost = sum(opening.closed(due.at + schedule.late_by(due)) is not None for due in meant)
    if not lost:
        return None
    return f"{lost} of the next {len(meant)} times do not run: their jitter leads out of the windows or into a blackout"


def notes(schedule: Schedule, due: Due) -> list[str]:
    """Say how the clock changes meet a due time."""
    clock = f"{due.wall:%H:%M}"
    if due.gap:
        return [
            f"{clock} does not exist that day, the clock jumps over it: nothing runs, and that is recorded"
        ]
    if due.twice:
        return [f"{clock} comes twice that day: it runs once, at the first"]
    before, after = ((due.at + sign * timedelta(hours=20)).astimezone(schedule.zone) for sign in (-1, 1))
    if (
        before.utcoffset() != after.utcoffset()
        and due.at.astimezone(schedule.zone).utcoffset() == after.utcoffset()
    ):
        return [f"the first one after the clock change: UTC{due.at.astimezone(schedule.zone):%z}"]
    return []


def list_text(rows: Sequence[tuple[str, ...]]) -> str:
    """Return the list as a table with a head."""
    table = [("NAME", "MODE", "PLAYBOOK", "NEXT", "LAST", "STATE"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]) - 1)]
    lines = []
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return "".join(f"{safe(line)}\n" for line in lines)


def timer_text(timer: Timer, name: str) -> str:
    """Say whether an installed timer fires when the schedule's file says so."""
    if timer.fault is None:
        return f"an installed timer starts it: {timer.path}"
    return f"the installed timer {timer.fault} ({timer.path}): {_again(name)}"


def _again(name: str) -> str:
    return f"export again: remedy schedule export {name} --systemd --install"


def _started(schedule: Schedule, past: Past | None, timers: Sequence[Timer]) -> str:
    """Return what is to be said of who starts a schedule; nothing where all is well, or is not known."""
    if fault := next((timer.fault for timer in timers if timer.fault), None):
        return f"; the installed timer {fault}: {_again(schedule.name)}"
    if schedule.paused is None and past is not None and past.served is None and not timers:
        return "; no daemon and no timer here starts it"
    return ""


def list_row(
    schedule: Schedule, past: Past | None, now: datetime, timers: Sequence[Timer]
) -> tuple[str, ...]:
    """Return a schedule's line of the list; `past` is None where nobody knows."""
    following = next_run(schedule, now) if schedule.paused is None else None
    at = "-" if following is None else f"{following.wall:%a %Y-%m-%d %H:%M %Z}"
    last = "?" if past is None else outcome(past.entries[0] if past.entries else None)
    runs = f"{state(schedule, now)}{_started(schedule, past, timers)}"
    return schedule.name, schedule.mode, schedule.playbook, at, last, runs


def outcome(entry: Entry | None) -> str:
    """Return how a due time ended, in a few words."""
    if entry is None:
        return "-"
    code = "" if entry.exit_code is None else f" (exit {entry.exit_code})"
    return f"{entry.due:%Y-%m-%d %H:%M}Z {entry.state}{code}"


def show_text(
    schedule: Schedule,
    past: Past | None,
    now: datetime,
    number: int,
    hosts: int | None,
    trouble: str,
    timers: Sequence[Timer],
) -> str:
    """Return all about one schedule; `past` is None where nobody knows."""
    opening = schedule.opening
    about = [
        ("schedule", f"{schedule.name} ({schedule.path})"),
        ("state", f"cannot run: {trouble}" if trouble else state(schedule, now)),
        ("runs", f"{schedule.mode} {schedule.playbook}"),
        ("on", f"{', '.join(schedule.inventories) or 'the default inventory'}"
               + (f", limit {schedule.limit}" if schedule.limit else "")
               + (f": {count(hosts, 'host')}" if hosts is not None else "")),
        ("when", f"{schedule.planned}" + (f", up to {_seconds(schedule.jitter)} later" if schedule.jitter else "")),
        ("windows", texts(opening.windows) or "any time"),
        ("blackouts", texts(opening.blackouts) or "none"),
        ("missed", "skipped" if schedule.missed == "skip" else "runs once, inside its windows"),
        ("overlap", "refused" if schedule.overlap == "refuse" else "waits for the run before"),
        ("permission", _permission(schedule, hosts)),
        ("daemon", _daemon(past)),
        *(("timer", timer_text(timer, schedule.name)) for timer in timers),
    ]  # fmt: skip
    lines = [f"{name + ':':<12}{text}" for name, text in about]
    lines += ["", "next time:" if number == 1 else f"next {number} times:"]
    for each in upcoming(schedule, now, number):
        starts = ""
        if each["starts"] not in (None, each["due"]):
            starts = f"  starts {each['starts'][11:]}"
        note = f"  {each['note']}" if each["note"] else ""
        lines.append(f"  {each['local']}  {each['due']}{starts}{note}")
    unknown = "last times: not known now, the history cannot be read"
    lines += ["", unknown if past is None else "last times:" if past.entries else "no time has come yet"]
    for entry in past.entries if past else ():
        what = entry.state if entry.exit_code is None else f"{entry.state}, exit {entry.exit_code}"
        by = f" ({entry.reason})" if entry.reason else ""
        run = f"  {entry.run}" if entry.run else ""
        lines.append(f"  {_iso(entry.due)}  {what}{by}{run}")
    return "".join(f"{safe(line)}\n" for line in lines)


def _daemon(past: Past | None) -> str:
    if past is None:
        return "not known now"
    if past.served is None:
        return "none is at work; a timer or a crontab may start it (remedy schedule export)"
    holder, following = past.served
    return f"{holder}: next at {_iso(following)}" if following else f"{holder}: it has no next time for it"


def _permission(schedule: Schedule, hosts: int | None) -> str:
    if schedule.mode == DIAGNOSE:
        return "none needed: it only looks"
    if schedule.permission is None:
        return "none: a step that destroys or interrupts is refused, exit 3"
    most = "" if hosts is None else f"; now that is {schedule.permission.hosts(hosts)} of {hosts}"
    return f"{schedule.permission}{most}"


def as_json(
    schedule: Schedule,
    past: Past | None,
    now: datetime,
    number: int,
    trouble: str,
    timers: Sequence[Timer],
) -> dict[str, Any]:
    """Return all about one schedule as plain data; `past` is None where nobody knows."""
    permission = schedule.permission
    return {
        "name": schedule.name,
        "file": str(schedule.path),
        "state": f"cannot run: {trouble}" if trouble else state(schedule, now),
        "mode": schedule.mode,
        "playbook": schedule.playbook,
        "inventories": list(schedule.inventories),
        "limit": schedule.limit,
        "when": list(schedule.when),
        "zone": schedule.zone.key,
        "jitter": schedule.jitter,
        "missed": schedule.missed,
        "overlap": schedule.overlap,
        "paused": schedule.paused,
        "permission": None
        if permission is None
        else {
            "kinds": sorted(permission.kinds),
            "at_most": permission.at_most,
            "until": permission.until.isoformat(),
            "by": permission.by,
        },
        "daemon": None
        if past is None or past.served is None
        else {
            "holder": past.served.holder,
            "next": _iso(past.served.next) if past.served.next else None,
        },
        "timers": [
            {"file": str(timer.path), "current": timer.current, "enabled": timer.enabled} for timer in timers
        ],
        "next": upcoming(schedule, now, number),
        "last": None
        if past is None
        else [
            {
                "due": _iso(each.due),
                "state": each.state,
                "reason": each.reason,
                "run": each.run,
                "exit_code": each.exit_code,
                "holder": each.holder,
                "updated": _iso(each.updated),
            }
            for each in past.entries
        ],
    }


def dumped(document: Any) -> str:
    """Return a document as JSON text."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def _iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _seconds(seconds: float) -> str:
    return span(timedelta(seconds=seconds))
