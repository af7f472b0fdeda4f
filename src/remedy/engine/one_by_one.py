"""Tasks whose items go one flight after the other: `until`, and loops that pause or break off."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from remedy.engine.flight import FAILED, SKIPPED, Entry, Flight, Item, Pause, Request
from remedy.engine.ledger import Ledger
from remedy.engine.state import HostState
from remedy.errors import InputError
from remedy.template import Templar


def one_by_one(entry: Entry, state: HostState, ledger: Ledger, templar: Templar) -> Iterator[Request]:
    """Ask for each item's flights and the pauses between them; the outcome stands in the entry's items.

    It ends early when the host is lost, and where `break_when` holds: then the items left are dropped.
    """
    control = entry.task.loop_control
    for number, item in enumerate(entry.items):
        if number and control.pause:
            yield Pause(entry.pause)
        if item.message is None:
            continue
        yield from _attempts(entry, item, state, ledger, templar)
        if not item.done or not state.alive:
            return
        if control.break_when and _all(control.break_when, entry, item, ledger, templar):
            del entry.items[number + 1 :]
            return


def _attempts(
    entry: Entry, item: Item, state: HostState, ledger: Ledger, templar: Templar
) -> Iterator[Request]:
    """Run an item until its task's `until` is reached, or its retries are used up."""
    until, retries = entry.task.until, entry.retries
    step = (item.message or {})["id"]
    for attempt in range(1, retries + 2):
        item.status = ""
        item.message = {**(item.message or {}), "ignore": True, "id": f"{step}.{attempt}"}
        yield Flight([replace(entry, items=[item], partial=True)])
        if not item.done or not state.alive or until is None or item.status == SKIPPED:
            return
        item.result["attempts"] = attempt
        if _reached(until, entry, item, ledger, templar):
            return
        if attempt <= retries:
            yield Pause(entry.delay)
    texts = " and ".join(str(part) for part in until or ())
    item.status = FAILED
    item.reason = f"'until' was not reached after {retries + 1} attempts: {texts}"
    item.result.update(failed=True)
    item.result.setdefault("msg", item.reason)


def _reached(until: tuple[object, ...], entry: Entry, item: Item, ledger: Ledger, templar: Templar) -> bool:
    try:
        return _all(until, entry, item, ledger, templar)
    except InputError:
        return False


def _all(conditions: tuple[object, ...], entry: Entry, item: Item, ledger: Ledger, templar: Templar) -> bool:
    scope = ledger.scope_of(entry, item)
    return all(templar.condition(part, scope, where=entry.task.position) for part in conditions)
