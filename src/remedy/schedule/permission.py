"""What may happen without anybody being asked: given ahead, by somebody, until a day, for a share of the hosts."""

from __future__ import annotations

import threading
from datetime import date, datetime, tzinfo

from msgspec import Struct

from remedy.engine.approval import Leave, Planned, Plans
from remedy.engine.guards import KINDS as _LETTERS
from remedy.errors import Refused

KINDS = {letter: kind for kind, letter in _LETTERS.items()}
_VERBS = {"destructive": "destroys", "disruptive": "interrupts"}
_SHOWN = 8
_GRANT = "grant it in its file (permission: {kinds, at_most, until, by}), or play it by hand"
_BY_HAND = (
    "no permission covers it: play it by hand, with its own variable and --yes; where that variable stands in the "
    "schedule's file or the inventory, take it out there"
)


class Permission(Struct, frozen=True):
    """Which kinds of step (D, R) may run unattended, on how many hosts, until which day (included), granted by whom.

    `most` is a number of hosts, or a share of those of the run as a fraction where `share` is true.
    """

    kinds: frozenset[str]
    most: float
    share: bool
    until: date
    by: str

    def expired(self, now: datetime, zone: tzinfo) -> bool:
        """Say whether its last day is over, in the schedule's zone."""
        return now.astimezone(zone).date() > self.until

    def covers(self, step: Planned) -> bool:
        """Say whether it is for all that a step does: one that destroys and interrupts needs both."""
        return step.guarded <= {KINDS[letter] for letter in self.kinds}

    def hosts(self, of: int) -> int:
        """Return on how many hosts of a run's: a share is rounded down."""
        return min(of, int(self.most * of + 1e-9) if self.share else int(self.most))

    @property
    def at_most(self) -> str:
        """Return the share or number as it is written."""
        return f"{self.most * 100:g}%" if self.share else f"{int(self.most)}"

    def __str__(self) -> str:
        kinds = " and ".join(f"{letter} ({KINDS[letter]})" for letter in sorted(self.kinds))
        return f"{kinds} on at most {self.at_most} of the hosts, until {self.until}, granted by {self.by}"


class Standing:
    """Answers for whoever gave a permission: an Approver. Called one plan at a time, for all hosts of a batch.

    What it does not cover, and what is marked ! in any case, is refused: before the first write of the batch where the
    check pass foresees it, else when it comes up (in a `rescue`, say). `hosts` is how many the run has.
    """

    def __init__(self, schedule: str, permission: Permission | None, hosts: int) -> None:
        self._schedule = schedule
        self._permission = permission
        self._hosts = hosts
        self._touched: set[str] = set()
        self._turn = threading.Lock()

    def __call__(self, plans: Plans) -> Leave | None:
        """Return whose permission covers every step, None where no step needs one; raise Refused naming the others."""
        steps = [(host, step) for host in plans for step in plans[host] if step.guarded]
        if not steps:
            return None
        if attended := [(host, step) for host, step in steps if step.attended]:
            raise self._refused("what is marked ! never runs unattended", attended, hint=_BY_HAND)
        permission = self._permission
        if permission is None:
            raise self._refused("it has no permission for what nobody is there to approve", steps)
        missing = [(host, step) for host, step in steps if not permission.covers(step)]
        if missing:
            has = " and ".join(sorted(permission.kinds))
            raise self._refused(f"its permission is for {has} only", missing)
        with self._turn:
            touched = self._touched | {host for host, _ in steps}
            most = permission.hosts(self._hosts)
            if len(touched) > most:
                raise self._refused(
                    f"its permission is for at most {permission.at_most} of {self._hosts} hosts, which is {most}, "
                    f"and this concerns {len(touched)}",
                    steps,
                )
            self._touched = touched
        return Leave(
            by=permission.by,
            schedule=self._schedule,
            kinds=tuple(sorted(permission.kinds)),
            at_most=permission.at_most,
            until=str(permission.until),
        )

    def _refused(self, why: str, steps: list[tuple[str, Planned]], hint: str = _GRANT) -> Refused:
        lines = [
            f"    {host}: {'perhaps ' if step.unknown else ''}{step.told(_VERBS)} "
            f"{step.object}  [{step.task}] "
            f"({step.told(_LETTERS, ' ')}{'!' if step.attended else ''})"
            for host, step in steps[:_SHOWN]
        ]
        lines += [f"    ... and {len(steps) - _SHOWN} more"] if len(steps) > _SHOWN else []
        return Refused(
            f"the schedule '{self._schedule}' may not do this: {why}\n" + "\n".join(lines),
            hint=hint,
        )
