"""Sessions that controller modules keep from step to step."""

from __future__ import annotations

from remedy.engine.sessions import Sessions


class Session:
    def __init__(self, told: list[str], name: str) -> None:
        self.alive = True
        self._told, self._name = told, name

    def close(self) -> None:
        self._told.append(f"{self._name} closed")


class Broken(Session):
    def close(self) -> None:
        super().close()
        raise OSError("it is gone")


def test_one_session_serves_every_step_until_it_ends() -> None:
    told: list[str] = []
    sessions = Sessions()

    def take(name: str) -> Session:
        return sessions.take("db", lambda: Session(told, name), lambda: [Session(told, f"{name}'s line")])

    first = take("first")
    assert take("second") is first
    first.alive = False
    assert take("third") is not first
    assert told == ["first closed", "first's line closed"]
    sessions.close()
    sessions.close()
    assert told[2:] == ["third closed", "third's line closed"]


def test_two_servers_have_two_sessions_and_a_broken_one_still_frees_its_line() -> None:
    told: list[str] = []
    sessions = Sessions()
    one = sessions.take("one", lambda: Broken(told, "one"), lambda: [Session(told, "line")])
    assert sessions.take("two", lambda: Session(told, "two"), list) is not one
    one.alive = False
    sessions.take("one", lambda: Session(told, "fresh"), list)
    assert told == ["one closed", "line closed"]
