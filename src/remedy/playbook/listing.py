"""What --list-tasks and --list-tags show: the tasks that are known before the run."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from remedy.errors import Position
from remedy.playbook.model import Play, walk
from remedy.playbook.tags import selected

_NEVER_LEFT_OUT = ("diagnose", "verify")


class Listed(Struct, frozen=True):
    """One line of --list-tasks; `tags` are the task's own and those around it, sorted."""

    section: str
    title: str
    tags: tuple[str, ...]
    position: Position


def list_tasks(play: Play, only: Collection[str] = (), skip: Collection[str] = ()) -> list[Listed]:
    """Return a play's tasks in the order they run, without handlers; an include stands for what it brings.

    diagnose and verify are whole whatever the tags say.
    """
    found: list[Listed] = []
    for section, nodes in play.sections():
        if section == "handlers":
            continue
        for node, outer in walk(nodes):
            tags = {tag for one in (play, *outer, node) for tag in one.tags}
            if section in _NEVER_LEFT_OUT or selected(tags, only, skip):
                found.append(Listed(section, node.title, tuple(sorted(tags)), node.position))
    return found


def list_tags(play: Play, only: Collection[str] = (), skip: Collection[str] = ()) -> list[str]:
    """Return the tags of a play's tasks, sorted."""
    return sorted({tag for one in list_tasks(play, only, skip) for tag in one.tags})
