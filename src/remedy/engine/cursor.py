"""Where a host stands in a play: an immutable cursor, so that a failure can take the walk back to any task.

A batch looks ahead: tasks are rendered while the results of earlier ones are still on their way. When one of those
fails, the walk goes back to the cursor that this task carries, and from there to the nearest rescue.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from remedy.engine.keywords import Keywords
from remedy.playbook import Block, Common
from remedy.template import Layer

BODY, RESCUE, ALWAYS, PLAIN = "body", "rescue", "always", "plain"
_PHASES = {PLAIN: 0, BODY: 0, RESCUE: 1, ALWAYS: 2}


class Failure(Struct, frozen=True):
    """Why a host leaves the normal way: the task that failed, its result, and the keywords that it was under."""

    task: str
    result: dict[str, Any]
    words: Keywords | None = None


class Cursor(Struct, frozen=True):
    """One frame of the walk: a list of nodes, the index in it, and the frame it was entered from."""

    nodes: tuple[Any, ...]
    index: int
    parent: Cursor | None
    ancestors: tuple[Common, ...]
    layers: tuple[Layer, ...]
    path: tuple[int, ...]
    block: Block | None = None
    phase: str = PLAIN
    failure: Failure | None = None

    @classmethod
    def root(cls, nodes: tuple[Any, ...]) -> Cursor:
        """Return the cursor at the first stage of a play."""
        return cls(nodes, 0, None, (), (), ())

    @property
    def node(self) -> Any:
        """The node the cursor stands at; only where `settled` said that there is one."""
        return self.nodes[self.index]

    @property
    def position(self) -> tuple[int, ...]:
        """Return the place in the play, ordered as the tasks are: hosts wait for each other by it."""
        return (*self.path, self.index)

    def advance(self) -> Cursor:
        """Return the cursor behind this node."""
        return replace(self, index=self.index + 1)

    def enter(
        self,
        nodes: tuple[Any, ...],
        *,
        within: Common | None = None,
        layers: tuple[Layer, ...] = (),
        branch: int = 0,
    ) -> Cursor:
        """Return the cursor at the first of `nodes`, which this node contains."""
        ancestors = (*self.ancestors, within) if within is not None else self.ancestors
        path = (*self.position, branch)
        return Cursor(nodes, 0, self, ancestors, (*self.layers, *layers), path)

    def enter_block(self, block: Block) -> Cursor:
        """Return the cursor at the first task of a block's body."""
        entered = self.enter(block.block, within=block, layers=_vars_of(block))
        return replace(entered, block=block, phase=BODY)

    def settled(self) -> tuple[Cursor | None, Failure | None]:
        """Leave every frame that is at its end: (cursor at a node, None), or (None, how the section ended)."""
        cursor = self
        while cursor.index >= len(cursor.nodes):
            parent = cursor.parent
            if parent is None:
                return None, cursor.failure
            if cursor.phase in (BODY, RESCUE) and cursor.block is not None and cursor.block.always:
                cursor = cursor._phase(ALWAYS, cursor.block.always, None)
            elif cursor.phase == ALWAYS and cursor.failure is not None:
                after, failure = parent.failed(cursor.failure)
                if after is None:
                    return None, failure
                cursor = after
            else:
                cursor = parent.advance()
        return cursor, None

    def failed(self, failure: Failure) -> tuple[Cursor | None, Failure | None]:
        """Return where a failure at this node leads: a rescue or always section, or the section's end."""
        cursor: Cursor | None = self
        while cursor is not None:
            block = cursor.block
            if block is not None and cursor.phase == BODY and block.rescue:
                return cursor._phase(RESCUE, block.rescue, failure), None
            if block is not None and cursor.phase in (BODY, RESCUE) and block.always:
                return cursor._phase(ALWAYS, block.always, failure), None
            cursor = cursor.parent
        return None, failure

    def rescues(self) -> bool:
        """Say whether a failure at this node would be taken by a rescue section."""
        cursor: Cursor | None = self
        while cursor is not None:
            if cursor.block is not None and cursor.phase == BODY and cursor.block.rescue:
                return True
            cursor = cursor.parent
        return False

    def _phase(self, phase: str, nodes: tuple[Any, ...], failure: Failure | None) -> Cursor:
        layers = self.layers
        if phase == RESCUE and failure is not None:
            known = {"ansible_failed_task": {"name": failure.task}, "ansible_failed_result": failure.result}
            layers = (*layers, Layer("rescue", known, data=True))
        path = (*self.path[:-1], _PHASES[phase])
        # A rescue has dealt with the failure; an always section passes it on when it ends.
        carried = failure if phase == ALWAYS else None
        return replace(self, nodes=nodes, index=0, phase=phase, failure=carried, layers=layers, path=path)


def _vars_of(block: Common) -> tuple[Layer, ...]:
    return (Layer("block vars", block.vars),) if block.vars else ()
