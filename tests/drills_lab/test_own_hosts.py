"""Hosts of one's own: a drill fills no disk but the one that was meant."""

from __future__ import annotations

import pytest

from remedy.lab import Disk, Lab
from tests.conftest_lab import HostFactory
from tests.drill.rehearsing import Rehearser, drilled, there

pytestmark = pytest.mark.lab

STATIC = ("disk-full", "--provider", "static", "-i", "staging")


def test_a_disk_that_is_none_is_refused(lab: Lab, host_factory: HostFactory, rehearser: Rehearser):
    rehearser.static(lab, host_factory("app1", role="app", root_size="1G"))
    done = rehearser.drill(*STATIC)
    assert done.code == 3
    assert "/var/log is no file system of its own on app1" in done.only["error"]
    assert done.outcomes()["steady state"] == "not run"
    assert not there(lab, "/var/log/remedy-drill-kept", "app1")


def test_a_drill_on_a_host_that_stays_leaves_it_as_it_was(
    lab: Lab, host_factory: HostFactory, rehearser: Rehearser
):
    rehearser.static(lab, host_factory("app1", role="app", disks={"/var/log": Disk("96M")}))
    lab.run("app1", ["systemctl", "is-system-running", "--wait"], ok=None)
    before = files(lab)
    done = rehearser.drill(*STATIC)
    assert done.code == 0, (done.out, done.err)
    # The host's own services write on; what they write is theirs.
    assert {path for path in files(lab) - before if "remedy" in path} == set()
    assert before - files(lab) == set(), "nothing of the host's went"
    usage = lab.run("app1", ["df", "--output=pcent", "/var/log"]).stdout
    assert int(usage.split()[1].rstrip("%")) < 50, "what had filled the disk is gone"


def files(lab: Lab) -> set[str]:
    return set(lab.run("app1", ["find", "/var/log", "/etc"]).stdout.split("\n"))


def test_what_a_console_shows(lab: Lab, staging: Rehearser):
    with staging.start("flag", "--provider", "static", "-i", "staging", "-v") as process:
        done = drilled(process)
    assert done.code == 0, (done.out, done.err)
    assert "\x1b" not in done.out
    for line in (
        "DRILL flag: Somebody puts the flag up",
        "      changed  h1: Put it up",
        "  detect       ok    ",
        "probe: flag",
        "hypothesis: it verifies, and nothing is found",
        "  rollback     ok    ",
        "1 of 1 passed",
    ):
        assert line in done.out
    with staging.start("--matrix", "--format", "json") as process:
        matrix = drilled(process).report
    (row,) = [row for row in matrix["rows"] if row["drill"] == "flag"]
    assert row["runbook"] == "flag"
    assert row["last_passed"] is not None
    with staging.start("--matrix") as process:
        assert "disk-full-everything" in drilled(process).out
