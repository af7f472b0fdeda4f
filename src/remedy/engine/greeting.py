"""The handshake: is this the machine we think it is, and is it ours to change?"""

from __future__ import annotations

import threading
from typing import Any

from remedy.engine.context import RunContext
from remedy.engine.state import HostState
from remedy.errors import Unreachable
from remedy.events import HostConnected, Warned

_CLOCK_OFF = 60.0  # seconds; from here on nothing is swept by age


class Machines:
    """The machines a run has met, so that two names for one machine are noticed."""

    def __init__(self) -> None:
        self._met: dict[tuple[Any, ...], str] = {}
        self._guard = threading.Lock()

    def meet(self, host: str, hello: dict[str, Any]) -> str | None:
        """Return the other name under which this machine has been met already."""
        mark = tuple(hello.get(name) for name in ("machine_id", "boot_id", "pid_ns"))
        if not all(mark):
            return None
        with self._guard:
            other = self._met.setdefault(mark, host)
        return None if other == host else other


def greeted(run: RunContext, state: HostState, hello: dict[str, Any], machines: Machines) -> None:
    """Take a host's hello; raises Unreachable where a run that changes must not go on."""
    name = state.name
    run.bus.emit(HostConnected(host=name, hello=hello, seconds=0.0))
    twin = machines.meet(name, hello)
    if twin is not None:
        text = f"'{name}' and '{twin}' are one machine (same machine id, boot and process namespace)"
        if run.options.changes:
            raise Unreachable(
                "same_machine", text, hint="take one of the two names out of the run (-l)", host=name
            )
        run.bus.emit(Warned(message=text, host=name))
    lock = hello.get("lock") or {}
    if run.options.changes and not lock.get("held"):
        holder = str(lock.get("holder") or "an unknown process")
        if holder == run.label:
            raise Unreachable(
                "same_machine",
                f"'{name}' is a machine that this run works on already, under another name",
                hint="take one of the two names out of the run (-l)",
                host=name,
            )
        raise Unreachable(
            "locked",
            f"another run is changing this host: {holder}",
            hint="wait for it, or stop it where it was started; diagnose needs no lock",
            host=name,
        )
    if state.clock_skew is not None and abs(state.clock_skew) > _CLOCK_OFF:
        run.bus.emit(
            Warned(
                message=f"the clock is {state.clock_skew:+.0f} s off: nothing is swept by age",
                host=name,
            )
        )
