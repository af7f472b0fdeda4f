"""One run at a time changes a host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from remedy.agent import lock
from tests.agent.driver import Agent


def test_the_second_run_is_told_who_has_the_host(start: Callable[..., Agent], tmp_path: Path) -> None:
    first = start(lock=True, label="remedy 1, anna@desk, since 12:00")
    assert first.hello()["lock"] == {"held": True, "holder": None}
    before = set(Path("/run").iterdir())
    second = start(lock=True, label="remedy 2, ben@desk, since 12:01")
    assert second.hello()["lock"] == {"held": False, "holder": "remedy 1, anna@desk, since 12:00"}
    assert set(Path("/run").iterdir()) == before
    step = second.step("t_line", {"path": str(tmp_path / "file"), "text": "new"})
    assert second.run(step, step) == [
        {"t": "ended", "batch": "b1", "not_run": ["b1.1", "b1.2"], "why": "locked"}
    ]
    assert first.one("t_line", {"path": str(tmp_path / "file"), "text": "new"})["status"] == "changed"
    first.send(t="end")
    first.gone()
    third = start(lock=True)
    assert third.hello()["lock"]["held"] is True
    assert third.one("t_probe")["status"] == "ok"


def test_who_only_reads_takes_no_lock(start: Callable[..., Agent]) -> None:
    start(lock=True).hello()
    reader = start(lock=False)
    assert reader.hello()["lock"] == {"held": False, "holder": None}
    assert reader.one("t_probe")["status"] == "ok"


def test_a_worker_does_not_hold_the_lock(start: Callable[..., Agent]) -> None:
    agent = start(lock=True)
    agent.hello()
    assert lock.PLACE not in agent.one("t_probe")["result"]["open"].values()


def test_any_user_may_take_the_lock(start: Callable[..., Agent]) -> None:
    agent = start(lock=True, user=65534, interpreter="/usr/bin/python3")
    assert agent.hello()["lock"]["held"] is True
    other = start(lock=True)
    assert other.hello()["lock"] == {"held": False, "holder": "remedy test, me@here, since now"}


def test_a_holder_that_is_no_agent_is_unknown() -> None:
    held = lock.acquire()
    assert held is not None
    assert lock.acquire() is None
    assert lock.holder() == lock.UNKNOWN
    __import__("os").close(held)
