"""Whatever cuts a drill off, and wherever: nothing of its faults stays, on hosts that are nobody's to throw away."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from remedy.lab import Host, Lab
from remedy.lab.cgroups import Cgroup
from tests.drill.rehearsing import Rehearser, drilled, interrupt, there, until_line

pytestmark = pytest.mark.lab

# The line after which a phase is under way.
BEFORE = {
    "hosts": "DRILL flag",
    "steady state": "  hosts ",
    "method": "  steady state ",
    "detect": "  method ",
    "heal": "  detect ",
    "verify": "  heal ",
    "again": "  verify ",
    "collateral": "  again ",
    "rollback": "  collateral ",
}
STATIC = ("flag", "--provider", "static", "-i", "staging")


@pytest.mark.parametrize(
    "phase", [pytest.param(each, marks=() if each in ("method", "heal") else pytest.mark.soak) for each in BEFORE]
)
def test_kill_in_a_phase_then_clean(lab: Lab, staging: Rehearser, phase: str):
    with staging.start(*STATIC) as process:
        until_line(process, BEFORE[phase])
        process.kill()
    with staging.start("--clean") as process:
        cleaned = drilled(process)
    assert cleaned.code == 0, (cleaned.out, cleaned.err)
    assert not there(lab, "/run/flag")
    assert not there(lab, "/run/kept")
    assert [state["closed"] for state in staging.states()] == [True]
    assert staging.on_static().code == 0, "the host is free for the next drill"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("phase", BEFORE)
def test_a_signal_in_a_phase(lab: Lab, staging: Rehearser, phase: str, number: int):
    with staging.start(*STATIC) as process:
        until_line(process, BEFORE[phase])
        interrupt(process, number)
        interrupt(process, number)
        done = drilled(process)
    assert done.code in (99, 0) if phase == "rollback" else done.code == 99, (done.out, done.err)
    assert not there(lab, "/run/flag")
    assert not there(lab, "/run/kept")
    assert [state["closed"] for state in staging.states()] == [True]


def test_a_second_ctrl_c_does_not_skip_the_rollback(lab: Lab, staging: Rehearser):
    slow = "restore:\n  - shell: touch /run/restoring; while [ ! -e /run/go ]; do sleep 0.02; done\n"
    staging.change("drills/flag.yml", "restore:\n", slow)
    with staging.start(*STATIC) as process:
        until_line(process, BEFORE["heal"])
        interrupt(process)
        lab.run("h1", ["sh", "-c", "until [ -e /run/restoring ]; do sleep 0.02; done"], timeout=30)
        interrupt(process)
        interrupt(process)
        lab.run("h1", ["touch", "/run/go"])
        done = drilled(process)
    assert done.code == 99
    assert "rollback     ok" in done.out
    assert not there(lab, "/run/kept")


def test_a_host_that_is_still_held_is_waited_for(lab: Lab, staging: Rehearser):
    with staging.start(*STATIC) as process:
        until_line(process, BEFORE["heal"])
        process.kill()
    # Stands for the agent of the killed run, which has a step to finish that must not be cut off.
    hold = "touch /run/held; until [ -e /run/let-go ]; do sleep 0.02; done"
    held = lab.inside("h1").argv(["timeout", "60", "flock", "/run", "sh", "-c", hold])
    with subprocess.Popen(held) as holder, staging.start("--clean") as process:
        deadline = time.monotonic() + 60
        while len(list(staging.state.glob("drills/*/runs/*-clean-*"))) < 2:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        lab.run("h1", ["touch", "/run/let-go"])
        cleaned = drilled(process)
        holder.wait(20)
    lab.run("h1", ["rm", "/run/held", "/run/let-go"])
    assert cleaned.code == 0, (cleaned.out, cleaned.err)
    assert not there(lab, "/run/flag")


def number_of(rehearser: Rehearser) -> int:
    (state,) = rehearser.states()
    number: int = state["remembered"]["number"]
    assert Path(f"/sys/class/net/remedy{number}").exists()
    return number


def gone(lab: Lab, number: int) -> bool:
    """Say whether nothing is left of a lab: no network, no host, no process."""
    hosts = list((lab.root / "labs" / str(number)).glob("hosts/*"))
    network = Path(f"/sys/class/net/remedy{number}").exists()
    return not network and not hosts and not Cgroup(f"remedy-lab-{number}").members()


@pytest.mark.parametrize("phase", ["steady state", "heal"])
def test_kill_on_a_lab_of_its_own_then_clean(rehearser: Rehearser, lab: Lab, phase: str):
    with rehearser.start("flag") as process:
        until_line(process, BEFORE[phase])
        number = number_of(rehearser)
        process.kill()
    with rehearser.start("--clean") as process:
        cleaned = drilled(process)
    assert cleaned.code == 0, (cleaned.out, cleaned.err)
    assert gone(lab, number)


@pytest.mark.parametrize("phase", ["hosts", "steady state", "heal", "rollback"])
def test_ctrl_c_on_a_lab_of_its_own(rehearser: Rehearser, lab: Lab, phase: str):
    with rehearser.start("flag") as process:
        until_line(process, BEFORE[phase])
        (state,) = rehearser.states()
        interrupt(process)
        interrupt(process)
        done = drilled(process)
    assert done.code in (99, 0) if phase == "rollback" else done.code == 99, (done.out, done.err)
    assert gone(lab, state["remembered"]["number"])


def test_two_drills_at_once_do_not_share_a_host(lab: Lab, lab_host: Host, staging: Rehearser):
    slow = "method:\n  - shell: touch /run/slow; while [ ! -e /run/go ]; do sleep 0.02; done\n"
    staging.change("drills/flag.yml", "method:\n", slow)
    staging.change("drills/flag.yml", "restore:\n", "restore:\n  - shell: rm -f /run/slow /run/go\n")
    with staging.start(*STATIC) as first:
        lab.run("h1", ["sh", "-c", "until [ -e /run/slow ]; do sleep 0.02; done"], timeout=30)
        second = staging.on_static()
        assert second.code == 3
        assert "another drill" in second.only["error"]
        assert second.outcomes()["steady state"] == "not run"
        lab.run("h1", ["touch", "/run/go"])
        done = drilled(first)
    assert done.code == 0, (done.out, done.err)


def test_two_drills_at_once_on_labs_of_their_own(rehearser: Rehearser):
    with (
        rehearser.start("flag", "--format", "json") as first,
        rehearser.start("flag", "--format", "json") as second,
    ):
        one, other = drilled(first), drilled(second)
    assert (one.code, other.code) == (0, 0), (one.err, other.err)
    assert one.only["hosts"]["h1"]["lab"] != other.only["hosts"]["h1"]["lab"]


def test_what_cannot_be_undone_is_kept_for_later(lab: Lab, staging: Rehearser):
    staging.change("drills/flag.yml", "restore:\n", "restore:\n  - command: rm /run/allowed\n")
    done = staging.on_static()
    assert done.code == 2
    assert done.deviations() == [("rollback", "rollback")]
    assert "remedy drill --clean" in done.err
    assert not there(lab, "/run/kept"), "what comes after a failure is undone all the same"
    assert staging.on_static().code == 3, "these hosts are not as they were"
    with staging.start("--clean") as process:
        cleaned = drilled(process)
    assert cleaned.code == 2
    assert "not everything could be undone" in cleaned.out
    assert "rm: cannot remove '/run/allowed'" in cleaned.out
    lab.run("h1", ["touch", "/run/allowed"])
    with staging.start("--clean") as process:
        assert drilled(process).code == 0
    assert all(state["closed"] for state in staging.states())


def test_of_several_drills_what_follows_an_interruption_is_not_run(staging: Rehearser):
    text = (staging.folder / "drills/flag.yml").read_text()
    staging.write("drills/again.yml", text)
    with staging.start(
        "flag", "again", "--provider", "static", "-i", "staging", "--report-dir", "report"
    ) as process:
        until_line(process, BEFORE["heal"])
        interrupt(process)
        done = drilled(process)
    assert done.code == 99
    report = json.loads((staging.folder / "report/drill.json").read_text())
    assert [drill["outcome"] for drill in report["drills"]] == ["interrupted", "not run"]


def test_of_several_drills_each_has_its_say(staging: Rehearser):
    text = (staging.folder / "drills/flag.yml").read_text()
    staging.write("drills/late.yml", text.replace("detect: 5s", "heal: 1ms"))
    done = staging.drill("late", "flag", "--provider", "static", "-i", "staging")
    assert done.code == 2
    assert [drill["outcome"] for drill in done.report["drills"]] == ["failed", "passed"]
    assert (done.report["drill_run"]["passed"], done.report["drill_run"]["failed"]) == (1, 1)
