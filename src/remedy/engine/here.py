"""Steps of controller modules: they run in the host's own thread, by the same runner that the agent has.

So write-ahead, check mode and convergence are the same for a database behind a tunnel as for a file on the host.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec.structs import replace

from remedy.agent import runner
from remedy.agent.kinds import Failed
from remedy.agent.outcome import plain
from remedy.engine.context import PlayContext
from remedy.engine.flight import Entry, Item
from remedy.engine.keywords import identity_of
from remedy.engine.sessions import Closes
from remedy.engine.state import HostState
from remedy.engine.walk import Walk
from remedy.errors import InputError, RemedyError, Unreachable
from remedy.events import Warned
from remedy.modules import check, find
from remedy.modules.controller._site import T, not_known
from remedy.transport import Identity, Line, NoService, Target
from remedy.transport.reach import Address, lost
from remedy.transport.tunnel import TcpTunnel, Tunnel

if TYPE_CHECKING:
    from remedy.engine.carrier import Carrier

TARGET = "remedy.modules.target."


class Gone(BaseException):
    """The host was lost in the middle of a step. No Exception, so that no module swallows it."""

    def __init__(self, error: RemedyError) -> None:
        super().__init__(str(error))
        self.error = error


def run_here(carrier: Carrier, play: PlayContext, walk: Walk, entry: Entry, item: Item) -> dict[str, Any]:
    """Run one step of a controller module; return its `result` frame. Raises where the host is lost."""
    talk = Talk(carrier, play, entry, item)
    site = HostSite(carrier, play, walk, entry, item, talk)
    step = item.message or {}
    try:
        result: dict[str, Any] = plain(runner.run(step, site, talk))
        return result
    except Gone as gone:
        raise gone.error from None
    finally:
        site.close()


class Talk:
    """The runner's way to the journal: what the agent would ask over the link is answered here."""

    Gone = Gone
    waited = 0.0

    def __init__(self, carrier: Carrier, play: PlayContext, entry: Entry, item: Item) -> None:
        self._carrier = carrier
        self._journal: Callable[[dict[str, Any]], None] = lambda intent: carrier.intend(
            play, entry, item, intent
        )
        self._objection: Callable[[dict[str, Any]], str | None] = lambda intent: carrier.objection(
            play, entry, item, intent
        )

    def running(self, seconds: float | None, interruptible: bool, kind: str) -> None:
        """Take note of how long the step may take; nobody here would cut it off."""

    def ask(self, intent: dict[str, Any]) -> None:
        """Put an intent on the journal's disk; raises Failed where nothing may be written."""
        intent = plain(intent)
        objection = self._objection(intent)
        self._journal(intent)
        if objection is not None:
            raise Failed(objection)
        try:
            self._carrier.run.recorder.commit()
        except (OSError, RemedyError) as error:
            raise Failed(f"not written: {error}") from error

    def warn(self, text: str) -> None:
        """Tell the operator something."""
        if not self._carrier.state.quiet:
            self._carrier.run.bus.emit(Warned(message=text, host=self._carrier.state.name))

    def stopping(self) -> bool:
        """Return whether the operator wants to stop."""
        return self._carrier.run.stop.is_set()

    def lost(self) -> bool:
        """Return whether nobody waits for the result."""
        return False


