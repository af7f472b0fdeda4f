"""Runs of the engine inside a drill: they end at their deadline, and keep their journals apart."""

from __future__ import annotations

import time
from pathlib import Path

from remedy.drill.runs import Access, Outcome, Runs
from remedy.drill.signals import Signals
from remedy.inventory import load as load_inventory
from remedy.journal.history import list_runs
from remedy.playbook import load as load_playbook
from remedy.project import Project

SLOW = "- {hosts: all, gather_facts: false, tasks: [{command: sleep 60}, {command: echo}]}\n"


def runs_on_this_machine(tmp_path: Path, signals: Signals) -> Runs:
    (tmp_path / "inventory.yml").write_text("all: {hosts: {here: {ansible_connection: local}}}\n")
    inventory = load_inventory([str(tmp_path / "inventory.yml")], root=tmp_path)
    return Runs(
        Project(tmp_path), Access(user="me"), inventory, ["inventory.yml"], ["here"], tmp_path / "d", signals
    )


def play(tmp_path: Path, text: str, deadline: float | None = None) -> Outcome:
    path = tmp_path / "play.yml"
    path.write_text(text)
    signals = Signals()
    with signals.handled():
        signals.arm()
        playbook = load_playbook(path, project=Project(tmp_path))
        outcome = runs_on_this_machine(tmp_path, signals).play(playbook, "slow", deadline=deadline)
        assert not signals.asked
    return outcome


def test_a_run_is_stopped_at_its_deadline(tmp_path: Path):
    began = time.monotonic()
    outcome = play(tmp_path, SLOW, deadline=0.5)
    assert time.monotonic() - began < 30
    assert outcome.late
    assert not outcome.interrupted
    assert any("it did not end within" in text for _, text in outcome.troubles())


def test_a_run_within_its_deadline_is_left_alone(tmp_path: Path):
    outcome = play(tmp_path, SLOW.replace("sleep 60", "echo"), deadline=60)
    assert (outcome.code, outcome.late, outcome.troubles()) == (0, False, [])
    assert outcome.changed() == 2


def test_journals_stand_apart_from_those_that_rollback_looks_at(tmp_path: Path):
    outcome = play(tmp_path, SLOW.replace("sleep 60", "echo"))
    assert [run.id for run in list_runs(tmp_path / "d")] == [outcome.run]
    assert not (tmp_path / "runs").exists()


def test_bad_input_is_told_and_not_raised(tmp_path: Path):
    outcome = play(tmp_path, "- {hosts: all, gather_facts: false, tasks: [{command: '{{ nobody }}'}]}\n")
    assert outcome.code == 5
    assert "'nobody'" in str(outcome.error)


def test_a_failure_that_a_task_says_does_not_count_counts_in_a_rollback_alone(tmp_path: Path):
    outcome = play(tmp_path, SLOW.replace("{command: sleep 60}", "{command: ls /nowhere, ignore_errors: true}"))
    assert outcome.code == 0
    assert outcome.troubles() == []
    ((host, text),) = outcome.troubles(ignored=True)
    assert host == "here"
    assert "'command' failed: non-zero return code" in text
    assert "cannot access '/nowhere'" in text
