"""Playbooks: from YAML with file:line on every node to the model the engine runs.

`load` reads a playbook and checks everything that can be known before the run (--syntax-check is no more
than that); `load_tasks` reads what include_tasks brings while the run is under way, with the same checks.
"""

from remedy.playbook.batches import batches
from remedy.playbook.guard import objection
from remedy.playbook.listing import Listed, list_tags, list_tasks
from remedy.playbook.loading import load, load_tasks
from remedy.playbook.model import (
    SECTIONS,
    Become,
    Block,
    Common,
    Include,
    LoopControl,
    Node,
    Play,
    Playbook,
    Runbook,
    Task,
    walk,
)
from remedy.playbook.tags import selected

__all__ = [
    "SECTIONS",
    "Become",
    "Block",
    "Common",
    "Include",
    "Listed",
    "LoopControl",
    "Node",
    "Play",
    "Playbook",
    "Runbook",
    "Task",
    "batches",
    "list_tags",
    "list_tasks",
    "load",
    "load_tasks",
    "objection",
    "selected",
    "walk",
]
