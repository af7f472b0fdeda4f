"""Collateral: what differs is damage, and what nobody came to read is not."""

from __future__ import annotations

from typing import Any

import pytest

from remedy.drill.model import Thing
from remedy.drill.probes import Watch
from remedy.drill.runs import Outcome
from remedy.errors import Position
from remedy.events import TaskDone

WHERE = Position("d.yml", 9, 5)
FSTAB = Thing(position=WHERE, kind="file", title="/etc/fstab", hosts=("h1",), module="stat", args={})
WHOLE = {"stat": {"exists": True, "checksum": "abc", "mode": "0644"}}


def read(status: str, result: dict[str, Any], code: int = 0) -> Outcome:
    task = TaskDone(
        host="there",
        play="p",
        section="tasks",
        task="t",
        position=str(WHERE),
        module="stat",
        status=status,
        reason="",
        seconds=0.1,
        result=result,
    )
    return Outcome(run="r", code=code, started=0, ended=1, document={"hosts": {}}, done=(task,))


@pytest.fixture
def watch() -> Watch:
    watch = Watch([FSTAB], {"there": "h1"})
    assert watch.remember(read("ok", WHOLE), "method") == []
    return watch


@pytest.mark.parametrize(("status", "result"), [("not_run", {}), ("failed", {"rc": -15})])
def test_an_interrupted_reading_is_not_told_as_damage(watch: Watch, status: str, result: dict[str, Any]):
    assert watch.compare(read(status, result, code=99)) == ([], [])


def test_what_was_read_before_the_interruption_counts(watch: Watch):
    _, (wrong,) = watch.compare(read("ok", {"stat": {"exists": False}}, code=99))
    assert wrong.text.startswith("file /etc/fstab is not as it was")


def test_what_cannot_be_read_is_told_where_nobody_interrupts(watch: Watch):
    (guarded,), (wrong,) = watch.compare(read("not_run", {}))
    assert not guarded.same
    assert "now it was not read: not_run" in wrong.text


def test_an_interrupted_first_look_misses_nothing():
    assert Watch([FSTAB], {"there": "h1"}).remember(read("not_run", {}, code=99), "method") == []
    (wrong,) = Watch([FSTAB], {"there": "h1"}).remember(read("not_run", {}), "method")
    assert "cannot be guarded: it was not read" in wrong.text
