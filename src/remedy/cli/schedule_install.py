"""Units of systemd for a schedule: where they lie, writing them, taking them away."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from remedy.cli import schedule_given, scheduling
from remedy.errors import InputError, RemedyError
from remedy.home import home_folder
from remedy.project import Project
from remedy.schedule import Schedule, clock
from remedy.schedule.book import Book
from remedy.schedule.file import label_of
from remedy.schedule.units import Place, service, timer, unit_name

_SYSTEM = Path("/etc/systemd/system")
_LINGER = Path("/var/lib/systemd/linger")  # a file for each account whose manager needs no login
_BOOTED = Path("/run/systemd/system")  # there where systemd is at work
_SECONDS = 60  # for systemctl to answer
_CREDENTIALS = {
    "vault_password_file": ("vault-password", "--vault-password-file"),
    "private_key": ("private-key", "--private-key"),
}


RESERVED = frozenset(name for name, _ in _CREDENTIALS.values())
"""Names of credentials that have a flag of their own."""


def arguments(flags: Mapping[str, Any]) -> list[str]:
    """Return what a crontab's line says of files with passwords and keys; raises InputError."""
    return [word for _, option, path in _given(flags) for word in (option, str(path))]


def _given(flags: Mapping[str, Any]) -> Iterator[tuple[str, str, Path]]:
    """Yield the files with passwords and keys that were named: the flag, its option, the file; raises InputError."""
    for flag, (_, option) in _CREDENTIALS.items():
        path: Path | None = flags.get(flag)
        if path is None:
            continue
        if not path.is_file():
            raise InputError(f"no file '{path}'", hint=f"{option} expects a file that the run is given")
        yield flag, option, path.absolute()


def units(project: Project, schedule: Schedule, flags: Mapping[str, Any]) -> dict[Path, str]:
    """Return the units' files and what they hold, the same as long as nothing has changed; raises InputError."""
    system = _system(flags)
    name, folder = unit_name(schedule.label), _folder(system)
    credentials, words = dict(flags.get("credentials") or {}), []
    for flag, option, path in _given(flags):
        if flag == "vault_password_file" and os.access(path, os.X_OK) and path.stat().st_mode & 0o111:
            raise InputError(
                f"'{path}' is a program, and a credential is text",
                hint="name it as vault_password_file in remedy.yml instead: the service runs it there",
            )
        credential = _CREDENTIALS[flag][0]
        credentials[credential] = path
        words += [option, f"%d/{credential}"]
    place = Place(
        program=scheduling.program(),
        root=project.root,
        state=project.state,
        user=_user(flags) if system else None,
        credentials=credentials,
        arguments=words,
        written=schedule_given.history_folders(project),
        hardened=not flags.get("unhardened"),
    )
    schedule_given.check_reached(place)
    return {folder / f"{name}.timer": timer(schedule), folder / f"{name}.service": service(schedule, place)}


def install(
    project: Project, schedule: Schedule, files: Mapping[Path, str], flags: Mapping[str, Any]
) -> None:
    """Write the units where that changes them, and start the timer; raises RemedyError."""
    system = _system(flags)
    _refuse_others(project, files)
    user = _user(flags) if system else None
    _make_folder(project.state, user)
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and path.read_text(encoding="utf-8") == text:
                scheduling.say(f"as it was: {path}")
                continue
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"cannot write {path}: {error.strerror}", hint="as root, or with --user for your own manager"
            ) from error
        scheduling.say(f"wrote {path}")
    _begin(project, schedule, user)
    reading = clock.reading_file(project.state, schedule.path)
    _make_folder(reading.parent, user)
    if clock.first_look(reading):
        _give(reading, user)
    name = f"{unit_name(schedule.label)}.timer"
    _systemctl(system, "daemon-reload")
    _systemctl(system, "enable", name)
    _systemctl(system, "restart", name)
    following = _systemctl(system, "show", "--value", "--property=NextElapseUSecRealtime", name).strip()
    scheduling.say(f"{name} is at work, next at {following or 'no time'}")
    if not system and not (_LINGER / getpass.getuser()).exists():
        scheduling.say("it runs while you are logged in; for always: loginctl enable-linger")


def _begin(project: Project, schedule: Schedule, user: str | None) -> None:
    """Let the due times count from now on; a history that this makes is the service's account's."""
    from remedy.history import sqlite_file

    file = sqlite_file(project.state, project.history)
    before = set(_beside(file))
    with scheduling.history(project) as database:
        Book(database, schedule, scheduling.holder()).begin(datetime.now(UTC))
    if file not in before:
        for path in {*_beside(file)} - before:
            _give(path, user)


def _beside(file: Path | None) -> list[Path]:
    """Return a database's file and what SQLite keeps beside it, as far as they are there."""
    return [] if file is None else [path for path in file.parent.glob(f"{file.name}*") if path.is_file()]


