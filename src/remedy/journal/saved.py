"""What a sweep saved of what it took, and a change that cannot be undone of what was before.

Plain files, RUN/kept/HOST/NAME, that an operator reads with any program.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from remedy.events import Intent
from remedy.journal.disk import make_folder, sync_folder, write_new

FOLDER = "kept"
_LONGEST = 200  # bytes of a name; a file system takes 255


class File(NamedTuple):
    """A file on its way to disk."""

    path: Path
    data: bytes


class Saved:
    """Gives names to what intents bring, until it is written; a name that is taken gets a number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[Path] = set()
        self._waiting: list[File] = []

    def take(self, intent: Intent) -> Intent:
        """Return the intent with the names of its files, seen from the run's folder, in the place of their content."""
        kept: Mapping[str, bytes] = intent.kept
        if not all(isinstance(data, bytes) for data in kept.values()):
            # Told to this host alone: what breaks while the journal writes would stop the whole run.
            raise TypeError(f"{intent.host} sent something to keep that is no content")
        names = {name: self._add(intent.host, name, data) for name, data in kept.items()}
        return replace(intent, kept=names)

    def given(self) -> list[File]:
        """Return what is to be written, once."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def _add(self, host: str, name: str, data: bytes) -> str:
        first = Path(FOLDER, _plain(host), _plain(name))
        path, number = first, 1
        while path in self._known:
            number += 1
            path = first.with_name(f"{first.name}.{number}")
        self._known.add(path)
        self._waiting.append(File(self._folder / path, data))
        return str(path)


def _plain(text: str) -> str:
    """Return a name for a file, of a text that others chose: it leads nowhere and is not too long."""
    name = os.fsdecode(os.fsencode(text.strip("/").replace("/", "_").replace("\0", "_"))[-_LONGEST:])
    return name if name.strip(".") else "unnamed"


def store(files: Sequence[File]) -> None:
    """Put files (0600) on disk, with the folders they stand in."""
    for file in files:
        make_folder(file.path.parent)
        write_new(file.path, file.data)
    for folder in {file.path.parent for file in files}:
        sync_folder(folder)
