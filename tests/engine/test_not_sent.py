"""What is said of a task whose host was lost: that nothing was sent, that nothing was run, or that nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from remedy.errors import LinkLost, Unreachable
from remedy.events import UNCERTAIN, TaskDone
from tests.engine import fake

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - command: uptime
"""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unreachable("authentication", "no key was accepted"), "no key was accepted; nothing was sent"),
        (LinkLost("link_lost", "it ended"), f"it ended; {UNCERTAIN}"),
    ],
)
def test_before_the_host_has_said_who_it_is(tmp_path: Path, error: Unreachable, said: str) -> None:
    played = fake.play(tmp_path, PLAY, unreachable={"h1": error})
    assert [(done.status, done.reason) for done in played.memory.of(TaskDone)] == [("not_run", said)]


def test_a_host_that_is_locked_runs_nothing(tmp_path: Path) -> None:
    played = fake.play(tmp_path, PLAY, locked={"h1": "somebody"})
    (done,) = played.memory.of(TaskDone)
    assert done.reason == "another run is changing this host: somebody; nothing was run"
