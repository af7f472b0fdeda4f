"""A run that is cut off while a disk grows: its controller is killed, its connection ends, or its agent is killed."""

from __future__ import annotations

import signal
from collections.abc import Callable

from tests.acceptance.operator import Operator
from tests.services_lab.growing import Machine

WHO = ("controller", "link", "agent")
_AGENTS = "ps -eo pid,args | awk '/python3 -I.* -B -c/ && !/awk/ {print $1}'"


def cut(
    machine: Machine, operator: Operator, who: str, when: Callable[[], None], *words: str, middle: bool = True
) -> None:
    """Begin to play, and cut it off when `when` returns, in the middle of a step or anywhere."""
    with operator.start("play", *words) as process:
        when()
        if who == "controller":
            process.send_signal(signal.SIGKILL)
        else:
            (_link if who == "link" else _agent)(machine)
        try:
            process.communicate(timeout=machine.seconds / 2)
        finally:
            process.kill()
    machine.ended()
    assert process.returncode != 0 or not middle


def _link(machine: Machine) -> None:
    """End the connection as the network would: the host's end of it goes."""
    machine.shell("pkill -KILL -f '^sshd: admin' || true")


def _agent(machine: Machine) -> None:
    """Kill the agent with all its processes, and none of what a step has started."""
    found = machine.shell(_AGENTS).split()
    machine.shell('kill -9 "$@" 2> /dev/null || true', *found)
