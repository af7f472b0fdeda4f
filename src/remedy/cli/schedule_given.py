"""What an exported schedule finds when it is started, and what it lacks: credentials, whom it tells, the history."""

from __future__ import annotations

import os
import pwd
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from remedy.cli import scheduling
from remedy.cli.schedule_edit import local_zone
from remedy.errors import InputError
from remedy.project import Project
from remedy.schedule.crontab import another_zone

if TYPE_CHECKING:
    from remedy.notify import Need
    from remedy.schedule import Schedule
    from remedy.schedule.units import Place

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def credentials(given: Iterable[str], taken: Collection[str]) -> dict[str, Path]:
    """Return the files that --credential names, by their names for the service; raises InputError.

    `taken` are names that have a flag of their own.
    """
    found: dict[str, Path] = {}
    for each in given:
        name, equals, file = each.partition("=")
        if not equals or not file or not _NAME.fullmatch(name):
            raise InputError(
                f"--credential '{each}'",
                hint="expected NAME=FILE, the name of letters, digits, '.', '-' and '_', such as ops=/etc/remedy/ops",
            )
        if name in taken or name in found:
            raise InputError(
                f"the credential '{name}' " + ("twice" if name in found else "has a flag of its own"),
                hint=f"expected each name once, and none of {', '.join(sorted(taken))}",
            )
        if not Path(file).is_file():
            raise InputError(f"no file '{file}'", hint="--credential expects NAME=FILE, a file that the run is given")
        found[name] = Path(file).absolute()
    return found


def check_told(needs: Mapping[str, Need], given: Collection[str], *, cron: bool) -> None:
    """Raise InputError for whom it tells by a credential that is not given; warn of a variable that it lacks."""
    for who, need in needs.items():
        source = f"'{who}' takes its address from the {need.kind} {need.name}, which"
        if need.kind == "variable":
            way = (
                "cron does not have: set it in the crontab, above the lines"
                if cron
                else "the service does not have: name a file instead (url_file: $CREDENTIALS_DIRECTORY/NAME, "
                "--credential NAME=FILE), or set it in a drop-in of the unit"
            )
            scheduling.say(f"warning: {source} {way}")
        elif cron:
            raise InputError(
                f"{source} cron cannot give",
                where=need.position,
                hint="expected a path that the crontab's account can read (url_file: /PATH), or --systemd",
            )
        elif need.name not in given:
            raise InputError(
                f"{source} the service is not given",
                where=need.position,
                hint=f"add --credential {need.name}=FILE: a file with the URL, which root alone may read",
            )


def warn_of_zone(schedule: Schedule) -> None:
    """Warn where a cron that does not know CRON_TZ would start the lines at the wrong hour, as Debian's does."""
    machine = local_zone()
    try:
        zone = ZoneInfo(machine)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # of a TZ that says nothing of this machine, or is a folder
        return
    if another_zone(schedule, zone, datetime.now(UTC)):
        scheduling.say(
            f"warning: the schedule's zone is {schedule.zone.key}, this machine's is {machine}: a cron that does not "
            "know CRON_TZ (Debian's) starts it at the wrong hour, and then nothing runs: write the machine's zone into "
            "the schedule. One that knows it (cronie) takes it for every later line of the crontab, too: put these at "
            "its end"
        )


def check_history(project: Project) -> None:
    """Raise InputError where our environment names another history than the service has: both would run a due time."""
    from remedy.history import same_database

    ours, theirs = project.history, project.settings.history
    if ours != theirs and not same_database(project.state, ours, theirs):
        raise InputError(
            "REMEDY_HISTORY_URL names another history than what is exported would use: a due time could run twice",
            hint="write it as `history:` in remedy.yml, a password into ~/.pgpass: a URL may hold one, and is not "
            "written into units and crontabs",
        )


def history_folders(project: Project) -> tuple[Path, ...]:
    """Return the folder of a SQLite history that is not in the state folder; of another history nothing is written."""
    from remedy.history import sqlite_file

    file = sqlite_file(project.state, project.settings.history)
    if file is None:
        return ()
    folder = file.resolve().parent  # where SQLite writes, also by a link
    return () if folder.is_relative_to(project.state.resolve()) else (folder,)


def check_reached(place: Place) -> None:
    """Warn of what the service's account cannot get at, as far as owners and modes tell.

    In the sandbox root is an account like others, and /tmp is another, empty one.
    """
    if place.user is None:
        return
    account = pwd.getpwnam(place.user)
    groups = os.getgrouplist(place.user, account.pw_gid)
    needed = {
        "remedy": Path(place.program[0]),
        "its Python": Path(sys.executable).resolve(),
        "the project": place.root,
        "the state folder": place.state,
    }
    for what, path in needed.items():
        path = path.absolute()
        private = next((each for each in ("/tmp", "/var/tmp") if path.is_relative_to(each)), None)
        if place.hardened and private:
            scheduling.say(
                f"warning: {what} ({path}) is below {private}, of which the sandbox has one of its own: move it, "
                "or add --unhardened"
            )
            continue
        if not account.pw_uid and not place.hardened:
            continue  # root, with all that it may
        closed = [folder for folder in reversed(path.parents) if not _open(folder, account.pw_uid, groups)]
        if closed:
            who = f"{place.user}, which has no powers in the sandbox," if not account.pw_uid else place.user
            scheduling.say(
                f"warning: {who} may not enter {closed[0]}, and so not reach {what} ({path}): move it (REMEDY_STATE "
                "names the state folder), or name another --run-as"
            )


def _open(folder: Path, uid: int, groups: Collection[int]) -> bool:
    """Say whether an account may go through a folder; what is not there yet is made for it."""
    try:
        found = folder.stat()
    except OSError:
        return True
    bit = 0o100 if found.st_uid == uid else 0o010 if found.st_gid in groups else 0o001
    return bool(found.st_mode & bit)
