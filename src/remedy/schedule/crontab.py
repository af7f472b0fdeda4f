"""A schedule as lines of a crontab. A line may start too often: `--due now` does nothing where nothing is due."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from remedy.schedule.days import Days
from remedy.schedule.model import ONCE, Schedule

_CAVEATS = """\
# CRON_TZ is cronie's and dcron's; Debian's cron does not know it, and takes these times for its own zone's. With such
# a cron write the machine's zone into the schedule: a time that cron starts at the wrong moment does not run, it is
# recorded as missed. It holds for every line below it, whoever's that is: put these lines at the crontab's end.
"""


def crontab(
    schedule: Schedule, program: Sequence[str], root: Path, state: Path, arguments: Sequence[str] = ()
) -> str:
    """Return the lines for a crontab, with what stands before and behind them; `arguments`: more of the run's."""
    command = shlex.join([*program, "schedule", "run", schedule.name, "--due", "now", *arguments])
    line = f"cd {shlex.quote(str(root))} && REMEDY_STATE={shlex.quote(str(state))} {command}"
    line = line.replace("%", "\\%")  # cron makes new lines of them
    fields = [_fields(rule.minutes, rule.hours, rule.days) for rule in schedule.rules]
    if schedule.missed == ONCE:
        fields += [
            _fields([window.start % 60], [window.start // 60], window.days)
            for window in schedule.opening.windows
        ]
    lines = [f"{each}  {line}" for each in dict.fromkeys(fields)]
    if schedule.missed == ONCE:
        lines.append(f"@reboot  sleep 120; {line}")
    return (
        f"# remedy: {schedule.title} ({schedule.name}.yml: {schedule.planned})\n{_CAVEATS}"
        f"CRON_TZ={schedule.zone.key}\n" + "\n".join(lines) + "\n"
    )


def another_zone(schedule: Schedule, machine: ZoneInfo, now: datetime) -> bool:
    """Say whether the clocks of the schedule's zone show another time than the machine's, now or within a year."""
    return any(
        at.astimezone(schedule.zone).utcoffset() != at.astimezone(machine).utcoffset()
        for at in (now + timedelta(days=number) for number in range(366))
    )


def _fields(minutes: Sequence[int], hours: Sequence[int], days: Days) -> str:
    weekdays = "*" if days.weekdays is None else _list([(day + 1) % 7 for day in days.weekdays], 7)
    of_month = "*" if days.days is None else _list(_real(days.days), 31)
    if days.nth is not None:
        # Cron would take "or" for both fields: all days on which the wanted weekday may fall, then.
        spans = ["22-31" if nth == -1 else f"{nth * 7 - 6}-{nth * 7}" for nth in sorted(days.nth)]
        of_month, weekdays = ",".join(spans), "*"
    elif days.either and "*" in (of_month, weekdays):
        # Every day will do, and then all of them. Cron takes "either" for "both" where a field begins with a star.
        of_month = weekdays = "*"
    months = "*" if days.months is None else _list(days.months, 12)
    return f"{_list(minutes, 60)} {_list(hours, 24)} {of_month} {months} {weekdays}"


def _real(days: frozenset[int]) -> set[int]:
    return {day for day in days if day > 0} | ({28, 29, 30, 31} if -1 in days else set())


def _list(numbers: Sequence[int] | set[int] | frozenset[int], whole: int) -> str:
    return "*" if len(numbers) == whole else ",".join(str(number) for number in sorted(numbers))
