"""Steps of which the check pass cannot tell what they do: nobody is surprised by them in the middle of a play."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from remedy.engine.approval import Planned, Plans
from remedy.errors import Refused
from remedy.report.approval import Question, describe
from tests.engine.fake import Played, play
from tests.engine.test_gate import removing

HEAD = """
- hosts: all
  gather_facts: false
  runbook: {severity: P1}
  diagnose:
    - ping:
    - finding: {id: sick, severity: P1, title: it is sick}
  tasks:
    - file: path=/harmless state=touch
"""
LEFT_OUT = """
    - command: look
      register: looked
"""
DOUBTFUL = {
    "its condition": LEFT_OUT + "    - {file: path=/precious state=absent, when: looked.stdout == 'look'}\n",
    "its parameter": LEFT_OUT + "    - file: {path: '/{{ looked.stdout }}', state: absent}\n",
    "its state": LEFT_OUT + "    - file: {path: /precious, state: \"{{ 'absent' if looked.rc == 0 else 'file' }}\"}\n",
    "a command before it": LEFT_OUT.replace("look\n", "look /precious\n", 1)
    + "    - file: path=/precious state=absent\n",
    "the host": "    - file: path=/unknown state=absent\n",
    "an include": LEFT_OUT + "    - {include_tasks: rest.yml, when: looked.rc == 0}\n",
}
HARMLESS = LEFT_OUT + "    - {file: path=/precious state=directory, when: looked.rc == 0}\n"
TASKS = {"rest.yml": "- file: path=/precious state=absent\n"}


def written(host: str, step: dict[str, Any]) -> dict[str, Any]:
    if step["check"] and step["params"].get("path") == "/unknown":
        return {"status": "unknown", "reason": "an earlier task may make it"}
    return removing(host, step)


def changed(played: list[dict[str, Any]]) -> list[str]:
    return [step["params"].get("path") or step["params"].get("cmd") for step in played if not step["check"]]


@pytest.mark.parametrize("tail", list(DOUBTFUL.values()), ids=list(DOUBTFUL))
def test_without_anybody_to_ask_the_refusal_comes_before_the_first_write(tmp_path: Path, tail: str) -> None:
    steps: list[dict[str, Any]] = []

    def watch(host: str, step: dict[str, Any]) -> dict[str, Any]:
        if not step["module"].endswith(".ping"):
            steps.append(step)
        return written(host, step)

    asking = Question(None, threading.Event())
    with pytest.raises(Refused) as refused:
        play(tmp_path, HEAD + tail, behaviour=watch, yes=False, tasks=TASKS, approver=asking)
    assert refused.value.exit_code == 3
    assert "perhaps destroy: " in str(refused.value)
    assert "not known yet: " in str(refused.value)
    assert changed(steps) == []


def test_what_could_only_be_harmless_needs_nobody(tmp_path: Path) -> None:
    asking = Question(None, threading.Event())
    assert play(tmp_path, HEAD + HARMLESS, behaviour=written, yes=False, approver=asking).code == 0


def asked(tmp_path: Path, tail: str, *answers: bool) -> tuple[list[Plans], Played | Refused]:
    asked: list[Plans] = []

    def approver(plans: Plans) -> None:
        if all(step.unknown for host in plans for step in plans[host] if step.guarded):
            return
        asked.append(plans)
        if not answers[len(asked) - 1]:
            raise Refused("no")

    try:
        return asked, play(tmp_path, HEAD + tail, behaviour=written, yes=False, approver=approver)
    except Refused as refused:
        return asked, refused


def test_whoever_is_there_is_asked_when_it_comes_to_it(tmp_path: Path) -> None:
    plans, played = asked(tmp_path, DOUBTFUL["its condition"], True)
    assert isinstance(played, Played)
    assert played.code == 0
    assert [step.object for each in plans for step in each["h1"]] == ["file:/precious"]


def test_a_no_to_a_later_question_ends_the_run_as_a_refusal(tmp_path: Path) -> None:
    tail = DOUBTFUL["its condition"] + "    - file: path=/after state=touch\n"
    _, refused = asked(tmp_path, tail, False)
    assert isinstance(refused, Refused)
    assert refused.exit_code == 3
    assert "h1: 'file' was not approved, and not done; what was done before it stays" in str(refused)


def test_the_question_tells_apart_what_is_certain_and_what_is_not() -> None:
    sure = Planned(task="restart it", guarded=frozenset({"disruptive"}), object="service:web")
    open_ = Planned(
        task="drop it", guarded=frozenset({"destructive"}), object="file /x", unknown=True, reason="hangs on 'look'"
    )
    assert describe({"a": (sure, open_)}).splitlines() == [
        "  would interrupt 1 item and perhaps more: 1 step that nobody can tell before on 1 host:",
        "  a: interrupt service:web  [restart it]",
        "  a: perhaps destroy: file /x  [drop it]",
        "      not known yet: hangs on 'look'",
    ]
    assert "would perhaps destroy or interrupt something: 1 step" in describe({"a": (open_,)})


def test_only_who_will_be_there_later_is_not_asked_of_what_is_unknown() -> None:
    class Page:
        def ask(self, text: str, stop: threading.Event) -> bool:
            raise AssertionError(text)

    doubt = {"a": (Planned(task="t", guarded=frozenset({"destructive"}), object="file /x", unknown=True, reason="r"),)}
    Question(Page(), threading.Event())(doubt)
    with pytest.raises(Refused):
        Question(None, threading.Event())(doubt)
