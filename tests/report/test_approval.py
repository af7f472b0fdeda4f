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
    kinds = frozenset({"destructive"})
    return Planned(task="End idle sessions", guarded=kinds, object="sessions of MySQL", items=items)


def test_items_are_called_and_counted_as_what_they_are() -> None:
    keys = {"item": "cache:*", "reason": "of 120,000", "size": 2048, "count": 100000, "noun": "key"}
    plan = Planned(
        task="Delete keys", guarded=frozenset({"destructive"}), object="keys of redis:6379", items=(keys,), bytes=2048
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
            task="Raise it", guarded=frozenset(), object=f"mysql:v{n}", before={"live": "151"}, after={"live": "230"}
        )
        for n in range(10)
    ]
    lines = describe({"db1": [raised[0], sessions(1), *raised[1:]]}).splitlines()
    assert lines[0] == "  would destroy 1 session on 1 host:"
    assert lines[3] == "  db1: change mysql:v0: live 151 -> 230  [Raise it]"
    assert lines[-1] == "  db1: ... and 2 more changes (--check --diff shows them)"


def test_an_action_is_told_by_what_it_does_not_by_states() -> None:
    about = {"before": {"InvocationID": "1f"}, "happened": "reloaded"}
    reload = Planned(task="Reload it", guarded=frozenset(), object="unit:nginx.service", **about)
    lines = describe({"web1": [sessions(1), reload]}).splitlines()
    assert lines[-1] == "  web1: change unit:nginx.service: would be reloaded  [Reload it]"


def test_secrets_are_masked_in_the_question() -> None:
    step = Planned(task="Set it", guarded=frozenset(), object="file:/x", before={"n": "hush"}, after={"n": "new"})
    question = Question(None, threading.Event(), lambda text: text.replace("hush", "***"))
    with pytest.raises(Refused) as told:
        question({"db1": [sessions(1), step]})
    assert "hush" not in str(told.value)
    assert "n *** -> new" in str(told.value)


def test_what_destroys_and_interrupts_is_asked_about_as_both() -> None:
    both = frozenset({"destructive", "disruptive"})
    logs = tuple({"item": f"binlog.{n}", "reason": "applied", "size": 1 << 20, "noun": "binary log"} for n in range(3))
    purge = Planned(task="Purge", guarded=both, object="binary logs", items=logs, bytes=3 << 20)
    restart = Planned(task="Restart", guarded=frozenset({"disruptive"}), object="unit:a")
    perhaps = Planned(task="Or this", guarded=both, object="it", unknown=True, reason="r")
    lines = describe({"db1": [purge, restart, perhaps]}).splitlines()
    assert lines[0] == (
        "  would destroy 3 binary logs (3.0 MiB) and interrupt 2 items and perhaps more: 1 step that nobody can tell "
        "before on 1 host:"
    )
    assert lines[1] == "  db1: destroy and interrupt binary logs: 3 binary logs, 3.0 MiB  [Purge]"
    assert lines[5:7] == ["  db1: interrupt unit:a  [Restart]", "  db1: perhaps destroy and interrupt: it  [Or this]"]
    with pytest.raises(Refused, match=r"db1: Purge: destructive and disruptive: binary logs\n"):
        nobody({"db1": [purge, restart]})


def test_what_is_marked_says_so() -> None:
    steps = [
        Planned(task="Flush", guarded=frozenset({"destructive"}), object="every key", attended=True),
        Planned(task="Skip", guarded=frozenset({"destructive"}), object="one", attended=True, unknown=True, reason="r"),
        Planned(task="Restart", guarded=frozenset({"disruptive"}), object="unit:a"),
    ]
    assert describe({"db1": steps}).splitlines()[1:] == [
        "  db1: destroy every key  [Flush] (!)",
        "  db1: perhaps destroy: one  [Skip] (!)",
        "      not known yet: r",
        "  db1: interrupt unit:a  [Restart]",
    ]
    with pytest.raises(Refused, match=r"db1: Flush: destructive: every key \(!\)\n"):
        nobody({"db1": steps})
