"""Where the reader stands: the file, the section, how it came there; and the files it opens on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from remedy.document import Decrypt, Text, load_file
from remedy.errors import InputError, Position
from remedy.project import Project

Warn = Callable[[str, Position | None], None]


def silent(_message: str, _position: Position | None) -> None:
    """Drop a warning."""


class Reading(Struct, frozen=True, kw_only=True):
    """The state of reading one file; `importing` is the chain of import_tasks that led here.

    `notified` collects the handlers that tasks name, `checked` the included files that were read ahead; all
    files of one play share both.
    """

    project: Project
    file: Path
    section: str = "tasks"
    decrypt: Decrypt | None = None
    warn: Warn = silent
    importing: tuple[Path, ...] = ()
    notified: list[Text] = field(default_factory=list)
    checked: set[tuple[Path, str]] = field(default_factory=set)

    def play(self) -> Reading:
        """Return the state for a new play of the same file."""
        return replace(self, notified=[], checked=set())

    def within(self, section: str) -> Reading:
        """Return the state for a section of the same play."""
        return replace(self, section=section)

    def document(self) -> Any:
        """Return what the file holds."""
        return load_file(self.file, vault=self.decrypt)

    def imported(self, name: str, position: Position) -> Reading:
        """Return the state for a tasks file that import_tasks names; a circle is an InputError."""
        path = self.project.tasks_file(name, self.file.parent, position)
        chain = (*(self.importing or (self.file.resolve(),)), path.resolve())
        if chain[-1] in chain[:-1]:
            way = " imports ".join(one.name for one in chain[chain.index(chain[-1]) :])
            raise InputError(
                f"'{name}' imports itself",
                where=position,
                hint=f"{way}; use include_tasks with a 'when' that ends it",
            )
        return replace(self, file=path, importing=chain)

    def included(self, name: str, position: Position) -> Reading | None:
        """Return the state for a tasks file that include_tasks names; None where it has been read already."""
        path = self.project.tasks_file(name, self.file.parent, position)
        visit = (path.resolve(), self.section)
        if visit in self.checked:
            return None
        self.checked.add(visit)
        return replace(self, file=path, importing=())
