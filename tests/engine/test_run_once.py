"""run_once: the first host of a batch does a task for all of them; throttle: a few at a time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from remedy.errors import Refused, Unreachable
from remedy.events import Changed, FindingRaised, HostLeftOut, Intent, TaskDone, Warned
from tests.engine.fake import Played, plain, play

HEAD = "- hosts: all\n  gather_facts: false\n"
OWN = "{{ inventory_hostname }}"


def tasks(text: str, more: str = "") -> str:
    return f"{HEAD}{more}  tasks:\n{text}"


def steps(played: Played) -> list[list[str]]:
    return [host.steps() for host in played.hosts.values()]


def test_the_first_host_does_it_and_all_know_the_result(tmp_path: Path) -> None:
    text = tasks(
        f'    - {{command: "by {OWN}", run_once: true, register: r}}\n    - command: "{OWN} {{{{ r.stdout }}}}"\n'
    )
    played = play(tmp_path, text, hosts=3)
    assert played.code == 0
    assert steps(played) == [["by h1", "h1 by h1"], ["h2 by h1"], ["h3 by h1"]]
    first = [each.host for each in played.memory.of(TaskDone)]
    assert sorted(first) == ["h1", "h1", "h2", "h3"], "the task is told of the one host"


def test_facts_that_are_set_are_set_on_all(tmp_path: Path) -> None:
    def behaviour(host: str, step: dict[str, Any]) -> dict[str, Any]:
        if step["module"].endswith(".setup"):
            return {"status": "ok", "result": {"ansible_facts": {"ansible_seen": host}}}
        return plain(host, step)

    text = tasks(
        f"""
    - set_fact: {{mine: "{OWN}"}}
      run_once: true
    - {{setup: , run_once: true}}
    - command: "{{{{ mine }}}} {{{{ ansible_facts.seen }}}} {{{{ ansible_seen }}}}"
"""
    )
    played = play(tmp_path, text, hosts=2, behaviour=behaviour)
    assert steps(played) == [["setup", "h1 h1 h1"], ["h1 h1 h1"]]


def test_gathering_facts_is_every_hosts_own(tmp_path: Path) -> None:
    text = "- hosts: all\n  run_once: true\n  tasks:\n    - command: once\n"
    played = play(tmp_path, text, hosts=2)
    assert steps(played) == [["setup", "once"], ["setup"]]


def test_the_condition_of_the_first_host_decides(tmp_path: Path) -> None:
    text = tasks(
        "    - {command: a, run_once: true, when: inventory_hostname == 'h2', register: r}\n"
        '    - command: "{{ r.skipped }}"\n'
    )
    played = play(tmp_path, text, hosts=2)
    assert steps(played) == [["True"], ["True"]]


def test_a_loop_runs_whole_on_the_one_host(tmp_path: Path) -> None:
    text = tasks(
        '    - {command: "{{ item }}", loop: [a, b], run_once: true, register: r}\n'
        "    - command: \"{{ r.results | map(attribute='stdout') | join }}\"\n"
    )
    assert steps(play(tmp_path, text, hosts=2)) == [["a", "b", "ab"], ["ab"]]


def test_a_failure_fails_all_hosts(tmp_path: Path) -> None:
    played = play(tmp_path, tasks("    - {command: 'false', run_once: true}\n    - command: b\n"), hosts=3)
    assert played.code == 2
    assert steps(played) == [["false"], [], []]
    assert sorted((each.host, each.message) for each in played.memory.of(Warned)) == [
        (host, "'command' failed on h1, and it runs once for all hosts of its batch: all fail")
        for host in ("h2", "h3")
    ]


def test_a_failure_that_is_ignored_fails_nobody(tmp_path: Path) -> None:
    text = tasks(
        "    - {command: 'false', run_once: true, ignore_errors: true, register: r}\n"
        "    - command: '{{ r is failed }} {{ r.rc }}'\n"
    )
    played = play(tmp_path, text, hosts=2)
    assert played.code == 0
    assert steps(played) == [["false", "True 1"], ["True 1"]]


def test_every_host_is_rescued(tmp_path: Path) -> None:
    text = tasks(
        """
    - block:
        - {name: once, command: 'false', run_once: true}
        - command: never
      rescue:
        - command: "{{ ansible_failed_task.name }} {{ ansible_failed_result.rc }}"
      always:
        - command: always
    - command: after
"""
    )
    played = play(tmp_path, text, hosts=2)
    assert played.code == 0
    assert steps(played) == [["false", "once 1", "always", "after"], ["once 1", "always", "after"]]
    assert played.memory.of(Warned) == []


def test_in_each_serial_batch_once(tmp_path: Path) -> None:
    text = tasks(
        f'    - {{command: "{OWN}", run_once: true, register: r}}\n    - command: "{{{{ r.stdout }}}}"\n',
        "  serial: 2\n",
    )
    assert steps(play(tmp_path, text, hosts=4)) == [["h1", "h1"], ["h1"], ["h3", "h3"], ["h3"]]


def test_a_host_that_is_out_is_not_the_first(tmp_path: Path) -> None:
    text = tasks(
        f"""
    - command: "{{{{ 'false' if inventory_hostname == 'h1' else 'fine' }}}}"
    - {{command: "by {OWN}", run_once: true}}
