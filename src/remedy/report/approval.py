"""The question before anything is destroyed or interrupted: what, summed and per host, and what is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from remedy.engine.approval import Leave, Planned, Plans
from remedy.errors import Refused
from remedy.report.states import amount, noun, states
from remedy.report.text import count, safe, size, some

_ITEMS = 5
_KEPT = 3
_OTHERS = 8
_VERBS = {"destructive": "destroy", "disruptive": "interrupt"}


class Page(Protocol):
    """Where the question is put: the console, whose live lines must make room for it."""

    def ask(self, text: str, stop: threading.Event) -> bool:
        """Show a text and return whether the answer to it is yes; no, once `stop` is set."""
        ...


class Question:
    """Asks the operator; without a `page` (no terminal) it refuses, with the same text. Called from any thread.

    `mask` takes secrets out of the text: it shows the states of what changes, too. `by` is who is asked.
    """

    def __init__(
        self, page: Page | None, stop: threading.Event, mask: Callable[[str], str] = str, by: str = "the operator"
    ) -> None:
        self._page = page
        self._stop = stop
        self._mask = mask
        self._by = by
        self._turn = threading.Lock()

    def __call__(self, plans: Plans) -> Leave | None:
        """Return on whose word where the plans are approved; raise Refused where they are not.

        Of steps that are all unknown nobody is asked yet, if there is somebody to be asked when it comes to them.
        """
        if self._page is not None and all(step.unknown for host in plans for step in plans[host] if step.guarded):
            return None
        text = self._mask(describe(plans))
        with self._turn:
            if self._page is None:
                raise Refused(
                    f"nobody has approved what this play would do:\n{text}",
                    hint="look at it with --check --diff, then run it again with --yes",
                )
            if not self._page.ask(text, self._stop):
                raise Refused("not approved; nothing was destroyed or interrupted")
        return Leave(by=self._by)


def describe(plans: Plans) -> str:
    """Return the plans as a text: the sum, then each host's steps, their items, and what is kept and why."""
    lines = [_sum(plans)]
    for host in plans:
        guarded = [step for step in plans[host] if step.guarded]
        lines += [line for step in guarded for line in _step(host, step)]
        lines += _others(host, [step for step in plans[host] if not step.guarded])
    return "\n".join(safe(line) for line in lines)


def _sum(plans: Plans) -> str:
    steps = [step for host in plans for step in plans[host]]
    parts = []
    for kind, verb in _VERBS.items():
        of_kind = [step for step in steps if kind in step.guarded and not step.unknown]
        # The list of a step that does both is of what it destroys: whom it may interrupt nobody has counted.
        own = [step for step in of_kind if kind == "destructive" or "destructive" not in step.guarded]
        lists = [step.items for step in own]
        lists += [()] * (len(of_kind) - len(own))
        items = sum(amount(each) if each else 1 for each in lists)
        every = [item for each in lists for item in each or ({},)]
        freed = sum(step.bytes or 0 for step in own)
        if of_kind:
            parts.append(f"{verb} {count(items, noun(every))}" + (f" ({size(freed)})" if freed else ""))
    doubtful = sum(step.unknown for step in steps)
    if doubtful:
        perhaps = f"perhaps {'more: ' if parts else 'destroy or interrupt something: '}{count(doubtful, 'step')}"
        parts.append(f"{perhaps} that nobody can tell before")
    return f"  would {' and '.join(parts)} on {count(len(plans), 'host')}:"


def _others(host: str, steps: Sequence[Planned]) -> list[str]:
    """Return the changes that need no approval; who says yes to the rest lets them happen, too."""
    lines = [
        f"  {host}: change {step.object}: {_about(step)}  [{step.task}]" for step in steps[:_OTHERS]
    ]
    more = len(steps) - len(lines)
    return lines + (
        [f"  {host}: ... and {count(more, 'more change')} (--check --diff shows them)"] if more else []
    )


def _about(step: Planned) -> str:
    return f"would be {step.happened}" if step.happened else states(step.before, step.after)


def _step(host: str, step: Planned) -> list[str]:
    if step.unknown:
        perhaps = f"  {host}: perhaps {step.told(_VERBS)}: {step.object}  [{step.task}]{step.mark}"
        return [perhaps, f"      not known yet: {step.reason}"]
    what = f": {count(amount(step.items), noun(step.items))}" if step.items else ""
    freed = f", {size(step.bytes)}" if step.bytes else ""
    lines = [f"  {host}: {step.told(_VERBS)} {step.object}{what}{freed}  [{step.task}]{step.mark}"]
    lines += [f"      {step.means}"] if step.means else []
    largest = sorted(step.items, key=lambda item: -(item.get("size") or 0))
    lines += [f"      {_item(item)}" for item in largest[:_ITEMS]]
    if len(step.items) > _ITEMS:
        lines.append(f"      ... and {len(step.items) - _ITEMS} more")
    if step.kept:
        names = [f"{kept['item']} ({kept['reason']})" for kept in step.kept]
        lines.append(f"      kept: {some(names, _KEPT)}")
    return lines


def _item(item: Any) -> str:
    reason = f"  {item['reason']}" if item.get("reason") else ""
    amount = f"  {size(item['size'])}" if item.get("size") else ""
    return f"{item.get('item')}{amount}{reason}"
