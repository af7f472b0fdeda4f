"""What the journal is told before something on a host changes."""

from __future__ import annotations

from typing import Any

from remedy.engine.flight import Entry, Item
from remedy.engine.state import HostState
from remedy.events import Intent


def intent_of(touched: HostState, play: str, entry: Entry, item: Item, intent: dict[str, Any]) -> Intent:
    """Return the event for an intent of the agent's; `touched` is the host that is about to change."""
    message = item.message or {}
    identity = item.identity
    return Intent(
        host=touched.name,
        change=str(intent.get("change") or message["id"]),
        play=play,
        section=entry.section,
        task=entry.task.title,
        position=str(entry.task.position),
        module=message["module"],
        kind=str(intent.get("kind") or item.kind),
        object=str(intent.get("object", "")),
        before=intent.get("before"),
        want=intent.get("items") or intent.get("want"),  # the list of a sweep or an action is what may go
        kept=intent.get("kept"),
        irreversible=intent.get("irreversible"),
        params=dict(message["params"]),
        become={} if identity is None else identity.means(),
        notify=[str(name) for name in entry.task.notify],
        secret=entry.no_log or entry.secret,
        sealed=entry.sealed,
        lent=bool(message.get("lent")),
        delegated_by="" if item.host is None else entry.host,
        implicit=touched.host.implicit,
    )
