"""The model: what a playbook says, checked but not rendered; every node knows its place in the file.

`Text` values may still hold templates. None means "not written here": the value comes from further out, or
from the default that the engine knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, field

from remedy.document import Map, Seq, Text
from remedy.errors import Position
from remedy.modules import ModuleSpec

SECTIONS = ("diagnose", "pre_tasks", "tasks", "post_tasks", "handlers", "verify")
"""The sections of a play that hold tasks, in the order they run (handlers: at each flush)."""

Flag = bool | Text
Number = int | float | Text
Condition = bool | Text


class Become(Struct, frozen=True, kw_only=True):
    """As whom to run; None: as further out."""

    become: Flag | None = None
    user: Text | None = None
    method: Text | None = None
    flags: Text | None = None
    exe: Text | None = None


class Common(Struct, frozen=True, kw_only=True):
    """What plays, blocks and tasks share, and what inner ones inherit (a play has no `delegate_to`)."""

    position: Position
    name: Text | None = None
    vars: Map = field(default_factory=Map)
    become: Become = field(default_factory=Become)
    tags: tuple[str, ...] = ()
    when: tuple[Condition, ...] = ()
    ignore_errors: Flag | None = None
    any_errors_fatal: Flag | None = None
    check_mode: Flag | None = None
    diff: Flag | None = None
    no_log: Flag | None = None
    timeout: Number | None = None
    environment: Map | Seq | Text | None = None
    run_once: Flag | None = None
    throttle: Number | None = None
    delegate_to: Text | None = None

    @property
    def title(self) -> str:
        """How the node is called in lists and output."""
        return self.name or ""


class LoopControl(Struct, frozen=True, kw_only=True):
    """How a loop names its item and shows it; `pause` in seconds."""

    loop_var: str = "item"
    index_var: str | None = None
    label: Text | None = None
    pause: Number | None = None
    extended: bool = False
    extended_allitems: bool = True
    break_when: tuple[Condition, ...] = ()


class Task(Common, frozen=True, kw_only=True):
    """One module with its arguments as written: aliases unresolved, templates unrendered.

    The parts of `changed_when`, `failed_when` and `until` must all be true; None: not written. `retries` and
    `delay` (seconds) count only with `until`. `listen` is for handlers.
    """

    module: str
    spec: ModuleSpec
    args: Map
    register: str | None = None
    loop: Seq | Text | None = None
    loop_control: LoopControl = field(default_factory=LoopControl)
    changed_when: tuple[Condition, ...] | None = None
    failed_when: tuple[Condition, ...] | None = None
    until: tuple[Condition, ...] | None = None
    retries: Number | None = None
    delay: Number | None = None
    notify: tuple[Text, ...] = ()
    listen: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The task's name, or its module's."""
        return self.name or self.module


class Block(Common, frozen=True, kw_only=True):
    """Tasks that share keywords; `rescue` takes a failure, `always` runs in any case.

    An import_tasks is a block too: its keywords and variables hold for every imported task.
    """

    block: tuple[Node, ...]
    rescue: tuple[Node, ...] = ()
    always: tuple[Node, ...] = ()


class Include(Common, frozen=True, kw_only=True):
    """An include_tasks, read when it is reached; its keywords are its own, `apply` goes to what it brings."""

    file: Text
    loop: Seq | Text | None = None
    loop_control: LoopControl = field(default_factory=LoopControl)
    apply: Common | None = None

    @property
    def title(self) -> str:
        """The include's name, or what it includes."""
        return self.name or f"include_tasks {self.file}"


Node = Task | Block | Include


class Runbook(Struct, frozen=True, kw_only=True):
    """What a runbook says about itself; `severity` is P0 to P3.

    `attended` names the variables that call for what is marked !: only by hand, with --yes.
    """

    position: Position
    title: str | None = None
    description: str | None = None
    severity: str | None = None
    symptoms: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    privileges: tuple[str, ...] = ()
    attended: tuple[str, ...] = ()


class Play(Common, frozen=True, kw_only=True):
    """Hosts, and what is done to them; `when` is always empty."""

    hosts: Text
    runbook: Runbook | None = None
    vars_files: tuple[Text | tuple[Text, ...], ...] = ()
    diagnose: tuple[Node, ...] = ()
    pre_tasks: tuple[Node, ...] = ()
    tasks: tuple[Node, ...] = ()
    post_tasks: tuple[Node, ...] = ()
    handlers: tuple[Task | Include, ...] = ()
    verify: tuple[Node, ...] = ()
    serial: tuple[int | Text, ...] = ()
    gather_facts: bool = True
    max_fail_percentage: Number | None = None
    strategy: str | None = None
    force_handlers: bool = False

    @property
    def title(self) -> str:
        """The play's name, or its hosts."""
        return self.name or self.hosts

    def sections(self) -> Iterator[tuple[str, tuple[Node, ...]]]:
        """Yield the sections that hold something, as (name, nodes), in the order of SECTIONS."""
        for name in SECTIONS:
            nodes = getattr(self, name)
            if nodes:
                yield name, nodes


class Playbook(Struct, frozen=True, kw_only=True):
    """A playbook file and its plays."""

    path: Path
    plays: tuple[Play, ...]


def walk(
    nodes: tuple[Node, ...], outer: tuple[Common, ...] = ()
) -> Iterator[tuple[Task | Include, tuple[Common, ...]]]:
    """Yield every task and include in file order with the nodes around it, outermost first."""
    for node in nodes:
        if isinstance(node, Block):
            for part in (node.block, node.rescue, node.always):
                yield from walk(part, (*outer, node))
        else:
            yield node, outer
