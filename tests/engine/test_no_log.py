"""no_log: what a task hides is nowhere in what is told, written down or shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from remedy.events import Intent
from tests.engine.fake import plain, play

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - command: login hunter2
      no_log: true
    - command: login {{ item }}
      no_log: true
      loop: [hunter2]
    - command: false hunter2
      no_log: true
"""


def test_the_text_of_a_command_is_hidden(tmp_path: Path) -> None:
    def behaviour(host: str, step: dict[str, Any]) -> dict[str, Any]:
        answer = plain(host, step)
        if answer["status"] == "failed":
            answer["reason"] = "'false hunter2' ended with 1"
        return answer

    played = play(tmp_path, PLAY, behaviour=behaviour)
    assert played.hosts["h1"].steps()[0] == "login hunter2"
    for event in played.memory.events:
        if isinstance(event, Intent):
            assert event.secret  # what undo needs is sealed, and stands in no line
            assert "hunter2" not in event.object
        else:
            assert "hunter2" not in repr(event)
