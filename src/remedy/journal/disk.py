"""Writing on the control machine's disk so that it survives a power cut, readable by the operator alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from remedy.errors import RemedyError

NO_CHANGES = (
    "nothing on a host is changed without its journal: free space or mend the disk, then run it again"
)


def trouble(error: OSError, path: Path, doing: str = "write the journal") -> RemedyError:
    """Return the error to raise when the disk says no; `path` is named where the error itself names none."""
    place = error.filename if error.filename is not None else path
    return RemedyError(f"cannot {doing} at {place}: {error.strerror or error}", hint=NO_CHANGES)


def make_folder(path: Path) -> None:
    """Make a folder (0700) and the missing ones above it, durably; one that exists is left as it is."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """Put a folder's entries on disk."""
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def create(path: Path) -> int:
    """Return a descriptor that appends to a new file (0600); FileExistsError where it exists."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)


def write_all(descriptor: int, parts: Sequence[bytes]) -> None:
    """Write all of the parts, however little the system takes at a time."""
    left = memoryview(b"".join(parts))
    while left:
        left = left[os.write(descriptor, left) :]


def write_new(path: Path, data: bytes) -> None:
    """Write a new file (0600) and put its content on disk; the caller syncs the folder."""
    descriptor = create(path)
    try:
        write_all(descriptor, [data])
        os.fsync(descriptor)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
