"""Runs of the engine inside a drill: quiet, journaled like every run, told afterwards."""

from __future__ import annotations

import secrets as random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from remedy.document import Map
from remedy.drill.signals import Signals
from remedy.engine.bus import Bus
from remedy.engine.connections import Connections
from remedy.engine.context import RunContext
from remedy.engine.options import APPLY, Options
from remedy.engine.run import Run
from remedy.errors import Interrupted, RemedyError
from remedy.events import Event, FindingRaised, TaskDone, Warned
from remedy.inventory import Inventory
from remedy.journal import Journal
from remedy.journal.history import RUNS
from remedy.playbook import Playbook
from remedy.project import Project
from remedy.report import JsonReport
from remedy.secret import Secrets
from remedy.template import Layer, Templar, Vault
from remedy.transport import TargetDefaults

_PATIENCE = 60.0  # seconds; an agent whose link is gone ends within 5, but finishes what must not be cut off
_PAUSE = 0.5
_SHOWN = 300  # characters of what a program said


@dataclass(frozen=True, kw_only=True)
class Access:
    """How hosts are logged in to, and who drills; the command line's flags, read."""

    user: str
    secrets: Secrets = field(default_factory=Secrets)
    vault: Vault | None = None
    defaults: TargetDefaults = field(default_factory=TargetDefaults)
    extra: Map = field(default_factory=Map)
    forks: int = 50


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended; `document` is its report as `--format json` prints it, `raised` its findings as they
    came, `done` its tasks.

    `error` is what went wrong as a whole: then hosts may not have been contacted at all. `late`: its deadline
    ended it.
    """

    run: str
    code: int
    started: float
    ended: float
    document: Mapping[str, Any]
    raised: tuple[FindingRaised, ...] = ()
    done: tuple[TaskDone, ...] = ()
    error: RemedyError | None = None
    late: bool = False

    @property
    def interrupted(self) -> bool:
        """Say whether the operator ended it."""
        return self.code == Interrupted.exit_code and not self.late

    @property
    def locked(self) -> bool:
        """Say whether another run was changing one of the hosts."""
        return any(host["reason"] == "locked" for host in self.document["hosts"].values())

    def troubles(self, *, ignored: bool = False) -> list[tuple[str | None, str]]:
        """Return (host, reason) for all that went wrong: failed tasks, hosts left out, the run as a whole.

        `ignored`: also the failures of tasks that say they do not count.
        """
        found: list[tuple[str | None, str]] = []
        for task in self.done:
            if task.status != "failed" or task.rescued or (task.ignored and not ignored):
                continue
            said = " ".join(str(task.result.get("stderr") or "").split())[:_SHOWN]
            reason = ": ".join(filter(None, (task.reason, said))) or "no reason given"
            found.append((task.host, f"'{task.task}' failed: {reason}"))
        for name, host in self.document["hosts"].items():
            if host["reason"]:
                found.append((name, f"the host could not be worked on: {host['reason']}"))
        if self.late:
            found.append((None, f"it did not end within {self.ended - self.started:.0f} s, and was stopped"))
        elif self.error is not None:
            found.append((None, str(self.error)))
        return found

    def changed(self) -> int:
        """Return how many tasks changed something."""
        return sum(host["changed"] for host in self.document["hosts"].values())


class Watcher(Protocol):
    """A listener that is closed when the run is over, such as report.Console."""

    def __call__(self, event: Event) -> None:
        """Take an event."""
        ...

    def close(self) -> None:
        """The run is over, however it ended."""
        ...


class Runs:
    """Plays playbooks for one drill on the hosts it was given."""

    def __init__(
        self,
        project: Project,
        access: Access,
        inventory: Inventory,
        sources: Sequence[str],
        hosts: Sequence[str],
        folder: Path,
        signals: Signals,
        watch: Callable[[], Sequence[Watcher]] = tuple,
    ) -> None:
        """`hosts` are names of the inventory; `watch` gives each run its further listeners.

        The journals stand in `folder`/runs: a drill's runs are nothing that `remedy rollback` should find.
        """
        self.project = project
        self.access = access
        self.inventory = inventory
        self._sources = tuple(sources)
        self._hosts = tuple(hosts)
        self._folder = folder
        self._signals = signals
        self._watch = watch

    def undo(self, playbook: Playbook, label: str, extra: Map) -> Outcome:
        """Play a rollback; a host that the agent of a run cut off still holds is waited for."""
        until = time.monotonic() + _PATIENCE
        while True:
            outcome = self.play(playbook, label, extra=extra)
            if not outcome.locked or time.monotonic() > until:
                return outcome
            time.sleep(_PAUSE)

    def play(
        self,
        playbook: Playbook,
        label: str,
        *,
        mode: str = APPLY,
        extra: Map | None = None,
        deadline: float | None = None,
        reads_only: bool = False,
    ) -> Outcome:
        """Play a playbook to its end, approved ahead; after `deadline` seconds it is stopped like by Ctrl-C.

        Never raises: what went wrong as a whole is in the Outcome.
        """
        access, project = self.access, self.project
        id = f"{time.strftime('%Y%m%d-%H%M%S')}-{label}-{random.token_hex(3)}"
        journal = Journal(self._folder / RUNS / id)
        report = JsonReport()
        raised: list[FindingRaised] = []
        done: list[TaskDone] = []

        def remember(event: Event) -> None:
            if isinstance(event, FindingRaised) and not event.again:
                raised.append(event)
            elif isinstance(event, TaskDone) and event.item is None:
                done.append(event)

        stop = threading.Event()
        watchers = self._watch()
        bus = Bus([journal, report, remember, *watchers], access.secrets)
        connections = Connections(stop, lambda host, text: bus.emit(Warned(message=text, host=host)))
        context = RunContext(
            id=id,
            label=f"remedy {id}, {access.user}, since {time.strftime('%Y-%m-%d %H:%M:%S %z')}",
            options=Options(
                mode=mode, yes=True, forks=access.forks, defaults=access.defaults, reads_only=reads_only
            ),
            project=project,
            inventory=self.inventory,
            templar=Templar(access.secrets, access.vault),
            secrets=access.secrets,
            bus=bus,
            recorder=journal,
            connector=connections,
            stop=stop,
            decrypt=access.vault.open if access.vault else None,
            sources=self._sources,
            extra_vars=Layer("extra vars", _joined(extra, access.extra)),
        )
        hosts = [self.inventory.host(name) for name in self._hosts]
        started = time.time()
        clock = _Clock(deadline, self._signals)
        code, error = 1, None
        try:
            with clock, self._signals.in_run():
                named = ", ".join(self._sources)
                code = Run(context, hosts).play(playbook, named, access.user, ["drill", label])
        except RemedyError as trouble:
            code, error = trouble.exit_code, trouble
        except KeyboardInterrupt:
            code, error = Interrupted.exit_code, Interrupted("interrupted")
        finally:
            for watcher in watchers:
                watcher.close()
            late = _close(connections, journal)
        error = error or late
        if error is not None:
            error.message = access.secrets.mask(error.message)
            error.hint = access.secrets.mask(error.hint)
            code = code or error.exit_code
        return Outcome(
            run=id,
            code=code,
            started=started,
            ended=time.time(),
            document=report.document(),
            raised=tuple(raised),
            done=tuple(done),
            error=error,
            late=clock.rang,
        )


class _Clock:
    """Interrupts the main thread, as Ctrl-C would, after so many seconds."""

    def __init__(self, seconds: float | None, signals: Signals) -> None:
        self.rang = False
        self._signals = signals
        self._timer = threading.Timer(seconds, self._ring) if seconds is not None else None
        self._turn = threading.Lock()
        self._over = False

    def __enter__(self) -> None:
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def __exit__(self, *_: object) -> None:
        with self._turn:
            self._over = True
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        with self._turn:
            if not self._over:
                self.rang = True
                self._signals.ring()


def _joined(drill: Map | None, operator: Map) -> Map:
    """Return the drill's variables with the operator's -e over them."""
    merged = Map()
    for part in (drill or Map(), operator):
        merged.update(part)
        merged.keys_at.update(part.keys_at)
        merged.values_at.update(part.values_at)
    return merged


def _close(connections: Connections, journal: Journal) -> RemedyError | None:
    """Close both, whatever happens to one of them; return what kept the journal from its end."""
    try:
        connections.shut()
    finally:
        try:
            journal.close()
        except RemedyError as error:
            return error
    return None
