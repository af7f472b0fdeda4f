"""A failure that passes through an always section counts like any other: it stops the others, and handlers run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.fake import plain, play

PLAY = """
- hosts: all
  gather_facts: false
  serial: 2
  {word}
  tasks:
    - block:
        - command: "{{{{ 'false' if inventory_hostname == 'h1' else 'true' }}}}"
          {inner}
      always:
        - command: always
    - command: after
"""


@pytest.mark.parametrize(
    ("word", "inner"),
    [
        ("any_errors_fatal: true", ""),
        ("max_fail_percentage: 40", ""),
        ("vars: {}", "any_errors_fatal: true"),
    ],
)
def test_a_rollout_stops_at_a_failure_inside_block_and_always(tmp_path: Path, word: str, inner: str) -> None:
    played = play(tmp_path, PLAY.format(word=word, inner=inner), hosts=4, behaviour=plain)
    assert played.code == 2
    assert played.hosts["h1"].steps() == ["false", "always"]
    assert "after" not in played.hosts["h2"].steps()
    assert played.hosts["h3"].batches == played.hosts["h4"].batches == []


def test_handlers_are_forced_after_an_always_section_too(tmp_path: Path) -> None:
    text = """
- hosts: all
  gather_facts: false
  force_handlers: true
  handlers: [{name: h, command: handled}]
  tasks:
    - {file: "path=/a state=touch", notify: h}
    - block: [{command: "false"}]
      always: [{command: always}]
    - command: after
"""

    played = play(tmp_path, text)
    assert played.code == 2
    ran = [status for _, status in played.statuses() if status != "not_run"]
    assert ran == ["changed", "failed", "changed", "changed"]  # the file, "false", "always", and the handler
    assert played.statuses()[-1] == ("h", "changed")
