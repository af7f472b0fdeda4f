"""delegate_to: another host carries a task out; the result stays with the first, the change with the other."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from remedy.errors import InputError, Refused, Unreachable
from remedy.events import Changed, HostLeftOut, Intent, RunEnded, TaskDone
from tests.engine.fake import plain, play

HEAD = "- hosts: all\n  gather_facts: false\n"
WHO = "{{ inventory_hostname }}"
INVENTORY = """
all:
  vars: {ansible_user: admin}
  hosts:
    h1: {ansible_host: 192.0.2.1, own: one}
    h2: {ansible_host: 192.0.2.2, own: two, ansible_become: true, ansible_become_user: postgres}
    out: {ansible_host: 192.0.2.3, ansible_port: 2222, ansible_user: other, own: three}
  children: {pair: {hosts: {h1: , h2: }}, standby: {hosts: {h2: }}}
"""


def tasks(text: str, more: str = "") -> str:
    return f"{HEAD}{more}  tasks:\n{text}"


def done(played: Any, host: str = "h1") -> list[tuple[str, list[str], str]]:
    return [
        (each.task, each.delegated, each.status) for each in played.memory.of(TaskDone) if each.host == host
    ]


def test_the_step_goes_to_the_other_host_and_the_result_stays(tmp_path: Path) -> None:
    text = tasks(
        f"""
    - {{name: there, command: "by {WHO}", delegate_to: h2, register: mine, when: inventory_hostname != 'h2'}}
    - {{name: here, command: "{{{{ mine.stdout | default('nothing') }}}}"}}
"""
    )
    played = play(tmp_path, text, hosts=3)
    assert played.code == 0
    assert sorted(played.hosts["h2"].steps()[:2]) == ["by h1", "by h3"]
    assert played.hosts["h1"].steps() == ["by h1"]
    assert played.hosts["h2"].steps()[2:] == ["nothing"]
    assert done(played) == [("there", ["h2"], "changed"), ("here", [], "changed")]


def test_intents_and_changes_name_the_host_that_is_changed(tmp_path: Path) -> None:
    played = play(tmp_path, tasks("    - {file: path=/x state=touch, delegate_to: h2}\n"), hosts=3)
    told = {(each.host, each.delegated_by) for each in played.memory.of(Intent)}
    assert told == {("h2", "h1"), ("h2", ""), ("h2", "h3")}
    assert {(each.host, each.delegated_by) for each in played.memory.of(Changed)} == told
    ids = [each.change for each in played.memory.of(Intent)]
    assert len(set(ids)) == 3, "a host that hears several others tells their changes apart"
    assert played.hosts["h1"].words == []


def test_its_connection_is_the_other_hosts_and_its_arguments_the_first_ones(tmp_path: Path) -> None:
    text = tasks(
        """
    - name: there
      command: "{{ own }} {{ ansible_host }} {{ ansible_delegated_vars.h2.own }}
        {{ ansible_delegated_vars.h2.inventory_hostname }} {{ inventory_hostname }}"
      delegate_to: h2
      vars: {own: "own of {{ inventory_hostname }}"}
    - {name: beyond, command: b, delegate_to: out}
