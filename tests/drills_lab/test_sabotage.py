"""A drill that should fail does: each runbook is sabotaged in one way, and the drill names that deviation alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from remedy.lab import Lab
from remedy.project import Project
from tests.drill.rehearsing import Rehearser, there

pytestmark = pytest.mark.lab


def test_a_runbook_that_purges_what_it_must_keep(staging: Rehearser):
    staging.change(
        "playbooks/flag.yml", "path: /run/flag, state: absent", "path: '{{ item }}', state: absent"
    )
    staging.change("playbooks/flag.yml", "  verify:", "      loop: [/run/flag, /run/kept/book]\n  verify:")
    done = staging.on_static()
    assert done.code == 2
    assert done.deviations() == [("collateral", "collateral")]
    (wrong,) = done.only["deviations"]
    assert wrong["host"] == "h1"
    assert "folder /run/kept is not as it was: before 1 entry; now empty, or not there" in wrong["text"]


def test_a_runbook_that_changes_something_each_time(staging: Rehearser):
    play = "- {hosts: all, become: true, gather_facts: false, tasks: [{name: Mark it, shell: date > /run/marked}]}\n"
    staging.write("playbooks/flag.yml", (staging.folder / "playbooks/flag.yml").read_text() + play)
    done = staging.on_static()
    assert done.code == 2
    assert done.deviations() == [("again", "not-idempotent")]
    assert "'Mark it' changed" in done.only["deviations"][0]["text"]


def test_a_diagnose_that_is_blind(staging: Rehearser):
    staging.change(
        "playbooks/flag.yml", "      when: flag.stat.exists\n  tasks", "      when: false\n  tasks"
    )
    staging.change("drills/flag.yml", "detect: 5s", "detect: 100ms")
    done = staging.on_static()
    assert done.code == 2
    assert done.deviations() == [("detect", "finding-missing")]
    assert done.outcomes()["heal"] == "not run"


def test_a_diagnose_that_sees_more_than_there_is(staging: Rehearser):
    ghost = "    - finding: {id: ghost, severity: P3, title: boo}\n      when: flag.stat.exists\n"
    staging.change("playbooks/flag.yml", "  tasks:\n", f"{ghost}  tasks:\n")
    assert staging.on_static().deviations() == [("detect", "finding-unexpected")]
    staging.change("drills/flag.yml", "expect: [flag]", "expect: [flag]\nallow: [ghost]")
    assert staging.on_static().code == 0
    staging.change("drills/flag.yml", "allow: [ghost]", "allow: any\nnot_expected: [ghost]")
    assert staging.on_static().deviations() == [("detect", "finding-unexpected")]


def test_a_host_that_is_ill_beforehand_is_not_drilled_on(lab: Lab, staging: Rehearser):
    lab.run("h1", ["touch", "/run/flag"])
    done = staging.on_static()
    assert done.code == 2
    assert set(done.deviations()) == {("steady state", "finding"), ("steady state", "verify")}
    assert done.outcomes()["method"] == "not run"
    assert there(lab, "/run/flag"), "what was there before the drill is not the drill's to remove"
    lab.run("h1", ["rm", "/run/flag"])


def test_too_late_is_a_deviation_and_the_drill_goes_on(staging: Rehearser):
    staging.change("drills/flag.yml", "detect: 5s", "detect: 1ms, heal: 1ms")
    done = staging.on_static()
    assert done.code == 2
    assert done.deviations() == [("detect", "late-detection"), ("heal", "late-heal")]
    assert done.outcomes()["collateral"] == "ok"


@pytest.fixture
def library(rehearser: Rehearser) -> Rehearser:
    """The project with a copy of the package's runbook for full disks, to be sabotaged."""
    ours = Project.find(Path(__file__).parents[2]).library
    shutil.copy(ours / "playbooks/disk-full.yml", rehearser.folder / "playbooks")
    return rehearser


def test_disk_full_without_its_clean_up(library: Rehearser):
    library.change("playbooks/disk-full.yml", "include_tasks: clean/old-logs.yml", "debug: {msg: nothing}")
    done = library.drill("disk-full")
    assert done.code == 2
    assert done.deviations() == [("heal", "not-healed")]
    assert "/var/log" in done.only["deviations"][0]["text"]
    assert done.outcomes()["collateral"] == done.outcomes()["rollback"] == "ok"


def test_disk_full_that_takes_what_is_nobodys_leavings(library: Rehearser):
    greedy = "    - file: {path: /var/log/remedy-drill-kept/book, state: absent}\n"
    library.change("playbooks/disk-full.yml", "\n  verify:\n", f"\n{greedy}\n  verify:\n")
    done = library.drill("disk-full")
    assert done.code == 2
    assert done.deviations() == [("collateral", "collateral")]
    assert "/var/log/remedy-drill-kept is not as it was" in done.only["deviations"][0]["text"]


def test_disk_full_that_never_comes_to_rest(library: Rehearser):
    path = library.folder / "playbooks/disk-full.yml"
    path.write_text(
        path.read_text()
        + """
- hosts: all
  become: true
  gather_facts: false
  tasks:
    - name: Write it down
      shell: echo healed >> /var/log/healed
"""
    )
    done = library.drill("disk-full")
    assert done.code == 2
    assert done.deviations() == [("again", "not-idempotent")]
