"""The question before something is destroyed: what it counts, and what else it tells."""

from __future__ import annotations

import threading

import pytest

from remedy.engine.approval import Planned, nobody
from remedy.errors import Refused
from remedy.report import Question
from remedy.report.approval import describe


def sessions(number: int) -> Planned:
    items = tuple(
        {"item": f"session {n}", "reason": "idle", "size": 0, "noun": "session"} for n in range(number)
    )
    return Planned(task="End idle sessions", guarded="destructive", object="sessions of MySQL", items=items)


def test_items_are_called_and_counted_as_what_they_are() -> None:
    keys = {"item": "cache:*", "reason": "of 120,000", "size": 2048, "count": 100000, "noun": "key"}
    plan = Planned(
        task="Delete keys", guarded="destructive", object="keys of redis:6379", items=(keys,), bytes=2048
    )
    lines = describe({"c1": [plan]}).splitlines()
    assert lines[0] == "  would destroy 100000 keys (2.0 KiB) on 1 host:"
    assert lines[1] == "  c1: destroy keys of redis:6379: 100000 keys, 2.0 KiB  [Delete keys]"
    lines = describe({"db1": [sessions(7)]}).splitlines()
    assert lines[0] == "  would destroy 7 sessions on 1 host:"
    assert lines[-1] == "      ... and 2 more"


def test_what_else_changes_is_listed_with_its_values_and_not_counted() -> None:
    raised = [
        Planned(
            task="Raise it", guarded="", object=f"mysql:v{n}", before={"live": "151"}, after={"live": "230"}
        )
        for n in range(10)
    ]
    lines = describe({"db1": [raised[0], sessions(1), *raised[1:]]}).splitlines()
    assert lines[0] == "  would destroy 1 session on 1 host:"
    assert lines[3] == "  db1: change mysql:v0: live 151 -> 230  [Raise it]"
    assert lines[-1] == "  db1: ... and 2 more changes (--check --diff shows them)"


def test_an_action_is_told_by_what_it_does_not_by_states() -> None:
    about = {"before": {"InvocationID": "1f"}, "happened": "reloaded"}
    reload = Planned(task="Reload it", guarded="", object="unit:nginx.service", **about)
    lines = describe({"web1": [sessions(1), reload]}).splitlines()
    assert lines[-1] == "  web1: change unit:nginx.service: would be reloaded  [Reload it]"


def test_secrets_are_masked_in_the_question() -> None:
    step = Planned(task="Set it", guarded="", object="file:/x", before={"n": "hush"}, after={"n": "new"})
    question = Question(None, threading.Event(), lambda text: text.replace("hush", "***"))
    with pytest.raises(Refused) as told:
        question({"db1": [sessions(1), step]})
    assert "hush" not in str(told.value)
    assert "n *** -> new" in str(told.value)


def test_what_is_marked_says_so() -> None:
    steps = [
        Planned(task="Flush", guarded="destructive", object="every key", attended=True),
        Planned(task="Skip", guarded="destructive", object="one", attended=True, unknown=True, reason="r"),
        Planned(task="Restart", guarded="disruptive", object="unit:a"),
    ]
    assert describe({"db1": steps}).splitlines()[1:] == [
        "  db1: destroy every key  [Flush] (!)",
        "  db1: perhaps destroy: one  [Skip] (!)",
        "      not known yet: r",
        "  db1: interrupt unit:a  [Restart]",
    ]
    with pytest.raises(Refused, match=r"db1: Flush: destructive: every key \(!\)\n"):
        nobody({"db1": steps})
