"""A host that is done is let go while the others are still worked on: its lock, its agent, its connection."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.engine.fake import FakeLink, plain, play

PLAYS = """
- hosts: h1,h3
  gather_facts: false
  tasks:
    - command: "{{ 'false' if inventory_hostname == 'h3' else 'true' }}"
- hosts: all
  gather_facts: false
  tasks:
    - command: "true"
- hosts: h2
  gather_facts: false
  tasks:
    - command: look
"""


def test_links_end_with_the_last_play_of_their_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = {name: threading.Event() for name in ("h1", "h2", "h3")}
    seen: dict[str, bool] = {}
    end = FakeLink.close

    def close(link: FakeLink, *, grace: float = 2.0) -> None:
        ended[link._host.name].set()
        end(link, grace=grace)

    def behaviour(host: str, step: dict[str, Any]) -> dict[str, Any]:
        if step["params"].get("cmd") == "look":
            seen.update(h1=ended["h1"].wait(5), h2=ended["h2"].is_set(), h3=ended["h3"].wait(5))
        return plain(host, step)

    monkeypatch.setattr(FakeLink, "close", close)
    played = play(tmp_path, PLAYS, hosts=3, behaviour=behaviour)
    assert seen == {"h1": True, "h2": False, "h3": True}
    assert played.hosts["h1"].steps() == ["true", "true"]
    assert ended["h2"].is_set()