"""
    )
    lost = {"h2": Unreachable("refused", "the port refuses connections")}
    played = play(tmp_path, text, hosts=4, unreachable=lost)
    assert played.code == 4
    assert steps(played) == [["false"], [], ["fine", "by h3"], ["fine"]]


def test_a_first_host_that_is_lost_fails_the_others_and_holds_nobody_up(tmp_path: Path) -> None:
    lost = {"h1": Unreachable("timeout", "no answer")}
    text = tasks(
        "    - block: [{name: once, command: a, run_once: true}]\n"
        "      rescue: [{command: '{{ ansible_failed_result.msg }}'}]\n    - command: b\n"
    )
    played = play(tmp_path, text, hosts=3, unreachable=lost)
    assert played.code == 4
    assert [each.host for each in played.memory.of(HostLeftOut)] == ["h1"]
    said = "'once' was to run once, on h1, which was lost there"
    assert steps(played) == [[], [said, "b"], [said, "b"]]


def test_what_is_included_once_runs_on_the_one_host(tmp_path: Path) -> None:
    text = tasks(
        """
    - {include_tasks: part.yml, run_once: true}
    - command: "{{ r.stdout | default('unset') }}"
    - block: [{include_tasks: part.yml}]
      run_once: true
    - command: "{{ r.stdout }}"
"""
    )
    part = f'- command: "by {OWN}"\n  register: r\n'
    played = play(tmp_path, text, hosts=3, tasks={"part.yml": part})
    assert played.code == 0
    assert steps(played)[0] == ["by h1", "by h1", "by h1", "by h1"]
    assert steps(played)[1:] == [["unset", "by h1"]] * 2


def test_an_import_is_its_tasks(tmp_path: Path) -> None:
    text = tasks("    - {import_tasks: part.yml, run_once: true}\n")
    played = play(tmp_path, text, hosts=2, tasks={"part.yml": "- command: a\n- command: b\n"})
    assert steps(played) == [["a", "b"], []]


def test_hosts_that_include_different_files_each_have_a_first(tmp_path: Path) -> None:
    text = tasks(
        "    - include_tasks: \"{{ 'one' if inventory_hostname in ('h1', 'h3') else 'two' }}.yml\"\n"
    )
    files = {"one.yml": "- {command: one, run_once: true}\n", "two.yml": "- {command: two, run_once: true}\n"}
    played = play(tmp_path, text, hosts=4, tasks=files)
    assert steps(played) == [["one"], ["two"], [], []]


def test_with_the_linear_strategy_a_host_that_is_elsewhere_learns_of_it(tmp_path: Path) -> None:
    text = tasks(
        """
    - include_tasks: part.yml
      when: inventory_hostname != 'h1'
    - command: "{{ r.stdout | default('unset') }}"
""",
        "  strategy: linear\n",
    )
    played = play(
        tmp_path,
        text,
        hosts=3,
        tasks={"part.yml": f"- {{command: 'by {OWN}', run_once: true, register: r}}\n"},
    )
    assert steps(played) == [["by h2"], ["by h2", "by h2"], ["by h2"]]


def test_a_handler_runs_once_on_the_first_that_was_notified(tmp_path: Path) -> None:
    text = tasks(
        """
    - {command: a, notify: [one, two], when: inventory_hostname == 'h1'}
    - {command: b, notify: two, when: inventory_hostname != 'h1'}
    - meta: flush_handlers
    - {command: c, notify: two}
""",
        """  handlers:
    - {name: one, command: one, notify: two}
    - {name: two, command: two, run_once: true}
""",
    )
    played = play(tmp_path, text, hosts=3)
    assert played.code == 0
    assert steps(played) == [["a", "one", "two", "c", "two"], ["b", "c"], ["b", "c"]]


def test_once_and_elsewhere(tmp_path: Path) -> None:
    text = tasks(
        """
    - {file: path=/x state=touch, run_once: true, delegate_to: h3, register: r}
    - command: "{{ r.path }}"
"""
    )
    played = play(tmp_path, text, hosts=3)
    assert steps(played) == [["/x"], ["/x"], ["/x", "/x"]]
    assert [
        (each.host, each.delegated_by) for each in played.memory.of(Intent) if each.object == "file:/x"
    ] == [("h3", "h1")]
    once = next(each for each in played.memory.of(TaskDone) if each.delegated)
    assert (once.host, once.delegated) == ("h1", ["h3"])


def test_standby_first_then_primary(tmp_path: Path) -> None:
    """The order that PostgreSQL wants of max_connections."""
    order: list[str] = []

    def behaviour(host: str, step: dict[str, Any]) -> dict[str, Any]:
        order.append(host)
        return plain(host, step)

    text = tasks(
        """
    - {command: raise, delegate_to: "{{ item }}", loop: "{{ groups.standby + groups.primary }}", run_once: true}
    - {command: after, when: inventory_hostname in groups.standby}
