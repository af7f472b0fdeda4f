"""A schedule as units of systemd: a timer, and the service that it starts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from remedy.schedule.days import Days
from remedy.schedule.model import ONCE, Schedule

_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# What ssh and the runs need stays: the network, the home folder to read, the state folder to write.
_SYSTEM = """\
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
CapabilityBoundingSet=
"""
# These need no privileges: a user's manager can do them, too.
_EVERYWHERE = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""


class Place(Struct, frozen=True, kw_only=True):
    """Where and as whom the service runs.

    `user` is None in a user's own manager. `credentials` are name → file, given to the service by systemd and named
    on its command line by `arguments`. `hardened`: it reaches other hosts, and needs little of its own; it may write
    the state folder and the folders `written`.
    """

    program: Sequence[str]
    root: Path
    state: Path
    user: str | None
    credentials: dict[str, Path]
    arguments: Sequence[str] = ()
    written: Sequence[Path] = ()
    hardened: bool = True


def unit_name(key: str) -> str:
    """Return the units' name without ending, for a schedule's key."""
    return "remedy-" + re.sub(r"[^A-Za-z0-9_-]", "-", key)


def timer(schedule: Schedule) -> str:
    """Return the timer unit; what is late is for `remedy schedule run` to judge, so nothing is caught up."""
    lines = [f"OnCalendar={text}" for text in calendars(schedule)]
    if schedule.missed == ONCE:
        lines += [
            "# A missed time may run once inside a window: looked at after the start, and when a window opens.",
            "OnStartupSec=2min",
            *(f"OnCalendar={text}" for text in _openings(schedule) if f"OnCalendar={text}" not in lines),
        ]
    return f"""\
# Made by `remedy schedule export {schedule.name} --systemd` from {schedule.path.name}; made anew when that changes.
[Unit]
Description=remedy: {_plain(schedule.title)}

[Timer]
{chr(10).join(lines)}
Persistent=false
AccuracySec=1s
# When the clock is set: what it leapt over is told at once, and a timer from a clock that was ahead waits no longer.
OnClockChange=yes

[Install]
WantedBy=timers.target
"""


def service(schedule: Schedule, place: Place) -> str:
    """Return the service unit."""
    command = [*place.program, "schedule", "run", schedule.name, "--due", "now"]
    start = " ".join([*map(quoted, command), *place.arguments])
    lines = [f"User={place.user}"] if place.user is not None else []
    lines += [
        f"WorkingDirectory={_escaped(str(place.root))}",
        f"Environment={_setting(f'REMEDY_STATE={place.state}')}",
        *(f"LoadCredential={name}:{_escaped(str(path))}" for name, path in sorted(place.credentials.items())),
        f"ExecStart={start}",
    ]
    hardening = ""
    if place.hardened:
        own = f"{_SYSTEM}{_writable(place)}" if place.user is not None else ""
        hardening = f"\n{own}{_EVERYWHERE}"
    network = "Wants=network-online.target\nAfter=network-online.target\n" if place.user is not None else ""
    return f"""\
# Made by `remedy schedule export {schedule.name} --systemd` from {schedule.path.name}; made anew when that changes.
[Unit]
Description=remedy: {_plain(schedule.title)} ({schedule.mode} {_plain(schedule.playbook)})
{network}
[Service]
Type=oneshot
{chr(10).join(lines)}
# 10: findings. The others (2 a host failed, 3 refused, 4 not worked on, 5 bad input) leave the unit failed.
SuccessExitStatus=10
# As Ctrl-C: what must not be cut off finishes, nothing new starts.
KillMode=mixed
KillSignal=SIGTERM
TimeoutStopSec=30min
UMask=0077
{hardening}"""


def _writable(place: Place) -> str:
    # With "-" the service starts without it, too: that a disk is not mounted remedy says better than systemd.
    words = [_setting(str(place.state)), *(_setting(f"-{folder}") for folder in place.written)]
    return "".join(f"ReadWritePaths={word}\n" for word in words)


def calendars(schedule: Schedule) -> list[str]:
    """Return OnCalendar expressions for the due times, each once."""
    zone = schedule.zone.key
    found = [
        f"{days} {_clock(rule.hours, 24)}:{_clock(rule.minutes, 60)}:00 {zone}"
        for rule in schedule.rules
        for days in _days(rule.days)
    ]
    return list(dict.fromkeys(found))


def _openings(schedule: Schedule) -> list[str]:
    return [
        f"{days} {window.start // 60:02}:{window.start % 60:02}:00 {schedule.zone.key}"
        for window in schedule.opening.windows
        for days in _days(window.days)
    ]


def _days(days: Days) -> Iterator[str]:
    months = _numbers(days.months) if days.months is not None else "*"
    names = ",".join(_NAMES[number] for number in sorted(days.weekdays)) if days.weekdays is not None else ""
    week = f"{names} " if names else ""
    if days.either:
        yield f"{week}*-{months}-*"
        week = ""
    if days.nth is not None:
        ordinary = sorted(nth for nth in days.nth if nth > 0)
        if ordinary:
            spans = ",".join(f"{nth * 7 - 6:02}..{nth * 7:02}" for nth in ordinary)
            yield f"{week}*-{months}-{spans}"
        if -1 in days.nth:
            yield f"{week}*-{months}~07/1"
        return
    if days.days is None:
        yield f"{week}*-{months}-*"
        return
    ordinary = sorted(day for day in days.days if day > 0)
    if ordinary:
        yield f"{week}*-{months}-{_numbers(ordinary)}"
    if -1 in days.days:
        yield f"{week}*-{months}~01"


def _numbers(numbers: Sequence[int] | frozenset[int]) -> str:
    return ",".join(f"{number:02}" for number in sorted(numbers))


def _clock(numbers: Sequence[int], whole: int) -> str:
    if len(numbers) == whole:
        return "*"
    step = numbers[1] - numbers[0] if len(numbers) > 2 else 0
    if step > 1 and whole % step == 0 and list(numbers) == list(range(numbers[0], whole, step)):
        return f"{numbers[0]:02}/{step}"
    return _numbers(numbers)


def quoted(word: str) -> str:
    """Return a word as systemd reads it on a command line."""
    return _setting(word.replace("$", "$$"))


def _setting(word: str) -> str:
    """Return a word as systemd reads it elsewhere, where a dollar is one."""
    escaped = _escaped(word).replace("\\", "\\\\").replace('"', '\\"')
    return escaped if re.fullmatch(r"[A-Za-z0-9_@%+=:,./-]+", escaped) else f'"{escaped}"'


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _plain(text: str) -> str:
    return _escaped(" ".join(text.split()))