"""
    )
    played = play(tmp_path, text, inventory_text=INVENTORY, select="h1")
    assert played.hosts["h2"].steps() == ["own of h1 192.0.2.1 own of h1 h1 h1"]
    assert [each["user"] for each in played.hosts["h2"].identities] == ["postgres"]
    assert played.hosts["h1"].steps() == []
    assert played.hosts["h1"].identities == []
    ways = {each.name: (each.address, each.port, each.user) for each in played.targets}
    assert ways == {"h2": ("192.0.2.2", None, "admin"), "out": ("192.0.2.3", 2222, "other")}


def test_become_of_the_task_holds_on_the_other_host(tmp_path: Path) -> None:
    text = tasks("    - {command: b, delegate_to: out, become: true, become_user: deploy}\n")
    played = play(tmp_path, text, inventory_text=INVENTORY, select="h1")
    assert [each["user"] for each in played.hosts["out"].identities] == ["deploy"]


def test_a_name_of_no_inventory_is_reached_as_it_is(tmp_path: Path) -> None:
    text = tasks("    - {file: path=/x state=touch, delegate_to: 192.0.2.77}\n")
    played = play(tmp_path, text, inventory_text=INVENTORY, select="h1", beside=["192.0.2.77"])
    assert played.code == 0
    assert [(each.name, each.address, each.user) for each in played.targets] == [
        ("192.0.2.77", "192.0.2.77", "admin")
    ]
    assert [(each.host, each.implicit) for each in played.memory.of(Intent)] == [("192.0.2.77", True)]


def test_localhost_is_this_machine(tmp_path: Path) -> None:
    played = play(
        tmp_path, tasks("    - {command: b, delegate_to: localhost}\n"), hosts=2, beside=["localhost"]
    )
    assert played.hosts["localhost"].steps() == ["b", "b"]
    assert [(each.name, each.connection) for each in played.targets] == [("localhost", "local")]


def test_localhost_is_the_host_of_the_run_that_is_this_machine(tmp_path: Path) -> None:
    text = "all: {hosts: {box: {ansible_connection: local}, h1: }}\n"
    played = play(tmp_path, tasks("    - {command: b, delegate_to: localhost}\n"), inventory_text=text)
    assert played.hosts["box"].steps() == ["b", "b"]
    assert {(each.host, each.delegated_by) for each in played.memory.of(Changed)} == {
        ("box", ""),
        ("box", "h1"),
    }


def test_each_item_of_a_loop_has_its_own_host(tmp_path: Path) -> None:
    text = tasks(
        """
    - name: around
      command: "{{ item }}"
      delegate_to: "{{ item }}"
      loop: [h3, h1, h1, h2]
      register: went
      when: inventory_hostname == 'h1'
    - command: "{{ went.results | map(attribute='stdout') | join(' ') }}"
      when: inventory_hostname == 'h1'
"""
    )
    played = play(tmp_path, text, hosts=3)
    assert [host.steps()[:1] for host in played.hosts.values()] == [["h1"], ["h2"], ["h3"]]
    assert played.hosts["h1"].steps()[-1] == "h3 h1 h1 h2"
    assert done(played)[0] == ("around", ["h3", "h2"], "changed")


def test_until_asks_the_other_host_again(tmp_path: Path) -> None:
    answers = iter(["no", "no", "yes"])

    def behaviour(host: str, step: dict[str, Any]) -> dict[str, Any]:
        answer = plain(host, step)
        answer["result"]["stdout"] = next(answers)
        return answer

    text = tasks(
        "    - {command: ask, delegate_to: h2, register: r, until: r.stdout == 'yes', retries: 5, delay: 0,"
        " run_once: true}\n"
    )
    played = play(tmp_path, text, hosts=2, behaviour=behaviour)
    assert played.code == 0
    assert played.hosts["h2"].steps() == ["ask"] * 3


@pytest.mark.parametrize("where", ["block", "import_tasks", "apply"])
def test_what_is_around_a_task_delegates_it(where: str, tmp_path: Path) -> None:
    text = {
        "block": "    - {block: [{command: b}], delegate_to: h2}\n",
        "import_tasks": "    - {import_tasks: part.yml, delegate_to: h2}\n",
        "apply": "    - include_tasks: {file: part.yml, apply: {delegate_to: h2}}\n",
    }[where]
    played = play(tmp_path, tasks(text), hosts=2, tasks={"part.yml": "- command: b\n"})
    assert played.hosts["h2"].steps() == ["b", "b"]
    assert played.hosts["h1"].steps() == []


@pytest.mark.parametrize("written", ['""', '"{{ omit }}"', '"{{ inventory_hostname }}"'])
def test_nobody_else_is_the_host_itself(written: str, tmp_path: Path) -> None:
    played = play(tmp_path, tasks(f"    - {{command: b, delegate_to: {written}}}\n"), hosts=2)
    assert [host.steps() for host in played.hosts.values()] == [["b"], ["b"]]
    assert done(played) == [("command", [], "changed")]


def test_nobody_goes_on_while_others_work_on_its_host(tmp_path: Path) -> None:
    """h2 has nothing to do in the task, and its own next step comes after those that are delegated to it."""
    order: list[tuple[str, str]] = []

    def behaviour(host: str, step: dict[str, Any]) -> dict[str, Any]:
        order.append((host, step["params"]["cmd"]))
        return plain(host, step)

    text = tasks(
        f"""
    - command: first
    - {{command: "by {WHO}", delegate_to: h2, when: inventory_hostname != 'h2'}}
    - command: after
