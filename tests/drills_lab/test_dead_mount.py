"""A mount that never answers: remedy names it, works around it, and ends in time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.lab import Host, Lab
from tests.acceptance.operator import Operator
from tests.conftest_lab import HostFactory

pytestmark = pytest.mark.lab

LOOKING = """
- hosts: all
  gather_facts: false
  tasks:
    - name: setup
      setup:
    - name: disk_usage
      disk_usage: {above: 85%, largest: 3}
    - name: find
      find: {paths: [/etc, /mnt], patterns: 'host*', recurse: true}
    - name: command
      command: hostname
"""

TOUCHING = """
- hosts: all
  gather_facts: false
  tasks:
    - name: stat
      stat: {path: /mnt/dead/file}
      timeout: 2
      ignore_errors: true
    - name: command
      command: ls /mnt/dead
      timeout: 2
      ignore_errors: true
    - name: after
      command: hostname
"""


@pytest.fixture(scope="module")
def host(lab: Lab, host_factory: HostFactory) -> Iterator[Host]:
    host = host_factory("dead")
    lab.hang_mount(host.name, "/mnt/dead")
    yield host
    lab.revive_mount(host.name, "/mnt/dead")


@pytest.mark.soak
def test_a_dead_mount_is_named_and_passed_by(lab: Lab, host: Host, tmp_path: Path) -> None:
    started = time.monotonic()
    done = Operator(tmp_path, lab, host).play(LOOKING, "-b")
    assert done.code == 0, done
    tasks = done.tasks()
    assert [each["mount"] for each in tasks["disk_usage"]["result"]["hung"]] == ["/mnt/dead"]
    assert tasks["disk_usage"]["result"]["complete"] is False
    mounts = {each["mount"]: each for each in tasks["setup"]["result"]["ansible_facts"]["ansible_mounts"]}
    assert "/mnt/dead" in mounts
    assert "size_total" not in mounts["/mnt/dead"]
    assert tasks["setup"]["result"]["ansible_facts"]["ansible_hostname"] == "dead"
    assert "/etc/hostname" in {file["path"] for file in tasks["find"]["result"]["files"]}
    assert "/mnt/dead" in str(tasks["find"]["result"]["skipped_paths"])
    assert tasks["command"]["result"]["stdout"] == "dead"
    assert time.monotonic() - started < 3 * 15


def test_what_touches_a_dead_mount_ends_at_its_deadline(lab: Lab, host: Host, tmp_path: Path) -> None:
    started = time.monotonic()
    done = Operator(tmp_path, lab, host).play(TOUCHING, "-b")
    assert done.code == 0, done
    tasks = done.tasks()
    for name in ("stat", "command"):
        assert tasks[name]["status"] == "failed"
        assert tasks[name]["result"]["cause"] == "timeout"
    assert tasks["after"]["result"]["stdout"] == "dead"
    assert time.monotonic() - started < 3 * 8


def test_the_runbook_for_full_disks_names_it(lab: Lab, host: Host, tmp_path: Path) -> None:
    done = Operator(tmp_path, lab, host).diagnose("disk-full")
    assert done.code == 0, done
    told = [task for task in done.report["tasks"] if task["module"] == "disk_usage"]
    assert [each["mount"] for each in told[0]["result"]["hung"]] == ["/mnt/dead"]
