"""The one answer for all hosts: who waits for whom, and what counts as a yes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from remedy.engine.approval import Approval, Planned, Plans
from remedy.errors import Refused, RemedyError
from tests.engine.fake import play
from tests.engine.test_gate import removing

STEP = Planned(task="t", guarded=frozenset({"destructive"}), object="file:/precious")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def answered(gate: Approval, host: str, into: dict[str, Any]) -> threading.Thread:
    def wait() -> None:
        try:
            gate.answer(host)
        except BaseException as error:
            into[host] = error
        else:
            into[host] = "approved"

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("trouble", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"), BrokenPipeError()])
def test_a_question_that_breaks_is_no_yes(trouble: Exception) -> None:
    def broken(plans: Plans) -> None:
        raise trouble

    gate = Approval(["a", "b", "c"], broken)
    for host in ("a", "b", "c"):
        gate.plan(host, [STEP])
    fates: dict[str, Any] = {}
    for thread in [answered(gate, host, fates) for host in ("a", "b", "c")]:
        thread.join(5)
    assert len(fates) == 3
    assert all(isinstance(fate, Exception) for fate in fates.values()), fates
    assert (
        sum(isinstance(fate, RemedyError) for fate in fates.values()) == 2
    )  # the third one is the trouble itself


def test_a_host_that_waited_for_its_turn_is_not_late() -> None:
    clock = Clock()
    asked: list[Plans] = []
    gate = Approval(["first", "second"], asked.append, clock=clock)
    gate.began()
    gate.plan("first", [STEP])
    clock.now = 29.0
    gate.began()  # the second host gets its fork
    clock.now = 35.0
    fates: dict[str, Any] = {}
    threads = [answered(gate, "first", fates)]
    gate.plan("second", [STEP])
    threads.append(answered(gate, "second", fates))
    for thread in threads:
        thread.join(5)
    assert fates == {"first": "approved", "second": "approved"}
    assert [set(plans) for plans in asked] == [{"first", "second"}]


RUNBOOK = """
- hosts: all
  any_errors_fatal: true
  runbook: {severity: P1}
  diagnose:
    - ping:
    - finding: {id: sick, severity: P1, title: it is sick}
  tasks:
    - file: path=/one state=touch
    - command: stumble
      check_mode: false
    - file: path=/precious state=absent
"""


def test_a_check_pass_that_ends_early_on_one_host_holds_up_no_other(tmp_path: Path) -> None:
    def behaviour(host: str, step: dict[str, Any]) -> dict[str, Any]:
        if step["params"].get("cmd") == "stumble" and host == "h1":
            return {"status": "failed", "result": {"rc": 1, "msg": "rc 1"}, "reason": "rc 1"}
        return removing(host, step)

    with pytest.raises(RemedyError) as refused:
        play(tmp_path, RUNBOOK, hosts=2, behaviour=behaviour, yes=False)
    assert "h2: file: destructive: file:/precious" in str(refused.value)


def test_what_was_shown_for_one_task_is_no_leave_for_another() -> None:
    asked: list[Plans] = []
    gate = Approval(["a"], asked.append)
    shown = Planned(task="restart it", guarded=frozenset({"disruptive"}), object="service:web")
    gate.plan("a", [shown])
    gate.answer("a")
    assert gate.beyond("a", shown) is None
    assert len(asked) == 1
    gate.beyond("a", Planned(task="stop it", guarded=frozenset({"disruptive"}), object="service:web"))
    gate.beyond("a", Planned(task="restart it", guarded=frozenset({"destructive"}), object="service:web"))
    assert len(asked) == 3


def test_a_no_to_a_later_question_refuses_the_run_and_says_to_what() -> None:
    def only_once(plans: Plans) -> None:
        answers.append(plans)
        if len(answers) > 1:
            raise Refused("not approved; nothing was destroyed or interrupted")

    answers: list[Plans] = []
    gate = Approval(["a"], only_once)
    gate.plan("a", [STEP])
    gate.answer("a")
    assert gate.later is None
    items = ({"item": "session 7"},)
    newer = Planned(task="end them", guarded=frozenset({"destructive"}), object="sessions", items=items)
    assert gate.beyond("a", newer) == "not approved; nothing was destroyed or interrupted"
    assert gate.later is not None
    assert gate.later.exit_code == 3
    assert gate.later.message == "a: 'end them' was not approved, and not done; what was done before it stays"


def test_what_needs_no_approval_is_shown_beside_the_rest_and_never_asked_about() -> None:
    asked: list[Plans] = []
    gate = Approval(["a", "b"], asked.append)
    other = Planned(task="raise it", guarded=frozenset(), object="mysql:max_connections")
    gate.plan("a", [STEP, other])
    gate.plan("b", [other])
    fates: dict[str, Any] = {}
    for thread in [answered(gate, host, fates) for host in ("a", "b")]:
        thread.join(5)
    assert fates == {"a": "approved", "b": "approved"}
    assert [dict(plans) for plans in asked] == [{"a": [STEP, other]}]
