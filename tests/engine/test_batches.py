"""Round trips follow data: what travels together, and what ends a batch."""

from __future__ import annotations

from pathlib import Path

import pytest

from remedy.events import Intent, RoundTrips, TaskDone
from tests.engine.fake import play

HEAD = "- hosts: all\n  gather_facts: false\n  tasks:\n"


def trips(played: object) -> int:
    return played.memory.of(RoundTrips)[-1].round_trips  # type: ignore[attr-defined]


def test_twenty_independent_tasks_cost_one_trip(tmp_path: Path) -> None:
    played = play(tmp_path, HEAD + "    - ping:\n" * 20)
    assert [len(batch) for batch in played.hosts["h1"].batches] == [20]
    assert trips(played) == 1


def test_each_change_costs_one_trip_more(tmp_path: Path) -> None:
    played = play(tmp_path, HEAD + "".join(f"    - file: path=/x{n} state=touch\n" for n in range(5)))
    assert len(played.hosts["h1"].batches) == 1
    assert trips(played) == 6


def test_a_task_that_needs_a_result_starts_a_new_trip(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
    - command: one
      register: first
    - ping:
    - command: "{{ first.stdout }}-two"
    - ping:
"""
    )
    played = play(tmp_path, text)
    assert [len(batch) for batch in played.hosts["h1"].batches] == [2, 2]
    assert played.hosts["h1"].steps()[2] == "one-two"


@pytest.mark.parametrize(
    "second",
    [
        'command: "{{ lazy }}"\n      vars: {lazy: "{{ first.stdout }}"}',
        "command: \"x{{ first.stdout | default('none') }}\"",
        "command: two\n      when: first is none or true",
        'command: "{{ vars.first.stdout }}"',
    ],
)
def test_every_way_to_a_pending_name_waits(tmp_path: Path, second: str) -> None:
    played = play(tmp_path, HEAD + f"    - command: one\n      register: first\n    - {second}\n")
    assert [len(batch) for batch in played.hosts["h1"].batches] == [1, 1]


def test_a_failure_stops_the_batch_and_the_host(tmp_path: Path) -> None:
    played = play(tmp_path, HEAD + "    - ping:\n    - command: 'false'\n    - command: after\n")
    assert played.code == 2
    assert played.statuses() == [("ping", "ok"), ("command", "failed"), ("command", "not_run")]


def test_an_ignored_failure_costs_no_trip(tmp_path: Path) -> None:
    text = HEAD + "    - command: 'false'\n      ignore_errors: true\n    - command: after\n"
    played = play(tmp_path, text)
    assert played.code == 0
    assert [len(batch) for batch in played.hosts["h1"].batches] == [2]
    done = played.memory.of(TaskDone)
    assert (done[0].status, done[0].ignored, done[1].status) == ("failed", True, "changed")


def test_failed_when_ends_the_batch_and_decides(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
    - command: good
      register: r
      failed_when: "'good' in r.stdout"
    - command: after
"""
    )
    played = play(tmp_path, text)
    assert played.code == 2
    assert played.hosts["h1"].steps() == ["good"]


def test_changed_when_needs_no_trip(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
    - command: same
      register: r
      changed_when: "'new' in r.stdout"
    - command: other
"""
    )
    played = play(tmp_path, text)
    assert [len(batch) for batch in played.hosts["h1"].batches] == [2]
    assert played.statuses() == [("command", "ok"), ("command", "changed")]


def test_set_fact_is_seen_at_once_and_undone_by_an_earlier_failure(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
    - block:
        - command: 'false'
        - set_fact: {seen: yes}
      rescue:
        - debug: {msg: "{{ seen | default('never') }}"}
          register: said
    - command: "echo {{ said.msg }}"
"""
    )
    played = play(tmp_path, text)
    assert played.code == 0
    assert played.hosts["h1"].steps()[-1] == "echo never"
    assert played.memory.of(TaskDone)[0].rescued


def test_loops_run_all_items_then_fail(tmp_path: Path) -> None:
    text = HEAD + "    - command: '{{ item }}'\n      loop: [one, false 2, three]\n    - command: after\n"
    played = play(tmp_path, text)
    assert played.code == 2
    assert played.hosts["h1"].steps() == ["one", "false 2", "three", "after"]
    assert played.statuses() == [("command", "failed"), ("command", "not_run")]


def test_until_tries_again(tmp_path: Path) -> None:
    calls: list[str] = []

    def flaky(host: str, step: dict[str, object]) -> dict[str, object]:
        calls.append(host)
        return {"status": "ok", "result": {"rc": 0, "stdout": str(len(calls))}}

    text = (
        HEAD
        + "    - command: x\n      register: r\n      until: r.stdout == '3'\n      delay: 0\n      retries: 5\n"
    )
    played = play(tmp_path, text, behaviour=flaky)
    assert played.code == 0
    assert len(calls) == 3
    assert played.memory.of(TaskDone)[0].result["attempts"] == 3


def test_raw_in_a_loop_runs_every_item_and_announces_each_once(tmp_path: Path) -> None:
    text = HEAD + "    - raw: '{{ item }}'\n      loop: [one, two, three]\n      register: r\n"
    text += "    - command: '{{ r.results[2].stdout }}'\n"
    played = play(tmp_path, text)
    assert played.code == 0
    assert played.hosts["h1"].steps() == ["three"]
    assert [intent.object for intent in played.memory.of(Intent)] == ["one", "two", "three", "three"]