"""
    )
    play(tmp_path, text, hosts=4, behaviour=behaviour)
    words = [word for _, word in order]
    assert sorted(words[4:7]) == ["by h1", "by h3", "by h4"]
    assert words[:4] == ["first"] * 4
    assert words[7:] == ["after"] * 4


def test_steps_of_several_hosts_do_not_meet_on_one_link(tmp_path: Path) -> None:
    at_work = threading.Semaphore(1)

    def behaviour(host: str, step: dict[str, Any]) -> dict[str, Any]:
        if host == "h2":
            assert at_work.acquire(blocking=False), "two steps at once"
            at_work.release()
        return plain(host, step)

    text = tasks(f'    - {{command: "{WHO}", delegate_to: h2, loop: [1, 2, 3]}}\n')
    played = play(tmp_path, text, hosts=8, behaviour=behaviour, forks=8)
    assert played.code == 0
    assert len(played.hosts["h2"].steps()) == 24
    assert [
        len({step["id"].partition(":")[0] for step in batch}) for batch in played.hosts["h2"].batches
    ] == [1] * 8


@pytest.mark.parametrize("forks", [1, 2])
def test_few_forks_do_not_stop_it(forks: int, tmp_path: Path) -> None:
    text = tasks('    - {command: a, delegate_to: "{{ groups.all[-1] }}"}\n    - command: b\n')
    played = play(tmp_path, text, hosts=5, forks=forks)
    assert played.code == 0
    assert played.hosts["h5"].steps() == ["a"] * 5 + ["b"]


def test_a_host_of_another_batch_and_its_own_turn_use_one_link(tmp_path: Path) -> None:
    text = tasks("    - {command: a, delegate_to: h3}\n    - command: b\n", "  serial: 1\n")
    played = play(tmp_path, text, hosts=3)
    assert played.code == 0
    assert played.hosts["h3"].steps() == ["a", "a", "a", "b"]
    assert [each.name for each in played.targets].count("h3") == 1


def test_the_first_batch_may_be_delegated_to_after_its_end(tmp_path: Path) -> None:
    """What an include brings is not known before: the link was closed, and is opened again."""
    text = tasks(
        "    - command: own\n    - include_tasks: '{{ part }}.yml'\n", "  serial: 1\n  vars: {part: part}\n"
    )
    played = play(tmp_path, text, hosts=2, tasks={"part.yml": "- {command: b, delegate_to: h1}\n"})
    assert played.code == 0
    assert played.hosts["h1"].steps() == ["own", "b", "b"]


def test_a_host_out_of_reach_costs_those_that_delegate_to_it(tmp_path: Path) -> None:
    text = tasks("    - {command: a, delegate_to: h3, when: inventory_hostname != 'h2'}\n    - command: b\n")
    text = text.replace("- hosts: all", "- hosts: h1,h2")
    lost = Unreachable("timeout", "no answer within 10 s")
    played = play(tmp_path, text, hosts=3, unreachable={"h3": lost})
    assert played.code == 4
    left = played.memory.of(HostLeftOut)
    assert [(each.host, each.reason) for each in left] == [("h1", "timeout")]
    assert left[0].message.startswith("'h3', which a task is delegated to: no answer within 10 s")
    assert played.hosts["h2"].steps() == ["b"]
    assert done(played) == [("command", ["h3"], "not_run")]


def test_nobody_waits_twice_for_a_host_that_does_not_answer(tmp_path: Path) -> None:
    lost = {"h9": Unreachable("timeout", "no answer")}
    text = tasks("    - {command: a, delegate_to: h9}\n").replace("- hosts: all", "- hosts: all:!h9")
    played = play(tmp_path, text, hosts=9, unreachable=lost)
    assert [each.name for each in played.targets].count("h9") == 1
    assert sorted(each.host for each in played.memory.of(HostLeftOut)) == [
        f"h{number}" for number in range(1, 9)
    ]


def test_a_name_that_nobody_knows_says_which_was_near(tmp_path: Path) -> None:
    text = tasks("    - {command: a, delegate_to: ouut}\n")
    lost = {"ouut": Unreachable("dns", "the name does not resolve")}
    played = play(tmp_path, text, inventory_text=INVENTORY, select="h1", unreachable=lost)
    assert played.memory.of(HostLeftOut)[0].message == (
        "'ouut', which a task is delegated to: the name does not resolve\n"
        "  no inventory names 'ouut': did you mean 'out'?"
    )


def test_unreachable_is_not_rescued(tmp_path: Path) -> None:
    text = tasks(
        "    - block: [{command: a, delegate_to: away}]\n      rescue: [{command: b}]\n      always: [{command: c}]\n"
    )
    lost = {"away": Unreachable("refused", "the port refuses connections")}
    played = play(tmp_path, text, unreachable=lost)
    assert played.code == 4
    assert played.hosts["h1"].steps() == []


def test_a_host_that_has_failed_can_still_be_delegated_to(tmp_path: Path) -> None:
    text = tasks(
        """
    - command: "{{ 'false' if inventory_hostname == 'h2' else 'fine' }}"
    - {command: a, delegate_to: h2}
