"""Blocks, handlers, includes, sections: what runs, and in which order."""

from __future__ import annotations

from pathlib import Path

from remedy.errors import Unreachable
from remedy.events import FindingRaised, FindingResolved, HostLeftOut, Intent, TaskDone
from tests.engine.fake import play

HEAD = "- hosts: all\n  gather_facts: false\n"


def test_rescue_and_always(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
  tasks:
    - block:
        - command: one
        - command: 'false'
        - command: never
      rescue:
        - command: "rescued {{ ansible_failed_task.name }}"
      always:
        - command: always
    - command: after
"""
    )
    played = play(tmp_path, text)
    assert played.code == 0
    ran = [step["params"]["cmd"] for batch in played.hosts["h1"].batches for step in batch]
    assert ran[:2] == ["one", "false"]
    assert ran[-3:] == ["rescued command", "always", "after"]


def test_always_runs_and_passes_the_failure_on(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
  tasks:
    - block:
        - command: 'false'
      always:
        - command: always
    - command: after
"""
    )
    played = play(tmp_path, text)
    assert played.code == 2
    assert ("command", "changed") in played.statuses()
    assert "after" not in [s["params"]["cmd"] for s in played.hosts["h1"].batches[-1]]


def test_handlers_run_once_at_the_end_in_their_own_order(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
  handlers:
    - {name: second, command: handler-a}
    - {name: first, command: handler-b, listen: both}
  tasks:
    - {command: one, notify: [first, second]}
    - {command: two, notify: both}
    - {command: three, changed_when: false, notify: second}
"""
    )
    played = play(tmp_path, text)
    assert played.hosts["h1"].steps() == ["one", "two", "three", "handler-a", "handler-b"]


def test_include_tasks_with_a_loop_and_a_rendered_name(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
  vars: {part: sub}
  tasks:
    - include_tasks: "{{ part }}.yml"
      loop: [a, b]
    - command: last
"""
    )
    played = play(tmp_path, text, tasks={"sub.yml": "- command: 'in {{ item }}'\n"})
    assert played.hosts["h1"].steps() == ["in a", "in b", "last"]
    assert len(played.hosts["h1"].batches) == 1


RUNBOOK = """
- hosts: all
  runbook: {severity: P1}
  diagnose:
    - command: {cmd: look, reads: true}
      register: seen
    - finding: {id: sick, severity: P1, title: it is sick}
      when: sick_hosts is defined and inventory_hostname in sick_hosts and (again is not defined)
  tasks:
    - command: heal
    - set_fact: {again: true}
  verify:
    - command: {cmd: prove, reads: true}
"""


def test_a_runbook_heals_only_the_sick(tmp_path: Path) -> None:
    played = play(tmp_path, RUNBOOK, hosts=2, extra={"sick_hosts": ["h2"]})
    assert played.code == 0
    assert played.hosts["h1"].steps() == ["look", "prove"]
    assert played.hosts["h2"].steps() == ["look", "heal", "prove", "look"]
    assert [event.host for event in played.memory.of(FindingRaised)] == ["h2"]
    assert [event.id for event in played.memory.of(FindingResolved)] == ["sick"]


def test_diagnose_looks_only_and_exits_with_10(tmp_path: Path) -> None:
    played = play(tmp_path, RUNBOOK, hosts=2, extra={"sick_hosts": ["h2"]}, mode="diagnose")
    assert played.code == 10
    assert played.hosts["h2"].steps() == ["look"]
    assert not played.hosts["h2"].start["lock"]


def test_a_host_that_cannot_be_reached_does_not_stop_the_others(tmp_path: Path) -> None:
    lost = {"h1": Unreachable("refused", "the port refuses connections")}
    played = play(tmp_path, HEAD + "  tasks: [{command: x}]\n", hosts=3, unreachable=lost)
    assert played.code == 4
    assert [event.reason for event in played.memory.of(HostLeftOut)] == ["refused"]
    assert played.hosts["h3"].steps() == ["x"]


def test_a_lock_held_elsewhere_leaves_the_host_out(tmp_path: Path) -> None:
    locked = {"h1": "remedy other-run, anna@laptop, since 03:00"}
    played = play(tmp_path, HEAD + "  tasks: [{command: x}]\n", hosts=2, locked=locked)
    assert played.code == 3
    assert played.hosts["h1"].batches == []
    left = played.memory.of(HostLeftOut)[0]
    assert left.refused
    assert "anna@laptop" in left.message


