"""The plays of one drill on the hosts it was given; names of hosts go in and come out as the drill has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from remedy.drill import plays, record
from remedy.drill.model import Drill, Step, Thing
from remedy.drill.providers import Stage
from remedy.drill.record import Change, Recovery
from remedy.drill.runs import Outcome, Runs
from remedy.drill.told import Told
from remedy.engine.options import APPLY
from remedy.errors import Refused, RemedyError
from remedy.playbook import Playbook

_AGREED = (0, 2, 10)  # exit codes that say something of the hosts; the others say that nobody can tell


class Playing:
    """Plays what a phase asks for, and takes down in its notes what concerns the run as a whole."""

    def __init__(self, drill: Drill, stage: Stage, runs: Runs) -> None:
        self._drill = drill
        self._hosts = stage.hosts
        self._runs = runs
        self.named = {there: here for here, there in stage.hosts.items()}
        """From the inventory's names to the drill's."""

    def play(
        self, playbook: Playbook, told: Told, *, mode: str = APPLY, deadline: float | None = None
    ) -> Outcome:
        """Play a playbook."""
        extra = plays.variables(self._drill, self._hosts)
        outcome = self._runs.play(playbook, self._label(told), mode=mode, extra=extra, deadline=deadline)
        return self._noted(told, outcome)

    def step(self, step: Step, told: Told) -> Outcome:
        """Play a step of the method."""
        return self.play(plays.of_steps(self._drill, told.phase, [step], self._hosts), told)

    def read(self, things: Sequence[Thing], told: Told) -> Outcome:
        """Read things of the collateral."""
        return self.play(plays.of_things(self._drill, things, self._hosts), told)

    def refuse_missing_disks(self, told: Told) -> None:
        """Raise Refused where a disk that the drill may fill is no file system of its own: `/` would fill up."""
        playbook = plays.of_disks(self._drill, self._hosts)
        if not playbook.plays:
            return
        outcome = self.play(playbook, told)
        for need in self._drill.needs if not told.outcome else ():
            mounts = {
                one["mount"]
                for task in outcome.done
                if self.named.get(task.host) == need.name
                for one in task.result.get("filesystems", ())
            }
            missing = [str(mount) for mount in need.options.get("disks") or () if mount not in mounts]
            if missing:
                raise Refused(
                    f"{', '.join(missing)} is no file system of its own on {self._hosts[need.name]}",
                    where=need.position,
                    hint="what the drill does to that disk would happen to the one it lies on; mount one there",
                )

    def undo(self, steps: Sequence[Step], told: Told) -> Outcome:
        """Play the rollback, waiting for hosts that a run cut off still holds."""
        playbook = plays.of_steps(self._drill, told.phase, steps, self._hosts)
        extra = plays.variables(self._drill, self._hosts)
        return self._noted(told, self._runs.undo(playbook, self._label(told), extra))

    def changes(self, outcome: Outcome) -> list[Change]:
        """Return what a run changed."""
        return [
            Change(
                host=self.named.get(one["host"], one["host"]),
                task=one["task"],
                module=one["module"],
                object=one["object"],
                bytes_freed=one["bytes_freed"],
            )
            for one in outcome.document["changes"]
        ]

    def last_commits(self, outcome: Outcome) -> dict[tuple[str, str], float]:
        """Return the last commit before an accident with data, by host and database, where a fault tells it."""
        return {
            (self.named.get(task.host, task.host), str(task.result["database"])): float(
                task.result["last_commit"]
            )
            for task in outcome.done
            if "last_commit" in task.result and "database" in task.result
        }

    def recoveries(self, outcome: Outcome, last_commits: Mapping[tuple[str, str], float]) -> list[Recovery]:
        """Return what a run brought back of lost data."""
        found = []
        for task in outcome.done:
            told = task.result.get("recovery")
            if not isinstance(told, Mapping) or task.status != "changed":
                continue
            host, point = self.named.get(task.host, task.host), float(told["point"])
            behind, last = int(told["rows_behind"]), last_commits.get((host, str(told["database"])))
            lost = None if last is None else max(0.0, last - point) if behind else 0.0
            found.append(
                Recovery(
                    host=host,
                    engine=str(told["engine"]),
                    database=str(told["database"]),
                    seconds=float(told["seconds"]),
                    point=point,
                    rows_behind=behind,
                    lost_seconds=lost,
                )
            )
        return found

    def troubles(self, outcome: Outcome, *, ignored: bool = False) -> list[tuple[str | None, str]]:
        """Return (host, what went wrong); `ignored`: also the failures that a task says do not count."""
        return [
            (None if name is None else self.named.get(name, name), text)
            for name, text in outcome.troubles(ignored=ignored)
        ]

    def _label(self, told: Told) -> str:
        return f"{self._drill.name}-{told.phase}".replace(" ", "-")

    def _noted(self, told: Told, outcome: Outcome) -> Outcome:
        told.runs.append(outcome.run)
        if outcome.interrupted:
            told.outcome = record.INTERRUPTED
        elif outcome.code not in _AGREED and not outcome.late:
            told.fail(outcome.error or RemedyError(_all(outcome)), outcome.code)
        return outcome


def _all(outcome: Outcome) -> str:
    return "; ".join(f"{host}: {text}" if host else text for host, text in outcome.troubles()) or (
        f"the run {outcome.run} ended with exit code {outcome.code}"
    )