def _refuse_others(project: Project, files: Mapping[Path, str]) -> None:
    """Raise InputError where units of this name are those of another project, whose folder has the same name."""
    for path in files:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        folders = [line.partition("=")[2] for line in lines if line.startswith("WorkingDirectory=")]
        mine = [
            line.partition("=")[2]
            for line in files[path].splitlines()
            if line.startswith("WorkingDirectory=")
        ]
        if folders and folders != mine:
            raise InputError(
                f"{path} belongs to the project {folders[0]}, whose folder is called {project.root.name}, too",
                hint="rename one of the folders, or the schedule",
            )


class Timer(NamedTuple):
    """A timer that is installed for a schedule; `current`: it fires when the schedule's file says so.

    `enabled`: it begins with the machine, which `systemctl enable` does by a link.
    """

    path: Path
    current: bool
    enabled: bool

    @property
    def fault(self) -> str | None:
        """Why it does not start the schedule as its file says."""
        if not self.current:
            return "is of an older plan"
        return None if self.enabled else "is not enabled"


def installed(project: Project, schedule: Schedule) -> list[Timer]:
    """Return the timers that this project's exports have installed here for a schedule."""
    found = []
    for system in (True, False):
        try:
            path = _folder(system) / f"{unit_name(schedule.label)}.timer"
            text = path.read_text(encoding="utf-8")
            started = path.with_suffix(".service").read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError, InputError):
            continue  # there is none; who has no home folder has no manager either
        root = str(project.root).replace("%", "%%")
        if f"WorkingDirectory={root}" in started:  # else another project's, whose folder has the same name
            link = path.parent / "timers.target.wants" / path.name
            found.append(Timer(path, _plan(text) == _plan(timer(schedule)), os.path.lexists(link)))
    return found


def _plan(text: str) -> list[str]:
    """Return what a timer unit says of when it fires."""
    lines = text.partition("[Timer]")[2].partition("[Install]")[0].splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def removed(project: Project, name: str) -> list[Path]:
    """Stop and delete the units of a schedule, wherever they are; return their files."""
    gone = []
    for system in (True, False):
        stem = unit_name(label_of(project, name))
        found = [path for end in ("timer", "service") if (path := _folder(system) / f"{stem}.{end}").exists()]
        if not found:
            continue
        if (_folder(system) / f"{stem}.timer").exists():
            _try_systemctl(system, "disable", "--now", f"{stem}.timer")
        for path in found:
            try:
                path.unlink()
            except OSError as error:
                raise InputError(f"cannot remove {path}: {error.strerror}", hint="as root") from error
        _try_systemctl(system, "daemon-reload")
        gone += found
    return gone


def _try_systemctl(system: bool, *words: str) -> None:
    """Tell systemd; where it is not at work, a unit's file is all there is of it."""
    try:
        _systemctl(system, *words)
    except RemedyError as error:
        if _BOOTED.is_dir():
            raise
        scheduling.say(f"systemd is not at work here: {error.message}")


def _system(flags: Mapping[str, Any]) -> bool:
    chosen = flags.get("system")
    return os.geteuid() == 0 if chosen is None else bool(chosen)


def _folder(system: bool) -> Path:
    if system:
        return _SYSTEM
    base = Path(os.environ.get("XDG_CONFIG_HOME") or "")
    return (base if base.is_absolute() else home_folder("XDG_CONFIG_HOME") / ".config") / "systemd" / "user"


def _user(flags: Mapping[str, Any]) -> str:
    name = str(flags.get("run_as") or os.environ.get("SUDO_USER") or getpass.getuser())
    try:
        pwd.getpwnam(name)
    except KeyError:
        raise InputError(f"no user '{name}'", hint="--run-as expects an account of this machine") from None
    return name


def _make_folder(folder: Path, user: str | None) -> None:
    """Make a folder of the state: a sandbox cannot be opened for one that is not there."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True, mode=0o700)
    _give(folder, user)


def _give(path: Path, user: str | None) -> None:
    """Give a file or folder to the account that the service runs as."""
    if user is not None and os.geteuid() == 0 and path.exists():
        account = pwd.getpwnam(user)
        os.chown(path, account.pw_uid, account.pw_gid)


def _systemctl(system: bool, *words: str) -> str:
    if shutil.which("systemctl") is None:
        raise InputError("there is no systemctl here", hint="export with --cron, or start `remedy scheduler`")
    argv = ["systemctl", *([] if system else ["--user"]), *words]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise RemedyError(f"{' '.join(argv)}: no answer within {_SECONDS} s") from None
    if done.returncode:
        raise InputError(
            f"{' '.join(argv)}: {done.stderr.strip() or f'exit {done.returncode}'}",
            hint="the units are written; look at them with systemd-analyze verify",
        )
    return done.stdout
