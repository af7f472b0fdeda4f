"""What remedy costs: memory on both sides, and the processor time of a mere --help."""

from __future__ import annotations

import re
import resource
import subprocess
import threading
import time
from pathlib import Path

import pytest
from bench.cost import Memory, memory

from remedy.lab import Host, HostSpec, Lab
from tests.acceptance.operator import REMEDY, Operator, finished

MANY = 30
AGENT_MIB = 16
CONTROLLER_MIB = 60
FURTHER_MIB = 1
HELP_SECONDS = 0.25
PATIENCE = 3  # the factor for processor time while other tests run; the bench has the exact limit

SLEEP = """\
- hosts: all
  gather_facts: false
  tasks:
    - {name: a change, copy: {content: "{{ ansible_host }}", dest: /tmp/cost-of-%(who)s}}
    - {name: looks, setup: }
    - {name: another user looks, stat: {path: /}, become: %(become)s}
    - {name: sleeps, command: sleep 4711, changed_when: false}
"""
MANY_SMALL = """\
- hosts: all
  gather_facts: false
  tasks:
    - {name: a change, copy: {content: "{{ ansible_host }}", dest: /tmp/cost}}
    - {name: looks, stat: {path: /tmp/cost}, register: seen}
    - {name: says, command: "echo {{ seen.stat.size }}", changed_when: false}
"""


def agents(lab: Lab, host: Host) -> list[Memory]:
    """Return what each Python process of a host takes, once something sleeps there."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        names = {}
        for pid in lab.inside(host.name).cgroup.members():
            try:
                names[pid] = Path(f"/proc/{pid}/comm").read_text().strip()
            except OSError:
                pass  # it has ended
        if "sleep" in names.values():
            return [memory(pid) for pid, name in names.items() if name.startswith("python")]
        time.sleep(0.05)
    raise AssertionError("nothing sleeps on the host")


@pytest.mark.parametrize(("become", "identities"), [("false", 1), ("true", 2)])
def test_an_agent_takes_at_most_16_mib(tmp_path, lab, lab_host, become, identities):
    operator = Operator(tmp_path, lab, lab_host)
    play = operator.write("playbooks/sleep.yml", SLEEP % {"who": identities, "become": become})
    running = operator.start("play", str(play))
    try:
        taken = agents(lab, lab_host)
    finally:
        lab.run(lab_host.name, ["pkill", "-x", "sleep"])
        running.communicate(timeout=30)
    print("PSS of the agents' processes, MiB:", [round(each.pss, 1) for each in taken])
    assert len(taken) >= identities
    assert sum(each.pss for each in taken) <= identities * AGENT_MIB


def high_water(pid: int) -> float:
    """Return the peak MiB of a process so far."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def peak_rss(operator: Operator, text: str) -> float:
    """Return the peak MiB of the control process of a run."""
    play = operator.write("playbooks/many.yml", text)
    process = operator.start("play", str(play))
    peaks = [0.0]

    def watch() -> None:
        # What wait4() tells begins with the memory of whoever forked the process: this one's.
        while process.poll() is None:
            peaks.append(high_water(process.pid))
            time.sleep(0.01)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    out, err = process.stdout.read(), process.stderr.read()
    watcher.join(30)
    process.communicate()
    result = finished(process.returncode, out, err)
    assert result.code == 0, out + err
    return max(peaks)


def test_the_controller_takes_at_most_60_mib_and_one_for_each_further_host(tmp_path, lab):
    names = [f"c{number}" for number in range(MANY)]
    try:
        hosts = lab.up([HostSpec(name) for name in names])
        one = peak_rss(Operator(tmp_path / "one", lab, hosts[0]), MANY_SMALL)
        many = peak_rss(Operator(tmp_path / "many", lab, *hosts), MANY_SMALL)
    finally:
        lab.remove(*(host.name for host in lab.hosts() if host.name in names))
    print(f"peak RSS: {one:.1f} MiB for one host, {many:.1f} for {MANY}")
    assert one <= CONTROLLER_MIB
    assert (many - one) / (MANY - 1) <= FURTHER_MIB


def test_help_is_quick():
    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([REMEDY, "--help"], check=True, capture_output=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(once() for _ in range(3)) <= PATIENCE * HELP_SECONDS