class _Place:
    """A host that can be reached: lines to its services."""

    def __init__(self, carrier: Carrier, target: Target, identity: Identity | None, *, apart: bool) -> None:
        self._carrier = carrier
        self._target = target
        self._identity = identity
        self._apart = apart
        self._lines: list[Closes] = []
        self.name = target.name
        self.address = target.address
        self.user = identity.user if identity is not None else (target.user or "")

    def reach(self, addresses: Sequence[Address]) -> Line:
        """Return a line to a service; raises Failed where none answers."""
        line = self._reach(addresses)
        self._lines.append(line)
        self._carrier.round_trips += 1
        return line

    def tunnel(self, addresses: Sequence[Address], name: str, root_as: Sequence[str] = ()) -> Tunnel:
        """Return a private Unix socket that leads to a service; where none answers, its `failed` says why."""
        tunnel = Tunnel(lambda: self._reach(addresses, root_as), name)
        self._lines.append(tunnel)
        self._carrier.round_trips += 1
        return tunnel

    def port(self, host: str, port: int) -> TcpTunnel:
        """Return a port of 127.0.0.1 that leads to a port as seen from the host."""
        tunnel = TcpTunnel(lambda: self._reach([(host, port)]))
        self._lines.append(tunnel)
        self._carrier.round_trips += 1
        return tunnel

    def held(self, key: Hashable, open: Callable[[], T]) -> T:
        """Return the session that the run keeps under a key, opened where there is none."""
        before = len(self._lines)

        def below() -> list[Closes]:
            lines, self._lines[before:] = self._lines[before:], []
            return lines

        return self._carrier.sessions.take((self.name, self.user, key), open, below)

    def attempt(self, login: Hashable, circumstances: Hashable = None) -> AbstractContextManager[None]:
        """Log in within it: what was refused before in this run raises NotLetIn at once."""
        return self._carrier.run.logins.attempt((self.name, login), (self.user, circumstances))

    def mended(self) -> None:
        """Forget which logins were refused on the host."""
        self._carrier.run.logins.forget(self.name)

    def _reach(self, addresses: Sequence[Address], root_as: Sequence[str] = ()) -> Line:
        connector = self._carrier.run.connector
        try:
            return connector.reach(
                self._target, addresses, self._identity, apart=self._apart, root_as=root_as
            )
        except NoService as error:
            raise Failed(str(error)) from None
        except Unreachable as error:
            if self._apart:
                raise Failed(f"{self.name}: {error.message}") from None
            raise Gone(error) from None

    def cut(self, line: Line, error: BaseException, asked: str = "", **result: Any) -> NoReturn:
        """A line broke: where the connection is gone, nobody knows what took effect."""
        if line.connection.alive or self._apart:
            said = f"{self.name}: the service at {line.address} ended the conversation: {error}"
            raise Failed(said + (f"; {not_known(asked)}" if asked else ""), **result)
        raise Gone(lost(line.connection, error))

    def close(self) -> None:
        """Close every line that no session keeps."""
        lines, self._lines = self._lines, []
        for line in lines:
            line.close()


