"""The stages of a play in their order: what a walk goes through."""

from __future__ import annotations

from msgspec import Struct

from remedy.document import Map
from remedy.engine.options import CHECK, DIAGNOSE
from remedy.errors import Position
from remedy.modules import find
from remedy.playbook import Become, Node, Play, Task


class Stage(Struct, frozen=True):
    """One section of a play; `lands`: it begins only when everything before has happened; `when_found`: it is
    left out on a host where diagnose found nothing."""

    name: str
    nodes: tuple[Node, ...] = ()
    lands: bool = False
    when_found: bool = False


def program(play: Play, *, mode: str, gate: bool = False, only: tuple[str, ...] = ()) -> tuple[Stage, ...]:
    """Return the stages of a play in this mode; `gate`: the fix needs approval; `only` keeps those named."""
    stages = [Stage("facts", (_gather(play),))] if play.gather_facts is True else []
    if play.diagnose:
        stages.append(Stage("diagnose", play.diagnose))
    if mode != DIAGNOSE:
        # The gate lands: only then is it known who has findings, and what the check pass would start from.
        if gate or play.diagnose:
            stages.append(Stage("gate", lands=True))
        for name in ("pre_tasks", "tasks", "post_tasks"):
            nodes = getattr(play, name)
            if nodes:
                stages += [Stage(name, nodes, when_found=True), Stage("handlers")]
        if mode != CHECK:
            if play.verify:
                stages += [Stage("verify", play.verify), Stage("handlers")]
            if play.diagnose:
                stages.append(Stage("diagnose again", play.diagnose, when_found=True))
    return tuple(stage for stage in stages if not only or stage.name in only)


def _gather(play: Play) -> Task:
    position = Position(play.position.file, play.position.line, play.position.column)
    return Task(
        position=position,
        module="setup",
        spec=find("setup"),
        args=Map(position),
        become=Become(),
        run_once=False,  # as in Ansible, each host has facts of its own
    )
