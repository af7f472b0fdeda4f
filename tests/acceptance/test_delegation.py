"""A task of one host that another carries out, and one host's task for all: on real hosts, and back again."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from tests.acceptance.operator import Operator

CHANGE = """
- hosts: all
  gather_facts: false
  become: true
  vars: {mine: "by {{ inventory_hostname }} for {{ ansible_host }}"}
  handlers:
    - name: note it
      shell: echo noted >> /srv/notes
  tasks:
    - name: there
      copy: {dest: /srv/app/conf, content: "{{ mine }}\\n"}
      delegate_to: d2
      run_once: true
      register: put
      notify: note it
    - name: who
      command: hostname
      register: who
      delegate_to: "{{ 'd1' if inventory_hostname == 'd2' else 'd2' }}"
    - name: all know
      debug:
        msg: "{{ put.dest }} {{ who.stdout }}"
"""

ORDER = """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - shell: date +%s.%N
      delegate_to: "{{ item }}"
      loop: [d2, d1]
      run_once: true
      register: raised
    - shell: date +%s.%N
      register: after
"""

HOLD = """
- hosts: d2
  gather_facts: false
  become: true
  tasks:
    - file: {path: /srv/held, state: touch}
    - wait_for: {path: /srv/go, timeout: 60, sleep: 1}
"""

RUNBOOK = """
- hosts: d1
  gather_facts: false
  become: true
  runbook: {severity: P2}
  diagnose:
    - stat: {path: /srv/app/conf}
      register: found
      delegate_to: d2
    - finding: {id: seen, severity: P2, title: There is a file}
      when: found.stat.exists
  tasks:
    - file: {path: /srv/app, state: absent}
      delegate_to: d2
  verify:
    - stat: {path: /srv/app/conf}
      register: found
      failed_when: found.stat.exists
      delegate_to: d2
"""


@pytest.fixture(scope="module")
def hosts(host_factory) -> list[Any]:
    return [host_factory(name) for name in ("d1", "d2")]


@pytest.fixture
def operator(tmp_path, lab, hosts) -> Operator:
    for host in hosts:
        lab.run(host.name, ["sh", "-c", "rm -rf /srv/* && mkdir /srv/app && echo old > /srv/app/conf"])
    return Operator(tmp_path, lab, *hosts)


def conf(operator: Operator, name: str) -> str:
    return operator.lab.run(name, ["cat", "/srv/app/conf"]).stdout


def notes(operator: Operator) -> list[str]:
    """Return how often each host's handler has run."""
    return [
        operator.lab.run(name, ["sh", "-c", "cat /srv/notes 2>&1 || true"]).stdout for name in ("d1", "d2")
    ]


def test_the_change_is_the_other_hosts_and_goes_back_there(operator, hosts):
    played = operator.play(CHANGE)
    assert played.code == 0, played.stdout + played.stderr
    assert conf(operator, "d2") == f"by d1 for {hosts[0].address}\n"
    assert conf(operator, "d1") == "old\n"
    none = "cat: /srv/notes: No such file or directory\n"
    assert notes(operator) == ["noted\n", none], "the handler is the host's whose task it was"

    changes = {(each["host"], each["delegated_by"], each["object"]) for each in played.report["changes"]}
    assert ("d2", "d1", "file:/srv/app/conf") in changes
    told = [each for each in played.report["tasks"] if each["task"] == "there"]
    assert [(each["host"], each["delegated_to"], each["status"]) for each in told] == [
        ("d1", ["d2"], "changed")
    ]
    said = {
        each["host"]: each["result"]["msg"] for each in played.report["tasks"] if each["task"] == "all know"
    }
    assert said == {"d1": "/srv/app/conf d2", "d2": "/srv/app/conf d1"}

    run = played.report["run"]["id"]
    history = operator.remedy("history", run, json=False).stdout
    assert "d2: there (a task of d1): file:/srv/app/conf" in history

    again = operator.play(CHANGE)
    assert [each for each in again.report["changes"] if each["module"] == "copy"] == []

    back = operator.rollback(run)
    assert back.code == 0, back.stdout + back.stderr
    assert conf(operator, "d2") == "old\n"
    assert conf(operator, "d1") == "old\n"
    assert notes(operator) == ["noted\n" * 2, none]
    assert [each["host"] for each in back.report["changes"] if each["object"] == "file:/srv/app/conf"] == [
        "d2"
    ]