def test_any_errors_fatal_stops_everybody(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
  any_errors_fatal: true
  tasks:
    - command: "{{ 'false' if inventory_hostname == 'h2' else 'fine' }}"
    - command: after
"""
    )
    played = play(tmp_path, text, hosts=3)
    assert played.code == 2
    assert all("after" not in host.steps() for host in played.hosts.values())


def test_serial_goes_in_batches_and_stops_when_one_is_lost(tmp_path: Path) -> None:
    text = HEAD + "  serial: 1\n  tasks: [{command: 'false'}]\n"
    played = play(tmp_path, text, hosts=3)
    assert played.code == 2
    assert [len(host.batches) for host in played.hosts.values()] == [1, 0, 0]


def test_hostvars_of_another_host_wait_for_it(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
  tasks:
    - command: "from {{ inventory_hostname }}"
      register: mine
    - command: "{{ hostvars['h2'].mine.stdout }}"
"""
    )
    played = play(tmp_path, text, hosts=2)
    assert played.code == 0
    assert played.hosts["h1"].steps() == ["from h1", "from h2"]


def test_write_ahead_the_word_comes_after_the_commit(tmp_path: Path) -> None:
    played = play(tmp_path, HEAD + "  tasks: [{file: path=/x state=touch}, {command: y}]\n")
    intents = played.memory.of(Intent)
    assert [intent.object for intent in intents] == ["y", "file:/x"]
    positions = [played.memory.events.index(intent) + 1 for intent in intents]
    assert all(any(commit >= position for commit in played.memory.commits) for position in positions)
    assert len(played.hosts["h1"].words) == 1


def test_no_log_hides_the_result(tmp_path: Path) -> None:
    played = play(tmp_path, HEAD + "  tasks: [{command: geheim, no_log: true}]\n")
    assert "geheim" not in str(played.memory.of(TaskDone)[0].result)


def test_check_mode_knows_what_hangs_on_a_skipped_command(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
  tasks:
    - command: make /opt/app
      register: made
    - command: {cmd: "use {{ made.stdout }}"}
    - file: path=/opt/app/conf state=touch
    - file: path=/srv/x state=touch
"""
    )
    played = play(tmp_path, text, mode="check")
    assert [status for _, status in played.statuses()] == ["skipped", "unknown", "unknown", "changed"]


def test_a_missing_include_fails_like_a_task(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
  tasks:
    - command: name
      register: which
    - block:
        - include_tasks: "{{ which.stdout }}-missing.yml"
      rescue:
        - command: rescued
"""
    )
    played = play(tmp_path, text)
    assert played.code == 0
    assert played.hosts["h1"].steps() == ["name", "rescued"]


def test_force_handlers_run_after_a_failure(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
  force_handlers: true
  handlers: [{name: tidy, command: tidied}]
  tasks:
    - {command: one, notify: tidy}
    - command: 'false'
"""
    )
    played = play(tmp_path, text)
    assert played.code == 2
    assert played.hosts["h1"].steps()[-1] == "tidied"


def test_max_fail_percentage_stops_everybody(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
  max_fail_percentage: 40
  tasks:
    - command: "{{ 'false' if inventory_hostname in ['h1', 'h2'] else 'fine' }}"
    - command: after
"""
    )
    played = play(tmp_path, text, hosts=4)
    assert played.code == 2
    assert all("after" not in host.steps() for host in played.hosts.values())


def test_end_host_is_no_failure(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
  tasks:
    - command: one
    - meta: end_host
      when: inventory_hostname == 'h1'
    - command: two
"""
    )
    played = play(tmp_path, text, hosts=2)
    assert played.code == 0
    assert played.hosts["h1"].steps() == ["one"]
    assert played.hosts["h2"].steps() == ["one", "two"]


def test_flush_handlers_runs_them_now(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
  handlers: [{name: h, command: handled}]
  tasks:
    - {command: one, notify: h}
    - meta: flush_handlers
    - command: two
"""
    )
    played = play(tmp_path, text)
    assert played.hosts["h1"].steps() == ["one", "handled", "two"]


def test_a_handler_may_notify_another(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
  handlers:
    - {name: last, command: last}
    - {name: first, command: first, notify: last}
  tasks: [{command: one, notify: first}]
"""
    )
    assert play(tmp_path, text).hosts["h1"].steps() == ["one", "first", "last"]


def test_tags_choose_tasks_but_never_leave_out_diagnose_and_verify(tmp_path: Path) -> None:
    text = """
- hosts: all
  runbook: {severity: P1}
  diagnose:
    - command: {cmd: look, reads: true}
    - finding: {id: sick, title: sick}
  tasks:
    - {command: wanted, tags: a}
    - {command: unwanted, tags: b}
  verify:
    - command: {cmd: prove, reads: true}
"""
    played = play(tmp_path, text, tags=("a",))
    assert played.hosts["h1"].steps() == ["look", "wanted", "prove", "look"]


def test_identities_travel_in_one_flight_each_told_once(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
  tasks:
    - command: me
    - {command: root, become: true}
    - {command: other, become: true, become_user: app}
    - {command: root again, become: true}
"""
    )
    host = play(tmp_path, text).hosts["h1"]
    assert [step["as"] for batch in host.batches for step in batch] == [None, "sudo:root", "sudo:app", "sudo:root"]
    assert [frame["name"] for frame in host.identities] == ["sudo:root", "sudo:app"]