"""
    )
    played = play(tmp_path, text, hosts=2)
    assert played.code == 2
    assert played.hosts["h2"].steps() == ["false", "a"]


def test_a_host_that_was_left_out_cannot(tmp_path: Path) -> None:
    text = tasks("    - command: b\n    - {command: a, delegate_to: h2}\n")
    played = play(tmp_path, text, hosts=2, locked={"h2": "remedy other-run, anna@laptop, since 03:00"})
    assert played.code == 3
    left = played.memory.of(HostLeftOut)
    assert [(each.host, each.reason, each.refused) for each in left] == [
        ("h2", "locked", True),
        ("h1", "locked", True),
    ]
    assert "anna@laptop" in left[1].message
    assert played.hosts["h2"].batches == []


def test_its_lock_is_taken_for_the_run_like_any_other(tmp_path: Path) -> None:
    played = play(tmp_path, tasks("    - {command: b, delegate_to: away}\n"), beside=["away"])
    assert played.hosts["away"].start["lock"] is True


def test_a_link_that_breaks_says_that_nobody_knows(tmp_path: Path) -> None:
    def behaviour(host: str, step: dict[str, Any]) -> Any:
        from remedy.errors import LinkLost

        return LinkLost("link_lost", "the connection ended") if host == "away" else plain(host, step)

    text = tasks("    - {command: b, delegate_to: away}\n")
    played = play(tmp_path, text, hosts=2, beside=["away"], behaviour=behaviour)
    assert played.code == 4
    told = {each.host: (each.status, each.reason) for each in played.memory.of(TaskDone)}
    assert all(status == "not_run" for status, _ in told.values())
    assert sum("whether it ran is not known" in reason for _, reason in told.values()) >= 1


def test_a_failure_on_the_other_host_is_the_first_ones(tmp_path: Path) -> None:
    text = tasks(
        "    - {command: 'false', delegate_to: h2, when: inventory_hostname == 'h1'}\n    - command: b\n"
    )
    played = play(tmp_path, text, hosts=2)
    assert played.code == 2
    assert done(played) == [("command", ["h2"], "failed")]
    assert played.hosts["h2"].steps() == ["false", "b"]
    assert played.hosts["h1"].steps() == []


def test_facts_belong_to_the_host_whose_task_it_is(tmp_path: Path) -> None:
    def behaviour(host: str, step: dict[str, Any]) -> dict[str, Any]:
        if step["module"].endswith(".setup"):
            return {"status": "ok", "result": {"ansible_facts": {"ansible_seen": host}}}
        return plain(host, step)

    text = tasks(
        "    - {setup: , delegate_to: h2, when: inventory_hostname == 'h1'}\n"
        "    - {command: \"{{ ansible_facts.seen | default('none') }}\"}\n"
    )
    played = play(tmp_path, text, hosts=2, behaviour=behaviour)
    assert played.hosts["h1"].steps() == ["h2"]
    assert played.hosts["h2"].steps()[-1] == "none"


def test_check_mode_knows_whose_command_was_left_out(tmp_path: Path) -> None:
    text = tasks(
        """
    - {name: make, command: make /opt/app, delegate_to: h2, when: inventory_hostname == 'h1'}
    - {name: below, file: path=/opt/app/conf state=touch}
