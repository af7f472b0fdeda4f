"""What is looked at in a drill: which findings came when, and whether the collateral is as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from remedy.drill.collateral import METHOD, STEADY, fingerprint, missing
from remedy.drill.model import Drill, Thing, covered
from remedy.drill.record import COLLATERAL, DETECT, Deviation, Guarded, Seen
from remedy.drill.runs import Outcome

Print = tuple[str, str]
"""Digest and words of one thing on one host."""


class Detection:
    """The findings of one or several looks after the method; hosts by the drill's names."""

    def __init__(self, drill: Drill, since: float) -> None:
        self._drill = drill
        self._since = since
        self._seen: dict[tuple[str, str], Seen] = {}

    def add(self, outcome: Outcome, named: Mapping[str, str]) -> None:
        """Take what a look has raised; `named` leads from the inventory's names to the drill's."""
        for raised in outcome.raised:
            host = named.get(raised.host, raised.host)
            seen = Seen(
                host=host,
                id=raised.id,
                severity=raised.severity,
                title=raised.title,
                after=max(0.0, raised.time - self._since),
                expected=covered(self._drill.expect, host, raised.id),
            )
            self._seen.setdefault((host, raised.id), seen)

    @property
    def findings(self) -> tuple[Seen, ...]:
        """All that was raised, each once, in its order."""
        return tuple(self._seen.values())

    @property
    def missing(self) -> list[str]:
        """The expected findings that nothing has raised, in words."""
        return [
            str(one)
            for one in self._drill.expect
            if not any(one.covers(seen.host, seen.id) for seen in self.findings)
        ]

    @property
    def seconds(self) -> float | None:
        """How long the last of the expected findings took; None while one is missing."""
        if self.missing:
            return None
        first = [
            min(seen.after for seen in self.findings if one.covers(seen.host, seen.id))
            for one in self._drill.expect
        ]
        return max(first, default=0.0)

    def deviations(self) -> list[Deviation]:
        """Return what is missing, what was raised beside, and what came too late."""
        drill = self._drill
        found = [
            Deviation(phase=DETECT, what="finding-missing", text=f"diagnose did not raise '{one}'")
            for one in self.missing
        ]
        for seen in self.findings:
            if not seen.expected and not drill.allows(seen.host, seen.id):
                text = f"diagnose raised '{seen.id}', which the drill does not expect: {seen.title}"
                found.append(Deviation(phase=DETECT, what="finding-unexpected", text=text, host=seen.host))
        limit = drill.limits.detect
        if self.seconds is not None and self.seconds > limit:
            text = f"detected after {self.seconds:.1f} s, and the limit is {limit:g} s"
            found.append(Deviation(phase=DETECT, what="late-detection", text=text))
        return found


class Watch:
    """The fingerprints of the collateral, as they were and as they are."""

    def __init__(self, things: Sequence[Thing], named: Mapping[str, str]) -> None:
        self._things = things
        self._named = named
        self._before: dict[tuple[str, int], Print] = {}

    def since(self, moment: str) -> list[Thing]:
        """Return what is compared with this moment."""
        return [thing for thing in self._things if thing.since == moment]

    def remember(self, outcome: Outcome, moment: str) -> list[Deviation]:
        """Take the fingerprints of a moment; return what cannot be guarded, because it is not there."""
        phase = STEADY if moment == STEADY else METHOD
        wrong = []
        for number, thing in enumerate(self._things):
            if thing.since != moment:
                continue
            for host in thing.hosts:
                result, trouble = self._result(outcome, thing, host)
                if result is None and outcome.interrupted:
                    continue  # nobody has looked
                if result is None or missing(thing, result):
                    text = f"{thing.kind} {thing.title} cannot be guarded: {trouble or 'it is not there'}"
                    wrong.append(Deviation(phase=phase, what="collateral-missing", text=text, host=host))
                    continue
                self._before[host, number] = fingerprint(thing, result)
        return wrong

    def compare(self, outcome: Outcome) -> tuple[list[Guarded], list[Deviation]]:
        """Return every guarded thing before and after, and the deviations: those that changed.

        What a reading that was interrupted did not come to is not compared.
        """
        guarded, wrong = [], []
        for (host, number), (digest, words) in self._before.items():
            thing = self._things[number]
            result, trouble = self._result(outcome, thing, host)
            if result is None and outcome.interrupted:
                continue
            now, after = fingerprint(thing, result) if result is not None else ("", trouble)
            same = now == digest
            guarded.append(
                Guarded(host=host, kind=thing.kind, title=thing.title, before=words, after=after, same=same)
            )
            if not same:
                text = f"{thing.kind} {thing.title} is not as it was: before {words}; now {after}"
                wrong.append(Deviation(phase=COLLATERAL, what="collateral", text=text, host=host))
        return guarded, wrong

    def _result(self, outcome: Outcome, thing: Thing, host: str) -> tuple[Mapping[str, object] | None, str]:
        """Return what a reading returned, else None and why."""
        for task in outcome.done:
            if self._named.get(task.host) == host and task.position == str(thing.position):
                if task.status == "failed":
                    return None, f"reading it failed: {task.reason}"
                if task.status not in ("ok", "changed"):
                    return None, f"it was not read: {task.reason or task.status}"
                return task.result, ""
        return None, "it could not be read"