class HostSite(_Place):
    """The host a step works for; a `Site` of controller modules."""

    def __init__(
        self, carrier: Carrier, play: PlayContext, walk: Walk, entry: Entry, item: Item, talk: Talk
    ) -> None:
        super().__init__(carrier, carrier.contact.target(play), item.identity, apart=False)
        self._play = play
        self._walk = walk
        self._entry = entry
        self._item = item
        self._numbers = count(1)
        self._others: list[_Place] = []
        self._lent: set[str] = set()
        self.check = bool((item.message or {}).get("check"))
        self.yes = bool(carrier.run.options.yes)
        self.unattended = carrier.run.options.unattended
        self.clock_skew = carrier.state.clock_skew
        self.foreseen = carrier.state.foreseen
        self.warn = talk.warn
        self.stopping = talk.stopping
        self._deadline: float | None = None

    def limit(self, seconds: float | None) -> None:
        """Set the step's time (None: no end)."""
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Return the seconds until the step's deadline, None where it has none."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def hide(self, secret: object) -> None:
        """Mask a value in every output from now on."""
        self._carrier.run.secrets.add(secret)

    def ask(
        self, module: str, *, finishing: bool = False, lent: float | None = None, **params: Any
    ) -> dict[str, Any]:
        """Run a target module on the host, as the task's identity; its changes are journaled on their own."""
        name = module if module.startswith(TARGET) else find(module).import_name
        if name != module:
            params = dict(check(find(module), params, None, templates_allowed=False))
        frame = self._carry(name, params, finishing=finishing, more={} if lent is None else {"lent": lent})
        if lent is not None and frame.get("change"):
            self._lent.add(str(frame["object"]))
        elif frame["status"] != "failed":
            self._lent.discard(str(frame.get("object")))
        result = dict(frame.get("result") or {})
        if frame["status"] == "failed":
            cause = result.pop("cause", None)
            raise Failed(f"{self.name}: {frame.get('reason') or result.get('msg')}", cause, **result)
        return result

    def lent(self) -> list[dict[str, Any]]:
        """Return what earlier runs lent on this host that is still as they left it; what is not is forgotten."""
        loans = self._carrier.run.loans
        found = []
        for loan in loans.of(self.name, self.warn):
            frame = self._carry(loan.module, dict(loan.params), more={"check": True, "lent": None})
            about = f"{loan.object}, which the run {loan.run} lent,"
            if frame["status"] == "failed":
                self.warn(f"{about} cannot be looked at: {frame.get('reason')}")
            elif frame.get("object") != loan.object:
                self.warn(f"{about} is not where it was: there is {frame.get('object')} now")
            elif frame["status"] == "ok":
                told = {"run": loan.run, "task": loan.task, "object": loan.object, "before": loan.before}
                module = loan.module.rpartition(".")[2]
                found.append({**told, "module": module, "params": dict(loan.params)})
            else:
                try:
                    loans.back(loan)
                except RemedyError as error:
                    self.warn(str(error))
        return found

    def earlier(self, name: str) -> dict[str, Any]:
        """Return the last write of earlier runs to an object of this host: run, before, want; None, where none."""
        found = self._carrier.run.journals.last(self.name, name, self.warn)
        if found is None:
            return {"run": None, "before": None, "want": None}
        return {"run": found.run, "before": found.before, "want": found.want}

    def growing(self, days: float) -> list[dict[str, Any]]:
        """Return what earlier runs measured of this host in the last days, and how it grows."""
        return self._carrier.run.growing.of(self.name, days, self.warn)

    def _carry(
        self, name: str, params: dict[str, Any], *, more: dict[str, Any], finishing: bool = False
    ) -> dict[str, Any]:
        """Run a step of a target module on the host; return its `result` frame, with its change on the books."""
        message = self._item.message or {}
        step = {
            **message,
            "id": f"{message['id']}.{next(self._numbers)}",
            "op": "run",
            "module": name,
            "params": params,
            "timeout": None,
            "ignore": True,
            **more,
        }
        inner = Item(0, message=step, identity=self._item.identity, kind="resource")
        task = replace(self._entry.task, changed_when=None, failed_when=None, register=None)
        entry = replace(self._entry, task=task, items=[inner], partial=True)
        try:
            frame = self._carrier.carry_one(self._play, entry, inner, finishing=finishing)
        except RemedyError as error:
            raise Gone(error) from None
        if frame.get("change") and step.get("check") == message.get("check"):
            self._walk.ledger.arrived(entry, inner, frame)
        return frame

    def other(self, name: str) -> _Place | None:
        """Return another host of the inventory by its name or address, with its own variables and identity."""
        run = self._carrier.run
        for host in run.inventory.hosts:
            if host.name == self.name:
                continue
            scope = self._play.target_scope(HostState(host))
            if name not in (host.name, str(scope.get("ansible_host", ""))):
                continue
            words, where = self._entry.words, self._entry.task.position
            try:
                target = self._carrier.contact.target_of(scope, host.name)
                defaults = run.options.defaults
                identity = identity_of(host.name, words, run.templar, scope, defaults, where)
            except InputError as error:
                raise Failed(str(error)) from None
            place = _Place(self._carrier, target, identity, apart=True)
            self._others.append(place)
            return place
        return None

    def close(self) -> None:
        """Close every line, to other hosts too."""
        for name in sorted(self._lent):
            look = f"`remedy rollback {self._carrier.run.id} --check` tells whether it has"
            self.warn(f"{name} is still lent: the host puts it back by itself; {look}")
        super().close()
        others, self._others = self._others, []
        for other in others:
            other.close()