"""
    )
    played = play(tmp_path, text, hosts=2, mode="check")
    assert done(played)[-1] == ("below", [], "changed")
    assert done(played, "h2")[-1] == ("below", [], "unknown")


def test_raw_goes_there_too(tmp_path: Path) -> None:
    text = tasks("    - {raw: uptime, delegate_to: out, register: r}\n    - command: '{{ r.stdout }}'\n")
    played = play(tmp_path, text, inventory_text=INVENTORY, select="h1")
    assert (played.targets[0].name, played.targets[0].port) == ("out", 2222)
    assert played.hosts["h1"].steps() == ["uptime"]


def test_the_clock_that_counts_is_the_other_hosts(tmp_path: Path) -> None:
    text = tasks("    - {old_files: {paths: /tmp, age: 7d}, delegate_to: out}\n")
    played = play(tmp_path, text, inventory_text=INVENTORY, select="h1", behaviour=plain, mode="check")
    assert played.code == 0, played.memory.of(TaskDone)
    assert "clock_skew" in played.hosts["out"].batches[0][0]["params"]
    assert [each.name for each in played.targets] == ["out"]


def test_a_module_of_the_control_machine_works_for_the_other_host(tmp_path: Path) -> None:
    text = tasks("    - {mysql_binlogs: , delegate_to: h2, become: true}\n")
    played = play(tmp_path, text, inventory_text=INVENTORY, select="h1")
    (failed,) = played.memory.of(TaskDone)
    assert (failed.host, failed.delegated, failed.status) == ("h1", ["h2"], "failed")
    assert played.hosts["h2"].steps(), "what it asks of the host it asks there"
    assert [each["user"] for each in played.hosts["h2"].identities] == ["postgres"]
    assert {each.name for each in played.targets} == {"h2"}


# -- bad input


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("nobody_knows", "the variable 'nobody_knows' is undefined"),
        ("groups['standby']", "'delegate_to' is a list"),
        ("''", "'delegate_to' is empty"),
        ("'standby'", "'delegate_to' names the group 'standby'"),
    ],
)
def test_what_a_template_must_give(written: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        play(
            tmp_path,
            tasks(f'    - ping:\n      delegate_to: "{{{{ {written} }}}}"\n'),
            inventory_text=INVENTORY,
        )
    said = str(raised.value)
    assert f"{tmp_path}/play.yml:5:20" in said, said
    assert says in said


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("standby", "'delegate_to' names the group 'standby'\n  expected the name of one host, such as db2"),
        ("h*", "'delegate_to' is 'h*', which is no host\n  expected the name of one host"),
        ("h1:h2", "'delegate_to' is 'h1:h2', which is no host"),
        ("-oProxyCommand=x", "'delegate_to' is '-oProxyCommand=x', which is no host"),
    ],
)
def test_a_pattern_is_no_host(written: str, says: str, tmp_path: Path) -> None:
    """Also where the task would never be reached."""
    text = tasks(f"    - command: a\n    - ping:\n      when: false\n      delegate_to: {written}\n")
    contacted: list[str] = []

    def behaviour(host: str, step: dict[str, Any]) -> dict[str, Any]:
        contacted.append(host)
        return plain(host, step)

    with pytest.raises(InputError) as raised:
        play(tmp_path, text, inventory_text=INVENTORY, behaviour=behaviour)
    assert f"{tmp_path}/play.yml:7:20: {says}" in str(raised.value)
    assert contacted == []


def test_in_the_middle_of_the_run_it_fails_the_task(tmp_path: Path) -> None:
    text = tasks(
        "    - {command: a, register: r}\n"
        "    - {name: there, ping: , delegate_to: '{{ r.nope }}', ignore_errors: true}\n    - command: b\n"
    )
    played = play(tmp_path, text)
    assert done(played)[1] == ("there", [], "failed")
    assert played.hosts["h1"].steps() == ["a", "b"]


# -- approval

RUNBOOK = """
- hosts: h1,h2
  runbook: {severity: P1}
  diagnose:
    - {ping: , delegate_to: out}
    - finding: {id: sick, severity: P1, title: it is sick}
      when: inventory_hostname == 'h1'
  tasks:
    - file: path=/precious state=absent
      delegate_to: h2
"""


def test_what_would_go_is_asked_under_the_host_that_loses_it(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        play(tmp_path, RUNBOOK, inventory_text=INVENTORY, yes=False, select="pair")
    assert "    h2: file: destructive: file:/precious" in str(refused.value)
    assert "h1:" not in str(refused.value)


def test_what_was_approved_is_not_asked_again(tmp_path: Path) -> None:
    from remedy.engine.approval import Plans

    asked: list[Plans] = []
    played = play(
        tmp_path, RUNBOOK, inventory_text=INVENTORY, yes=False, select="pair", approver=asked.append
    )
    assert played.code == 0
    assert [list(plans) for plans in asked] == [["h2"]]
    assert [(each.host, each.object) for each in played.memory.of(Changed) if not each.predicted] == [
        ("h2", "file:/precious")
    ]
    assert played.hosts["out"].steps() == ["ping"] * 3, (
        "diagnose asks there: both hosts, and the sick one again"
    )
    assert played.memory.of(RunEnded)[0].exit_code == 0
