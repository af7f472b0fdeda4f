"""A drill on a real host: it passes, it fails, it is cut off; more of that in tests/drills_lab."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remedy.lab import Host, Lab
from tests.drill.rehearsing import Rehearser, drilled, interrupt, there, until_line

pytestmark = pytest.mark.lab


def test_a_drill_passes_and_leaves_a_report_and_nothing_else(lab: Lab, staging: Rehearser, tmp_path: Path):
    done = staging.on_static("--report-dir", str(tmp_path / "report"))
    assert done.code == 0, (done.out, done.err)
    assert done.only["outcome"] == "passed"
    assert set(done.outcomes().values()) == {"ok"}
    assert [(seen["id"], seen["expected"]) for seen in done.only["findings"]] == [("flag", True)]
    assert 0 < done.only["time_to_detect"] < 5
    assert 0 < done.only["time_to_heal"] < 60
    assert [change["task"] for change in done.only["changes"]] == ["Take it down"]
    assert done.only["second_run_changes"] == 0
    assert done.only["collateral_changed"] == 0
    assert not there(lab, "/run/kept")
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "drill.json", "drill.xml", "drill.md", "drill.html",
    }  # fmt: skip
    assert json.loads((tmp_path / "report/drill.json").read_text()) == done.report
    assert [state["closed"] for state in staging.states()] == [True]


def test_a_runbook_without_its_fix_is_not_healed(lab: Lab, staging: Rehearser):
    staging.change("playbooks/flag.yml", "file: {path: /run/flag, state: absent}", "debug: {msg: nothing}")
    done = staging.on_static()
    assert done.code == 2
    assert done.deviations() == [("heal", "not-healed")]
    assert done.outcomes()["again"] == "not run"
    assert done.outcomes()["rollback"] == "ok"
    assert not there(lab, "/run/flag")


def test_ctrl_c_in_the_method_rolls_back(lab: Lab, staging: Rehearser):
    slow = "method:\n  - shell: touch /run/flag /run/slow; while [ -e /run/slow ]; do sleep 0.02; done\n"
    staging.change("drills/flag.yml", "method:\n", slow)
    staging.change("drills/flag.yml", "restore:\n", "restore:\n  - file: {path: /run/slow, state: absent}\n")
    with staging.start("flag", "--provider", "static", "-i", "staging") as process:
        until_line(process, "steady state")
        lab.run("h1", ["sh", "-c", "until [ -e /run/slow ]; do sleep 0.02; done"], timeout=30)
        interrupt(process)
        done = drilled(process)
    assert done.code == 99, (done.out, done.err)
    assert "rolling back" in done.err
    assert "rollback     ok" in done.out
    assert not there(lab, "/run/flag")
    assert not there(lab, "/run/slow")


def test_kill_in_the_method_then_clean(lab: Lab, staging: Rehearser):
    slow = "method:\n  - shell: touch /run/flag /run/slow; while [ -e /run/slow ]; do sleep 0.02; done\n"
    staging.change("drills/flag.yml", "method:\n", slow)
    staging.change("drills/flag.yml", "restore:\n", "restore:\n  - file: {path: /run/slow, state: absent}\n")
    with staging.start("flag", "--provider", "static", "-i", "staging") as process:
        until_line(process, "steady state")
        lab.run("h1", ["sh", "-c", "until [ -e /run/slow ]; do sleep 0.02; done"], timeout=30)
        process.kill()
    again = staging.on_static()
    assert again.code == 3
    assert "may still have the faults of flag" in again.only["error"]
    assert "remedy drill --clean" in again.only["error"]
    with staging.start("--clean") as process:
        done = drilled(process)
    assert done.code == 0, (done.out, done.err)
    assert "nothing of it is left" in done.out
    assert not there(lab, "/run/flag")
    with staging.start("--clean") as process:
        assert "nothing was cut off" in drilled(process).out


def test_a_host_that_nobody_marked_is_refused_before_contact(lab: Lab, lab_host: Host, rehearser: Rehearser):
    rehearser.static(lab, lab_host, drill=False, ansible_host="192.0.2.1")
    done = rehearser.on_static("-e", "drill=true")
    assert done.code == 3
    assert "cannot be drilled on" in done.only["error"]
    assert done.outcomes()["steady state"] == "not run"


def test_disk_full_on_a_lab_of_its_own(rehearser: Rehearser):
    done = rehearser.drill("disk-full")
    assert done.code == 0, done.out
    assert done.only["hosts"]["app1"]["role"] == "app"
    assert done.only["collateral_changed"] == 0
    assert done.report["drill_run"]["provider"] == "lab"