def test_a_limit_does_not_keep_the_other_host_out_of_reach(operator):
    played = operator.play(CHANGE, "-l", "d1")
    assert played.code == 0, played.stdout + played.stderr
    assert conf(operator, "d2").startswith("by d1 ")
    assert list(played.report["hosts"]) == ["d1"]
    back = operator.rollback("--yes")
    assert back.code == 0, back.stdout + back.stderr
    assert conf(operator, "d2") == "old\n"


def test_the_console_names_both(operator):
    played = operator.play(CHANGE, "-v", json=False)
    assert "changed  d1 -> d2  there" in played.stdout
    assert "there [copy], delegated by d1" in played.stdout


def test_the_standby_first(operator):
    played = operator.play(ORDER)
    assert played.code == 0, played.stdout + played.stderr
    results = [each["result"] for each in played.report["tasks"]]
    raised = next(result["results"] for result in results if "results" in result)
    after = [result["stdout"] for result in results if "results" not in result]
    assert [each["item"] for each in raised] == ["d2", "d1"]
    assert float(raised[0]["stdout"]) < float(raised[1]["stdout"]) < min(map(float, after))


def test_a_host_that_another_run_changes_is_not_delegated_to(operator):
    operator.write("playbooks/hold.yml", HOLD)
    holder = operator.start("play", "hold")
    try:
        deadline = time.monotonic() + 30
        while operator.lab.run("d2", ["test", "-e", "/srv/held"], ok=None).code:
            assert time.monotonic() < deadline, "the other run has not begun"
        played = operator.play(CHANGE, "-l", "d1")
        assert played.code == 3
        assert played.report["hosts"]["d1"]["reason"] == "locked"
        assert (
            "'d2', which a task is delegated to: another run is changing"
            in played.report["hosts"]["d1"]["message"]
        )
        assert conf(operator, "d2") == "old\n"
    finally:
        operator.lab.put("d2", "/srv/go", b"")
        holder.communicate(timeout=60)


def test_the_same_machine_under_another_name_is_noticed(operator, hosts):
    operator.add("twin", hosts[0])
    both = "- hosts: d1\n  gather_facts: false\n  tasks:\n    - ping:\n    - {ping: , delegate_to: twin}\n"
    refused = operator.play(both)
    assert refused.code == 5
    assert "'twin' and 'd1' are one machine" in refused.report["hosts"]["d1"]["message"]
    assert refused.report["hosts"]["d1"]["reason"] == "same_machine"


def test_this_machine_is_always_there(operator):
    text = (
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - command: {cmd: uname -n, reads: true}\n"
        "      delegate_to: localhost\n      register: here\n    - debug: {var: here.stdout}\n"
    )
    played = operator.play(text, "--check")  # which takes no lock on this machine
    assert played.code == 0, played.stdout + played.stderr
    names = {
        each["result"]["stdout"] for each in played.report["tasks"] if each["delegated_to"] == ["localhost"]
    }
    assert names == {socket.gethostname()}


def test_a_runbook_may_look_and_heal_elsewhere(operator):
    refused = operator.play(RUNBOOK, json=False)
    assert refused.code == 3
    assert "d2: destroy file:/srv/app" in refused.stderr
    healed = operator.play(RUNBOOK, "--yes")
    assert healed.code == 0, healed.stdout + healed.stderr
    assert [(each["host"], each["object"]) for each in healed.report["changes"]] == [("d2", "file:/srv/app")]
    assert [(each["host"], each["resolved"]) for each in healed.report["findings"]] == [("d1", True)]
    assert operator.lab.run("d1", ["ls", "/srv/app"]).stdout == "conf\n"
