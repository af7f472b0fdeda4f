"""Getting in where a server is full and others try all the time."""

from __future__ import annotations

import pytest

from remedy.agent.kinds import Failed
from remedy.modules.controller import _kept_slot
from remedy.modules.controller._kept_slot import admitted


class Server:
    """A server that turns its first clients away."""

    def __init__(self, turned_away: int, number: int = 1040, seconds: float = 0.0) -> None:
        self.turned_away, self.number, self.seconds, self.tries = turned_away, number, seconds, 0

    def log_in(self) -> str:
        self.tries += 1
        _kept_slot.time.sleep(self.seconds)
        if self.tries <= self.turned_away:
            raise Failed("Too many connections", mysql_error=self.number)
        return "a session"


def full(failed: Failed) -> bool:
    return bool(failed.result["mysql_error"] == 1040)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that goes on by what is slept."""
    now = [0.0]
    monkeypatch.setattr(_kept_slot.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(_kept_slot.time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    return now


def test_who_is_turned_away_at_first_gets_in_later(clock: list[float]) -> None:
    server = Server(7)
    assert admitted(server.log_in, full) == "a session"
    assert server.tries == 8
    assert clock[0] == pytest.approx(0.35)


def test_who_is_turned_away_throughout_is_told_after_two_seconds(clock: list[float]) -> None:
    server = Server(1000)
    with pytest.raises(Failed, match="Too many connections"):
        admitted(server.log_in, full)
    assert clock[0] == pytest.approx(2.0, abs=0.11)


def test_where_a_try_takes_long_it_is_the_tries_that_count(clock: list[float]) -> None:
    """The machine is that busy, and the gaps are no longer than elsewhere: each try is worth as much."""
    assert admitted(Server(19, seconds=0.6).log_in, full) == "a session"
    assert clock[0] == pytest.approx(20 * 0.6 + 19 * 0.05)


def test_where_each_try_takes_a_second_it_ends_after_fifteen(clock: list[float]) -> None:
    server = Server(1000, seconds=1.0)
    with pytest.raises(Failed, match="Too many connections"):
        admitted(server.log_in, full)
    assert server.tries == 15
    assert clock[0] == pytest.approx(15.7)


def test_nothing_else_is_tried_twice() -> None:
    """A wrong password least of all: servers count it."""
    server = Server(1, number=1045)
    with pytest.raises(Failed):
        admitted(server.log_in, full)
    assert server.tries == 1