"""
    )
    text_of = "all: {children: {primary: {hosts: {h1: }}, standby: {hosts: {h2: , h3: }}}}\n"
    played = play(tmp_path, text, inventory_text=text_of, behaviour=behaviour)
    assert played.code == 0
    assert order[:3] == ["h2", "h3", "h1"]
    assert sorted(order[3:]) == ["h2", "h3"]


def test_check_mode_shows_one_change(tmp_path: Path) -> None:
    played = play(
        tmp_path, tasks("    - {file: path=/x state=touch, run_once: true}\n"), hosts=3, mode="check"
    )
    assert [(each.host, each.predicted) for each in played.memory.of(Changed)] == [("h1", True)]


def test_until_and_tags(tmp_path: Path) -> None:
    text = tasks(
        "    - {command: a, run_once: true, register: r, until: true, tags: [x]}\n"
        '    - {command: "{{ r.attempts }}", tags: [x]}\n    - {command: other, run_once: true}\n'
    )
    assert steps(play(tmp_path, text, hosts=2, tags=("x",))) == [["a", "1"], ["1"]]


def test_a_template_decides(tmp_path: Path) -> None:
    text = tasks(f'    - {{command: "{OWN}", run_once: "{{{{ once }}}}"}}\n')
    assert steps(play(tmp_path, text, hosts=2, extra={"once": True})) == [["h1"], []]
    assert steps(play(tmp_path, text, hosts=2, extra={"once": False})) == [["h1"], ["h2"]]


def test_a_batch_of_one_is_not_slower_for_it(tmp_path: Path) -> None:
    text = tasks("    - command: a\n    - {command: b, run_once: true}\n    - command: c\n")
    played = play(tmp_path, text)
    assert [len(batch) for batch in played.hosts["h1"].batches] == [3]


def test_bad_input_of_the_first_host_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    from remedy.errors import UndefinedVariable

    text = tasks("    - {command: '{{ nope }}', run_once: true}\n")
    with pytest.raises(UndefinedVariable):
        play(tmp_path, text, hosts=3)


def test_a_missing_include_fails_all(tmp_path: Path) -> None:
    text = tasks(
        "    - {command: a, register: r}\n    - {include_tasks: '{{ r.stdout }}-gone.yml', run_once: true}\n"
        "    - command: b\n"
    )
    played = play(tmp_path, text, hosts=2)
    assert played.code == 2
    assert steps(played) == [["a"], ["a"]]


RUNBOOK = """
- hosts: all
  runbook: {severity: P1}
  diagnose:
    - {command: {cmd: "look {{ inventory_hostname }}", reads: true}, run_once: true, register: seen}
    - finding: {id: sick, severity: P1, title: "{{ seen.stdout }}"}
      when: inventory_hostname != 'h1'
  tasks:
    - {file: path=/precious state=absent, run_once: true}
    - file: path=/harmless state=touch
"""


def test_the_check_pass_does_it_once_as_well(tmp_path: Path) -> None:
    """The first host is healthy: of those with findings the first does it, in the check pass and after it."""
    with pytest.raises(Refused) as refused:
        play(tmp_path, RUNBOOK, hosts=4, yes=False)
    said = str(refused.value)
    assert [line for line in said.splitlines() if "/precious" in line] == [
        "    h2: file: destructive: file:/precious"
    ]
    asked: list[Any] = []
    played = play(tmp_path, RUNBOOK, hosts=4, yes=False, approver=asked.append)
    assert played.code == 0
    assert [list(plans) for plans in asked] == [["h2"]]
    assert {each.host for each in played.memory.of(Changed) if each.object == "file:/precious"} == {"h2"}
    assert {each.title for each in played.memory.of(FindingRaised)} == {"look h1", "look h2"}, (
        "again: h2 looks"
    )


# -- throttle


@pytest.mark.parametrize("keyword", ["throttle: 2", "throttle: '{{ few }}'"])
def test_throttle_lets_a_few_at_a_time(keyword: str, tmp_path: Path) -> None:
    most, inside, guard = [0], [0], threading.Lock()
    two = threading.Barrier(2)

    def behaviour(host: str, step: dict[str, Any]) -> dict[str, Any]:
        with guard:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        two.wait(20)  # so it is not one at a time either
        with guard:
            inside[0] -= 1
        return plain(host, step)

    text = tasks(f"    - {{command: a, {keyword}}}\n", "  vars: {few: 2}\n")
    played = play(tmp_path, text, hosts=6, behaviour=behaviour)
    assert played.code == 0
    assert most[0] == 2
    assert steps(played) == [["a"]] * 6


def test_who_is_lost_under_throttle_makes_room(tmp_path: Path) -> None:
    lost = {"h1": Unreachable("timeout", "no answer"), "h2": Unreachable("timeout", "no answer")}
    text = tasks(
        "    - block: [{command: 'false'}, {command: b}]\n      rescue: [{command: c}]\n      throttle: 1\n"
    )
    played = play(tmp_path, text, hosts=4, unreachable=lost)
    assert played.code == 4
    assert steps(played)[2:] == [["false", "c"]] * 2
