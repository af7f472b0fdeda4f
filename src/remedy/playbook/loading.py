"""The doors: a playbook before the run, a tasks file during the run."""

from __future__ import annotations

from pathlib import Path

from remedy.document import Decrypt
from remedy.playbook.model import Node, Play, Playbook
from remedy.playbook.nodes import read_file
from remedy.playbook.plays import check_notified, handler_names, read_plays
from remedy.playbook.reading import Reading, Warn, silent
from remedy.project import Project


def load(
    path: Path, *, project: Project, vault_decrypt: Decrypt | None = None, warn: Warn | None = None
) -> Playbook:
    """Read a playbook and every tasks file it names; the first thing that is wrong raises InputError.

    `vault_decrypt` opens files that are vaults as a whole; `warn` is told (message, position) what is odd but
    runs.
    """
    reading = _reading(path, project, vault_decrypt, warn)
    return Playbook(path=path, plays=read_plays(reading.document(), reading))


def load_tasks(
    path: Path,
    *,
    project: Project,
    section: str = "tasks",
    play: Play | None = None,
    vault_decrypt: Decrypt | None = None,
    warn: Warn | None = None,
) -> tuple[Node, ...]:
    """Read a tasks file for a section of a play; the result is the same for every host and may be kept.

    `section` is one of SECTIONS, or "diagnose again". `play` has the handlers that the tasks may notify;
    without it they are not checked.
    """
    reading = _reading(path, project, vault_decrypt, warn).within(section)
    nodes = read_file(reading)
    check_notified(reading, handler_names(play) if play is not None else None)
    return nodes


def _reading(path: Path, project: Project, decrypt: Decrypt | None, warn: Warn | None) -> Reading:
    return Reading(project=project, file=path, decrypt=decrypt, warn=warn if warn is not None else silent)
