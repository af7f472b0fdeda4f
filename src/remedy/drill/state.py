"""What a drill leaves on the control machine, written ahead: STATE/drills/ID/, found again after a kill -9."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from remedy.errors import RemedyError
from remedy.journal.disk import make_folder, sync_folder, write_new

FOLDER = "drills"
_STATE, _LOCK = "state.json", "lock"
_HINT = "no drill begins without it: free space or mend the disk, then run it again"


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A drill that has hosts: what rollback needs. `copy` is its file as it was; `begun`: faults may be there."""

    name: str
    file: str
    copy: str
    inventory: str
    hosts: dict[str, str]
    keys: dict[str, str]
    project: str
    begun: bool = False


@dataclass(frozen=True, kw_only=True)
class State:
    """One `remedy drill` under way; `closed` once nothing of it is left on any host."""

    id: str
    user: str
    process: int
    provider: str
    remembered: dict[str, Any] = field(default_factory=dict)
    drill: Broken | None = None
    closed: bool = False


class Diary:
    """The folder of one `remedy drill`; its lock is held for as long as the process lives."""

    def __init__(self, folder: Path, state: State) -> None:
        """Make the folder and take its lock."""
        self.folder = folder
        try:
            make_folder(folder)
        except OSError as error:
            raise _trouble(error, folder) from error
        self.state = state
        self._lock = _lock(folder)
        if self._lock is None:
            raise RemedyError(f"{folder} belongs to another process", hint="run it again")

    @classmethod
    def taken_over(cls, folder: Path, state: State) -> Diary | None:
        """Return the diary of a process that is gone; None where it still lives."""
        diary = cls.__new__(cls)
        diary.folder, diary.state, diary._lock = folder, state, _lock(folder)
        return diary if diary._lock is not None else None

    def write(self, **changes: Any) -> None:
        """Put a changed state on disk; returns when it is there."""
        self.state = replace(self.state, **changes)
        new = self.folder / f"{_STATE}.new"
        try:
            new.unlink(missing_ok=True)
            write_new(new, json.dumps(asdict(self.state), indent=1).encode())
            new.replace(self.folder / _STATE)
            sync_folder(self.folder)
        except OSError as error:
            raise _trouble(error, self.folder) from error

    def close(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def cut_off(state: Path) -> Iterator[tuple[Path, State]]:
    """Yield what was killed, or could not undo everything, oldest first; not what is under way."""
    folder = state / FOLDER
    for each in sorted(folder.iterdir()) if folder.is_dir() else ():
        found = read_state(each)
        if found is not None and not found.closed:
            lock = _lock(each)
            if lock is not None:
                os.close(lock)
                yield each, found


def read_state(folder: Path) -> State | None:
    """Return what a folder says; None where there is nothing that can be read."""
    try:
        kept = json.loads((folder / _STATE).read_text())
        drill = kept.pop("drill")
        return State(**kept, drill=None if drill is None else Broken(**drill))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lock(folder: Path) -> int | None:
    try:
        file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _trouble(error, folder) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def _trouble(error: OSError, folder: Path) -> RemedyError:
    place = error.filename or folder
    return RemedyError(f"cannot keep the drill's state at {place}: {error.strerror or error}", hint=_HINT)
