"""What is lent is put back: at the end of the link, by whatever ends the agent, and when its time is over."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.agent.driver import Agent

LONG = 600


class Loan:
    """One file that an agent lends: "old" on its own, "new" for the time."""

    def __init__(
        self, folder: Path, start: Callable[..., Agent], python: str | None = None, **begin: Any
    ) -> None:
        self.path = folder / "file"
        self.path.write_text("old")
        self.label = f"remedy lends {os.urandom(6).hex()}"
        self.agent = start(python, label=self.label, **begin)
        self.agent.hello()

    def lend(self, seconds: float = LONG, **params: Any) -> dict[str, Any]:
        return self.agent.one("t_line", {"path": str(self.path), "text": "new", **params}, lent=seconds)

    def set(self, text: str) -> dict[str, Any]:
        return self.agent.one("t_line", {"path": str(self.path), "text": text})

    def processes(self) -> list[int]:
        """Return the agent's processes, the youngest last."""
        found = []
        for each in Path("/proc").iterdir():
            try:
                if self.label.encode() in (each / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(each.name))
            except (OSError, ValueError):
                continue
        return sorted(found)

    def keeper(self) -> int:
        """Return the process that keeps the promise."""
        family = self.agent.one("t_probe")["result"]
        (found,) = (
            pid for pid in self.processes() if pid not in (family["pid"], family["ppid"]) and not shell(pid)
        )
        return found

    def wait(self, text: str, seconds: float = 9.0) -> None:
        until(lambda: self.path.read_text() == text, seconds)


def shell(pid: int) -> bool:
    return "python" not in str(Path(f"/proc/{pid}/exe").readlink())


def until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def loan(tmp_path: Path, start: Callable[..., Agent]) -> Loan:
    return Loan(tmp_path, start)


def test_the_end_of_the_link_puts_it_back(
    any_python: str, tmp_path: Path, start: Callable[..., Agent]
) -> None:
    loan = Loan(tmp_path, start, any_python)
    assert loan.lend()["status"] == "changed"
    assert loan.path.read_text() == "new"
    loan.agent.cut()
    loan.agent.gone()
    assert loan.path.read_text() == "old", "before the agent has ended, and with it the host's lock"


def test_told_to_end_it_puts_it_back(loan: Loan) -> None:
    loan.lend()
    loan.agent.send(t="end")
    loan.agent.gone()
    assert loan.path.read_text() == "old"


def test_a_line_that_falls_silent_puts_it_back(tmp_path: Path, start: Callable[..., Agent]) -> None:
    loan = Loan(tmp_path, start, lease=1)
    loan.lend()
    loan.agent.gone(9)
    assert loan.path.read_text() == "old"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_agent_that_is_told_to_end_puts_it_back(loan: Loan, number: int) -> None:
    loan.lend()
    os.kill(loan.agent.one("t_probe")["result"]["ppid"], number)
    loan.wait("old")


def test_an_agent_that_is_killed_puts_it_back(
    any_python: str, tmp_path: Path, start: Callable[..., Agent]
) -> None:
    loan = Loan(tmp_path, start, any_python)
    loan.lend()
    os.kill(loan.agent.one("t_probe")["result"]["ppid"], signal.SIGKILL)
    loan.wait("old")


def test_agent_and_worker_killed_at_once(loan: Loan) -> None:
    loan.lend()
    family = loan.agent.one("t_probe")["result"]
    os.kill(family["ppid"], signal.SIGSTOP)  # it sees nothing of its worker's end
    os.kill(family["pid"], signal.SIGKILL)
    os.kill(family["ppid"], signal.SIGKILL)
    loan.wait("old")
    until(lambda: not loan.processes(), 9)


def test_killed_in_the_middle_of_the_write(loan: Loan) -> None:
    """The write comes to its end after the worker: it is looked at again for a while."""
    agent = loan.agent
    worker = agent.one("t_probe")["result"]["pid"]
    agent.batch(agent.step("t_line", {"path": str(loan.path), "text": "new", "slow": 0.5}, lent=LONG))
    agent.send(t="word", change=agent.next("intent")["change"], contents={})
    until(loan.path.with_name("file.sibling").exists, 5)
    os.kill(worker, signal.SIGKILL)
    assert agent.next("result")["change"]["after_unknown"]
    loan.path.with_name("file.sibling").rename(loan.path)
    assert loan.path.read_text() == "new"
    loan.wait("old")


def test_a_time_that_is_over_puts_it_back(loan: Loan) -> None:
    loan.lend(0.3)
    loan.wait("old")
    again = loan.set("old")
    assert (again["status"], again["change"]) == ("ok", None)


def test_what_is_lent_again_is_not_for_the_keeper_of_the_first_time(loan: Loan) -> None:
    loan.lend(0.3)
    loan.wait("old")
    first = loan.keeper()
    loan.set("old")
    loan.lend()
    until(lambda: first not in loan.processes(), 9)
    assert loan.path.read_text() == "new"


def test_a_signal_to_the_keeper_is_the_end_of_the_host(loan: Loan) -> None:
    """A machine that shuts down tells everybody, and waits a while."""
    loan.lend()
    os.kill(loan.keeper(), signal.SIGTERM)
    loan.wait("old")


@pytest.mark.parametrize("text", ["old", "for good"])
def test_what_a_later_step_says_stays(loan: Loan, text: str) -> None:
    loan.lend()
    keeper = loan.keeper()
    loan.set(text)
    until(lambda: keeper not in loan.processes(), 5)


def test_what_somebody_else_has_changed_is_left_alone(loan: Loan) -> None:
    loan.lend()
    loan.path.write_text("somebody's")
    loan.agent.cut()
    loan.agent.gone()
    assert loan.path.read_text() == "somebody's"


def test_what_could_not_be_put_back_is_not_lent(loan: Loan) -> None:
    done = loan.lend(irreversible=True)
    assert done["status"] == "failed"
    assert done["reason"] == "not lent, for it could not be put back: as asked"
    assert loan.path.read_text() == "old"


def test_a_check_lends_nothing(loan: Loan) -> None:
    done = loan.agent.one("t_line", {"path": str(loan.path), "text": "new"}, lent=LONG, check=True)
    assert done["change"]["predicted"]
    family = loan.agent.one("t_probe")["result"]
    assert {family["pid"], family["ppid"]} == {pid for pid in loan.processes() if not shell(pid)}


def test_it_is_lent_once(loan: Loan) -> None:
    loan.lend()
    done = loan.lend(text="newer")
    assert done["reason"] == f"line:{loan.path} is lent already"
    loan.agent.cut()
    loan.agent.gone()
    assert loan.path.read_text() == "old"
