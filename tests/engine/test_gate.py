"""Approval: what destroys or interrupts is refused before the first write, unless --yes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remedy.errors import Refused, Unreachable
from remedy.events import FindingRaised, Intent, SectionStarted
from tests.engine.fake import plain, play

RUNBOOK = """
- hosts: all
  runbook: {severity: P1}
  diagnose:
    - ping:
    - finding: {id: sick, severity: P1, title: it is sick}
      when: inventory_hostname in sick_hosts
  tasks:
    - file: path=/harmless state=touch
    - file: path=/precious state=absent
"""


def removing(host: str, step: dict[str, Any]) -> dict[str, Any]:
    answer = plain(host, step)
    if step["module"].endswith(".file"):
        answer["change"]["predicted"] = bool(step["check"])
    return answer


def test_without_yes_nothing_is_written_and_the_text_says_what_would_go(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        play(tmp_path, RUNBOOK, hosts=2, behaviour=removing, extra={"sick_hosts": ["h2"]}, yes=False)
    assert "h2: file: destructive: file:/precious" in str(refused.value)
    assert "/harmless" not in str(refused.value)
    assert "--yes" in str(refused.value)
    assert refused.value.exit_code == 3


def test_the_refusal_comes_before_the_first_write(tmp_path: Path) -> None:
    steps: list[tuple[str, bool]] = []

    def watch(host: str, step: dict[str, Any]) -> dict[str, Any]:
        steps.append((step["params"].get("path", "ping"), bool(step["check"])))
        return removing(host, step)

    with pytest.raises(Refused):
        play(tmp_path, RUNBOOK, behaviour=watch, extra={"sick_hosts": ["h1"]}, yes=False)
    assert steps == [("ping", False), ("/harmless", True), ("/precious", True)]


def test_the_check_pass_is_a_section_of_its_own(tmp_path: Path) -> None:
    def behaviour(host: str, step: dict[str, Any]) -> dict[str, Any]:
        return {"status": "ok"} if step["params"].get("state") == "absent" else removing(host, step)

    played = play(tmp_path, RUNBOOK, behaviour=behaviour, extra={"sick_hosts": ["h1"]}, yes=False)
    sections = [event.section for event in played.memory.of(SectionStarted)]
    assert sections[:4] == ["diagnose", "check", "approval", "tasks"]


def test_healthy_hosts_need_no_approval(tmp_path: Path) -> None:
    played = play(tmp_path, RUNBOOK, hosts=2, behaviour=removing, extra={"sick_hosts": []}, yes=False)
    assert played.code == 0
    assert played.memory.of(FindingRaised) == []


def test_yes_asks_nobody_and_costs_no_pass(tmp_path: Path) -> None:
    played = play(tmp_path, RUNBOOK, behaviour=removing, extra={"sick_hosts": ["h1"]})
    assert played.code == 0
    assert [intent.object for intent in played.memory.of(Intent)] == ["file:/harmless", "file:/precious"]
    assert not any(step["check"] for batch in played.hosts["h1"].batches for step in batch)


def test_an_ordinary_play_never_asks_for_what_ansible_has(tmp_path: Path) -> None:
    text = "- hosts: all\n  gather_facts: false\n  tasks: [{file: path=/precious state=absent}]\n"
    played = play(tmp_path, text, behaviour=removing, yes=False)
    assert played.code == 0
    assert len(played.hosts["h1"].words) == 1


def test_a_host_that_is_lost_does_not_hold_up_the_approval(tmp_path: Path) -> None:
    lost = {"h1": Unreachable("timeout", "no answer")}
    with pytest.raises(Refused):
        play(
            tmp_path,
            RUNBOOK,
            hosts=2,
            behaviour=removing,
            unreachable=lost,
            extra={"sick_hosts": ["h1", "h2"]},
            yes=False,
        )
