"""One run at a time changes a host; who comes second is told, and looking needs nobody's leave."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import wrecker
from tests.acceptance.operator import Operator

ROUNDS = 20

PLAY = """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - shell: while [ ! -e /srv/go ]; do sleep 0.05; done; echo {{ who }} >> /srv/acted
      timeout: 30
"""

HOLD = """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - file: {path: /srv/held, state: touch}
    - wait_for: {path: /srv/go, timeout: 60, sleep: 1}
"""

LOOK = """
- hosts: all
  gather_facts: false
  become: true
  runbook: {severity: P2}
  diagnose:
    - stat: {path: /srv}
      register: found
    - finding: {id: seen, severity: P3, title: There is a folder}
      when: found.stat.exists
  tasks:
    - file: {path: /srv/healed, state: touch}
"""


@pytest.fixture(scope="module")
def hosts(host_factory) -> list[Any]:
    return [host_factory(name) for name in ("t1", "t2")]


@pytest.fixture
def operator(tmp_path, lab, hosts) -> Operator:
    for host in hosts:
        lab.run(host.name, ["sh", "-c", "rm -rf /srv/*"])
    return Operator(tmp_path, lab, *hosts)


def until(seconds: float, what: Callable[[], Any]) -> Any:
    """Look again and again until something is there; what is looked at tells nobody when it comes."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


def left_out(state: Path) -> list[dict[str, Any]]:
    """Return the hosts that a run under way has left out, from its journal."""
    found = []
    for journal in state.glob("runs/*/journal.jsonl"):
        events = [
            json.loads(line) for line in journal.read_text().splitlines(keepends=True) if line[-1] == "\n"
        ]
        found += [event for event in events if event["event"] == "HostLeftOut"]
    return found


def test_on_each_host_exactly_one_acts(operator, hosts):
    operator.write("playbooks/both.yml", PLAY)
    inventory = ("-i", str(operator.folder / "inventory/hosts.yml"))
    won = []
    for number in range(ROUNDS):
        states = [operator.folder / f"state-{number}-{who}" for who in "ab"]
        processes = [
            wrecker.start(
                wrecker.Order(
                    ["play", "both", *inventory, "-e", f"who={who}", "--format", "json"],
                    operator.folder,
                    state,
                    out=state.with_suffix(".out"),
                )
            )
            for who, state in zip("ab", states, strict=True)
        ]
        until(30, lambda states=states: sum(len(left_out(state)) for state in states) == len(hosts))
        for host in hosts:
            operator.lab.put(host.name, "/srv/go", b"")
        codes = [wrecker.ended(process, 60) for process in processes]
        acted = {
            host.name: operator.lab.run(host.name, ["sh", "-c", "cat /srv/acted; rm /srv/*"]).stdout.split()
            for host in hosts
        }
        assert [len(who) for who in acted.values()] == [1, 1]
        for who, state, code in zip("ab", states, codes, strict=True):
            report = json.loads(state.with_suffix(".out").read_text())
            lost = {host.name for host in hosts if acted[host.name] != [who]}
            assert {name for name, host in report["hosts"].items() if host["reason"]} == lost
            assert {event["host"] for event in left_out(state)} == lost
            assert code == (3 if lost else 0)
            for event in left_out(state):
                assert (event["refused"], event["reason"]) == (True, "locked")
                other = r"another run is changing this host: remedy \S+-both-\w+, \S+@\S+, since 20"
                assert re.search(other, event["message"])
        won.append("".join(who for each in acted.values() for who in each))
    assert len(won) == ROUNDS


def test_who_only_looks_needs_no_lock(operator):
    operator.write("playbooks/hold.yml", HOLD)
    holder = operator.start("play", "hold")
    try:
        until(30, lambda: operator.lab.run("t1", ["test", "-e", "/srv/held"], ok=None).code == 0)
        look = operator.diagnose(LOOK)
        assert look.code == 10
        assert {finding["host"] for finding in look.report["findings"]} == {"t1", "t2"}
        ping = operator.run("all", "ping")
        assert ping.code == 0
        assert operator.play(LOOK, "--check").code == 0
        refused = operator.play(LOOK, "--yes", json=False)
        assert refused.code == 3
        assert "another run is changing this host: remedy" in refused.stdout
        assert "since 20" in " ".join(refused.stdout.split())  # it may be wrapped anywhere
    finally:
        holder.kill()
        holder.communicate(timeout=30)


def test_the_lock_is_free_when_its_holder_is_killed(operator, hosts):
    operator.write("playbooks/hold.yml", HOLD)
    holder = operator.start("play", "hold")
    until(30, lambda: operator.lab.run("t2", ["test", "-e", "/srv/held"], ok=None).code == 0)
    holder.kill()
    holder.communicate(timeout=30)
    for host in hosts:
        operator.lab.run(host.name, ["flock", "-w", "15", "/run", "true"])  # the agent has 5 s
        operator.lab.put(host.name, "/srv/go", b"")
    assert operator.play("hold").code == 0


def test_two_names_for_one_machine(tmp_path, lab, hosts):
    operator = Operator(tmp_path, lab)
    operator.add("one", hosts[0])
    operator.add("other", hosts[0])
    change = "- hosts: all\n  gather_facts: false\n  become: true\n  tasks:\n    - file: {path: /srv/x, state: touch}\n"
    result = operator.play(change, json=False)
    assert result.code == 5
    assert "'one'" in result.stdout
    assert "'other'" in result.stdout
    assert "machine" in result.stdout
    look = operator.diagnose(LOOK, json=False)
    assert look.code == 10
    assert re.search(r"'one' and 'other' are one machine|'other' and 'one' are one machine", look.stdout)
