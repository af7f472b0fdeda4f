"""Writing schedules: from flags to a file, a pause into it and out of it again."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from remedy.cli.session import me
from remedy.document import load_file, load_yaml
from remedy.errors import InputError, Position
from remedy.project import Project
from remedy.schedule import Schedule, load_schedule
from remedy.schedule.file import EXPECTED_NAME, NAME, path_of, schedule_files

_LOGIN = ("user", "private_key", "vault_files", "vault_ids", "forks")
_WRITABLE = "expected a folder that you may write to; nothing was changed"
_PAUSED = re.compile(r"^paused:.*\n?", re.MULTILINE)  # a value of several lines is left to people


def login_of(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags that say how to log in."""
    return {name: flags[name] for name in _LOGIN if name in flags}


def drafted(
    project: Project, name: str, source: Path | None, flags: Mapping[str, Any], *, replace: bool
) -> tuple[Schedule, Path]:
    """Return the schedule that flags or a file describe, and where it belongs; raises InputError."""
    if not NAME.fullmatch(name):
        raise InputError(f"'{name}' cannot name a schedule", hint=EXPECTED_NAME)
    path = path_of(project, name)
    if not os.path.lexists(path):
        schedule_files(project)  # whether it is there cannot be seen in a folder that cannot be read
    said = _said(flags)
    if source is not None:
        if said:
            raise InputError("--from and other flags together", hint="the file says it all, or the flags do")
        _refuse_two(path, replace or (path.exists() and path.samefile(source)))
        return load_schedule(source.absolute(), project=project, name=name), path
    if not said and os.path.lexists(path):
        return load_schedule(path, project=project), path
    for word in ("playbook", "when"):
        if word not in said:
            raise InputError(
                f"a schedule without --{word}",
                hint="expected --playbook and --when, or --from FILE; --help has examples",
            )
    _refuse_two(path, replace)
    text = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=110)
    return load_schedule(path, project=project, text=text), path


def _refuse_two(path: Path, replace: bool) -> None:
    if os.path.lexists(path) and not replace:  # a link that leads nowhere, too: it would be written through
        raise InputError(
            f"there is a schedule '{path.stem}'", where=Position(str(path)), hint="--replace writes it anew"
        )


