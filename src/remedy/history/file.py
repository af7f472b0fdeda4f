"""The file of a SQLite history: for the operator alone, locked while it is made or moved, set aside when damaged."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remedy.history.trouble import HistoryError
from remedy.journal.disk import make_folder

_PATIENCE = 30.0  # seconds for another process to make the tables; it takes one
_BESIDE = ("-wal", "-shm")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be the only process that makes or moves this file; HistoryError where another takes too long."""
    deadline = time.monotonic() + _PATIENCE
    try:
        make_folder(path.parent)
        # A file of its own: the database may be renamed while others wait.
        opened = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        while True:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise HistoryError(
                        f"another remedy has been making the history database {path} for {_PATIENCE:.0f} s"
                    ) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(opened)


def make_file(path: Path) -> None:
    """Make the file, empty and 0600, unless it is there; what SQLite puts beside it takes its mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise _unusable(path, error) from error


def set_aside(path: Path) -> Path:
    """Rename a damaged database, with what stands beside it, and return its new name."""
    stem = f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    moved, number = path.with_name(stem), 1
    while moved.exists():
        number += 1
        moved = path.with_name(f"{stem}.{number}")
    try:
        for ending in ("", *_BESIDE):
            part = path.with_name(path.name + ending)
            if part.exists():
                part.rename(moved.with_name(moved.name + ending))
    except OSError as error:
        raise _unusable(path, error) from error
    return moved


def _unusable(path: Path, error: OSError) -> HistoryError:
    return HistoryError(
        f"the history database {path} cannot be used: {error.filename or path}: {error.strerror}",
        hint="look at who owns the folder, and how much space there is",
    )
