"""A host that hangs, is slow or dies in the middle delays no other."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from remedy.lab import Host, Lab
from tests.acceptance.operator import Operator, Result, finished
from tests.conftest_lab import HostFactory

pytestmark = pytest.mark.lab

LATE = 1.5  # seconds, three times what is promised

WORK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: sleep
      command: sleep {{ pause }}
    - name: change
      copy: {dest: '/tmp/{{ item }}', content: '{{ item }}'}
      loop: [a, b, c, d, e]
    - name: wait for what comes
      command: cat /tmp/e
      register: e
    - name: clock
      command: date +%s.%N
      when: e.stdout == 'e'
"""


@pytest.fixture
def hosts(lab: Lab, host_factory: HostFactory) -> Iterator[dict[str, Host]]:
    yield {name: host_factory(name) for name in ("healthy", "slow", "frozen", "cut")}
    for pid in lab.inside("frozen").cgroup.members():
        os.kill(pid, signal.SIGCONT)


def took(done: Result, host: str) -> float:
    """Return the seconds from the beginning of a run to a host's last task; all share one clock."""
    started = datetime.fromisoformat(done.report["run"]["started"]).timestamp()
    return float(done.tasks(host)["clock"]["result"]["stdout"]) - started


def sleeps(lab: Lab, name: str) -> bool:
    return lab.run(name, ["sh", "-c", "pgrep -f '[/]sleep 90$'"], ok=(0, 1)).code == 0


def test_nobody_waits_for_a_sick_host(lab: Lab, hosts: dict[str, Host], tmp_path: Path) -> None:
    alone = Operator(tmp_path / "alone", lab)
    alone.add("healthy", hosts["healthy"], pause=2)
    usual = took(alone.play(WORK), "healthy")
    lab.run("healthy", ["sh", "-c", "rm /tmp/[a-e]"])

    operator = Operator(tmp_path / "all", lab)
    operator.place(
        "hung", ansible_host=hosts["healthy"].address, ansible_user="hung", ansible_timeout=4, pause=0
    )
    for name, pause in (("frozen", 90), ("cut", 90), ("slow", 10), ("healthy", 2)):
        operator.add(name, hosts[name], pause=pause)
    with operator.start("play", str(operator.write("playbooks/work.yml", WORK))) as process:
        try:
            deadline = time.monotonic() + 15
            while not (sleeps(lab, "frozen") and sleeps(lab, "cut")):
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
            for pid in lab.inside("frozen").cgroup.members():
                os.kill(pid, signal.SIGSTOP)
            subprocess.run(["ip", "link", "set", lab.network.port(hosts["cut"].index), "down"], check=True)
            out, err = process.communicate(timeout=100)
        finally:
            process.kill()
    done = finished(process.returncode, out, err)

    assert done.code == 4
    assert {name: host["reason"] for name, host in done.report["hosts"].items()} == {
        "hung": "hung_shell",
        "frozen": "agent_killed",
        "cut": "link_lost",
        "slow": None,
        "healthy": None,
    }
    assert took(done, "healthy") < usual + LATE
    assert took(done, "slow") < usual + 8 + LATE
    assert 55 < done.report["run"]["seconds"] < 75, "silence is borne for 60 s, and no longer"