def _said(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the flags say, as the file would."""
    said: dict[str, Any] = {}
    for name in ("playbook", "limit", "mode", "zone", "jitter", "missed", "overlap"):
        if flags.get(name) is not None:  # an empty limit is no limit at all: the file's reader refuses it
            said[name] = flags[name]
    for flag, word in (("inventories", "inventory"), ("when", "when"), ("windows", "windows")):
        if flags.get(flag):
            given = list(flags[flag])
            said[word] = given[0] if len(given) == 1 and word != "windows" else given
    permission = {"kinds": flags.get("permit"), "at_most": flags.get("at_most"), "until": flags.get("until")}
    permission |= {"by": flags.get("by")}
    if any(value is not None for value in permission.values()):
        kinds = [word.strip() for word in str(permission["kinds"] or "").split(",") if word.strip()]
        granted: dict[str, Any] = {name: value for name, value in permission.items() if value is not None}
        said["permission"] = granted | ({"kinds": kinds} if "kinds" in granted else {})
    if said and "zone" not in said:
        said["zone"] = local_zone()
    order = ("playbook", "inventory", "limit", "mode", "when", "zone")
    return {name: said[name] for name in (*order, *said) if name in said}


def local_zone() -> str:
    """Return the name of this machine's time zone; UTC where it has none."""
    named = os.environ.get("TZ", "").removeprefix(":")
    if named and "/" in named and not named.startswith("/"):
        return named
    try:
        target = str(Path("/etc/localtime").readlink())
    except OSError:
        return "UTC"
    _, zoneinfo, name = target.partition("zoneinfo/")
    return name if zoneinfo and name not in ("Etc/UTC", "Etc/UCT", "Universal", "Zulu") else "UTC"


def written(path: Path, schedule: Schedule) -> None:
    """Put a checked schedule where it belongs, unless it is there."""
    if schedule.path == path and path.is_file() and schedule.document == load_file(path):
        return
    if schedule.path != path:
        text = schedule.path.read_text(encoding="utf-8")
    else:
        text = yaml.safe_dump(_plain(schedule.document), sort_keys=False, allow_unicode=True, width=110)
    _replace(path, text)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def _replace(path: Path, text: str) -> None:
    folder, path = path.parent, path.resolve()  # a link stays one
    sibling = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        folder.mkdir(exist_ok=True)
        _put(path, sibling, text)
    except OSError as error:
        with suppress(OSError):
            sibling.unlink()
        raise InputError(
            f"the file cannot be written: {error.strerror}", where=Position(str(path)), hint=_WRITABLE
        ) from error


def _put(path: Path, sibling: Path, text: str) -> None:
    sibling.write_bytes(text.encode("utf-8"))
    if path.exists():
        was = path.stat()
        if (was.st_uid, was.st_gid) != (os.geteuid(), os.getegid()):
            with suppress(PermissionError):
                os.chown(sibling, was.st_uid, was.st_gid)  # the service's account must read it still
        sibling.chmod(was.st_mode & 0o7777)
    sibling.replace(path)


def check_folder(path: Path) -> None:
    """Raise InputError where a schedule's file cannot be taken out of its folder."""
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError("the file cannot be removed", where=Position(str(path)), hint=_WRITABLE)


def pause(schedule: Schedule, why: str) -> str:
    """Write into a schedule's file that it is paused, by whom and why; return that. InputError where it is already."""
    if schedule.paused is not None:
        raise InputError(f"{schedule.name} is paused already: {schedule.paused}", hint="resume it first")
    since = datetime.now(UTC)
    text = f"since {since:%Y-%m-%d %H:%M} UTC by {me()}" + (f", {' '.join(why.split())}" if why else "")
    line = yaml.safe_dump({"paused": text}, allow_unicode=True, width=10_000)
    before = _PAUSED.sub("", _text(schedule.path))  # `paused:` with nothing behind it
    end = "\r\n" if "\r\n" in before else "\n"
    after = before if before.endswith("\n") else before + end
    _edit(schedule, after + line.replace("\n", end), paused=text)
    return text


def resume(schedule: Schedule) -> None:
    """Take the pause out of a schedule's file; raises InputError where it is written in another way."""
    _edit(schedule, _PAUSED.sub("", _text(schedule.path)), paused=None)


def _edit(schedule: Schedule, text: str, paused: str | None) -> None:
    """Write a schedule's new text, if it says what the old one said, but for the pause; raises InputError."""
    wanted = {**schedule.document, "paused": paused}
    if paused is None:
        del wanted["paused"]
    try:
        fits = load_yaml(text, str(schedule.path)) == wanted
    except InputError:
        fits = False
    if not fits:
        where = schedule.document.keys_at.get("paused") or Position(str(schedule.path))
        line = "take out `paused:`" if paused is None else f"write `paused: {paused}` into it"
        raise InputError(
            "the file is written in a way that only a person should change",
            where=where,
            hint=f"{line} yourself; `remedy schedule add {schedule.name}` then checks it",
        )
    _replace(schedule.path, text)


def _text(path: Path) -> str:
    """Return a file's text, its ends of lines as they are."""
    return path.read_bytes().decode("utf-8")


def read_due(text: str | None, schedule: Schedule) -> datetime | None:
    """Read --due: a moment, in the schedule's zone where it names none; None for now."""
    if text is None or text == "now":
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"--due '{text}' is no time", hint="expected 'now' or a time such as 2026-12-01T02:10:00Z"
        ) from None
    return at.replace(tzinfo=schedule.zone) if at.tzinfo is None else at
