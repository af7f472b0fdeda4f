"""What happens in a run, as data: the engine emits events; whoever prints, stores or counts listens.

Every event is frozen, and every field is plain data (str, int, float, bool, None, list, dict; `bytes` only in
`Intent.kept`), so that a sink can write it down as it is. `time` is seconds since the epoch.
"""

from __future__ import annotations

import time as _time
from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

UNCERTAIN = "whether it ran is not known"
"""How the reason of a task ends that is `not_run` because its host was lost when it may have run."""


class Event(Struct, frozen=True, kw_only=True):
    """The root of all events."""

    time: float = field(default_factory=_time.time)


class RunStarted(Event, frozen=True, kw_only=True):
    """A run begins; `mode` is apply, check, diagnose or rollback; `hosts` in inventory order.

    `inventory` is as it was named; `sources` are the same inventories as absolute paths, or as lists of hosts.
    `started_in` is the folder that a relative `playbook` is seen from. `schedule` is whose run it is, "" where it is
    nobody's but the user's.
    """

    run: str
    playbook: str
    inventory: str
    mode: str
    user: str
    hosts: list[str]
    arguments: list[str]
    sources: list[str] = field(default_factory=list)
    started_in: str = ""
    schedule: str = ""


class PlayStarted(Event, frozen=True, kw_only=True):
    """A play begins on these hosts; `runbook` says that it has a diagnose section."""

    play: str
    hosts: list[str]
    runbook: bool


class SectionStarted(Event, frozen=True, kw_only=True):
    """A host enters a section: diagnose, tasks, handlers, verify or diagnose again (`after`).

    Before approval it enters `check` (the check pass of what would be asked about), then `approval` (it waits).
    """

    host: str
    play: str
    section: str


class HostConnected(Event, frozen=True, kw_only=True):
    """The agent on a host said hello; `hello` is its handshake (see docs/protocol.md)."""

    host: str
    hello: dict[str, Any]
    seconds: float


class HostLeftOut(Event, frozen=True, kw_only=True):
    """A host is not worked on any further; `reason` is a key of errors.REASONS, `refused` marks a lock."""

    host: str
    reason: str
    message: str
    refused: bool = False


class RoundTrips(Event, frozen=True, kw_only=True):
    """What a host's work cost so far, in trips, when the host is done with a play."""

    host: str
    setup_trips: int
    round_trips: int


class Approved(Event, frozen=True, kw_only=True):
    """Somebody has said yes to what is destroyed (D) or interrupted (R) next: who was asked, or who had granted it.

    `by` is that person. `schedule` names the schedule whose permission it was, which is for these `kinds` (D, R), for
    `at_most` so many hosts and `until` that day; "" and empty where somebody was asked. `steps` are what it was said
    to, as {host, task, object, kinds, perhaps}; `perhaps`: the check pass could not tell whether it would happen.
    """

    play: str
    by: str
    steps: list[dict[str, Any]]
    schedule: str = ""
    kinds: list[str] = field(default_factory=list)
    at_most: str = ""
    until: str = ""


class TaskStarted(Event, frozen=True, kw_only=True):
    """A task's step was handed to the agent (or is about to run in the engine)."""

    host: str
    task: str
    module: str


class Intent(Event, frozen=True, kw_only=True):
    """An object on a host is about to change: what it was, what it will be, and what undo needs.

    `change` identifies the change within the run. `kind` is resource, sweep, action or command. `want` of a sweep,
    and of an action that has one, is its list, as {item, reason, size, identity}. `kept` is what `undo` takes (may hold
    bytes); where it cannot be undone `irreversible` says why, and `kept` is None or what was saved as files. `params`
    are the module's parameters. `become` is the identity it ran as. `secret` asks for encryption of `kept` and
    `params`, and for hidden states; `sealed` for encryption alone. `lent`: the change is for the time of the task,
    and the agent takes it back where the run cannot. `delegated_by` is the host whose task delegates to `host`, ""
    where the task is its own. `implicit`: `host` stands in no inventory, and is reached by its name.
    """

    host: str
    change: str
    play: str
    section: str
    task: str
    position: str
    module: str
    kind: str
    object: str
    before: Any
    want: Any
    kept: Any
    irreversible: str | None
    params: dict[str, Any]
    become: dict[str, Any]
    notify: list[str]
    secret: bool = False
    sealed: bool = False
    lent: bool = False
    delegated_by: str = ""
    implicit: bool = False


class Changed(Event, frozen=True, kw_only=True):
    """A change happened (mode check: is predicted); `after` is the state read back, `change` its Intent.

    `items` are the largest of what a sweep or an action took, as {item, reason, size, perhaps count and noun}, size in
    bytes. `happened` says in a word what an action did to the object: restarted, rotated. `delegated_by`: as in its
    Intent.
    """

    host: str
    change: str
    play: str
    section: str
    task: str
    module: str
    kind: str
    object: str
    before: Any
    after: Any
    diff: str
    reversible: bool
    reason: str
    seconds: float
    bytes_freed: int | None = None
    predicted: bool = False
    items: list[dict[str, Any]] = field(default_factory=list)
    happened: str = ""
    delegated_by: str = ""


class TaskDone(Event, frozen=True, kw_only=True):
    """A task ended on a host: status ok, changed, failed, skipped, unknown or not_run.

    `result` is what `register` would hold, without what `no_log` hides; `ignored` says that a failure does not
    count; `rescued` that a rescue section took it; `kept` lists what was left alone, as {item, reason};
    `delegated` the hosts that it ran on in place of its own.
    """

    host: str
    play: str
    section: str
    task: str
    position: str
    module: str
    status: str
    reason: str
    seconds: float
    result: dict[str, Any]
    kept: list[dict[str, str]] = field(default_factory=list)
    ignored: bool = False
    rescued: bool = False
    reads: bool = False
    no_log: bool = False
    item: str | None = None
    delegated: list[str] = field(default_factory=list)


class FindingRaised(Event, frozen=True, kw_only=True):
    """Something is wrong on a host; raised again by the last diagnose when `again`."""

    host: str
    play: str
    id: str
    severity: str
    title: str
    evidence: Any
    advice: str | None
    again: bool = False


class FindingResolved(Event, frozen=True, kw_only=True):
    """The last diagnose did not raise a finding again."""

    host: str
    play: str
    id: str


class Warned(Event, frozen=True, kw_only=True):
    """Something the operator should know that is no failure."""

    message: str
    host: str | None = None


class Message(Event, frozen=True, kw_only=True):
    """A text that the playbook wants shown (debug, a failed assert's message)."""

    host: str
    task: str
    message: Any


class RunEnded(Event, frozen=True, kw_only=True):
    """The run is over; `outcome` is ok, failed, refused, unreachable, interrupted, findings or changes_pending."""

    run: str
    outcome: str
    exit_code: int
    seconds: float


Sink = Callable[[Event], None]
"""A listener; called from several threads, one call at a time, in one order for all sinks."""
