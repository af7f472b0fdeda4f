"""Where the hosts are, told by a few lines."""

from __future__ import annotations

from typing import Any

from remedy.events import (
    HostConnected,
    HostLeftOut,
    PlayStarted,
    RoundTrips,
    RunStarted,
    SectionStarted,
    TaskStarted,
)
from remedy.report.progress import Progress
from tests.report import night


def following(*events: Any, hosts: list[str]) -> Progress:
    progress = Progress()
    progress(
        RunStarted(
            time=0, run="r", playbook="p", inventory="i", mode="apply", user="u", hosts=hosts, arguments=[]
        )
    )
    progress(PlayStarted(time=0, play="Heal", hosts=hosts, runbook=True))
    for event in events:
        progress(event)
    return progress


def given(host: str, task: str, time: float) -> TaskStarted:
    return TaskStarted(time=time, host=host, task=task, module="m")


def test_each_host_is_at_the_first_task_that_has_not_ended() -> None:
    progress = following(
        SectionStarted(time=1, host="a", play="Heal", section="diagnose"),
        HostConnected(time=2, host="b", hello={}, seconds=1),
        given("a", "one", 3),
        given("a", "two", 3),
        night.done("a", "one", "ok", 1, time=5),
        HostLeftOut(time=4, host="c", reason="timeout", message=""),
        hosts=["a", "b", "c", "d"],
    )
    assert progress.lines(100, now=12) == [
        "12 s  Heal  4 hosts: 2 working, 1 waiting, 1 left out",
        "  b      10 s  connecting",
        "  a     7.0 s  diagnose: two",
    ]
    assert progress.done() == (1, 4)


def test_a_host_that_is_through_is_done_and_works_again_in_the_next_play() -> None:
    trips = RoundTrips(time=3, host="a", setup_trips=1, round_trips=1)
    progress = following(given("a", "one", 1), trips, hosts=["a"])
    assert progress.done() == (1, 1)
    assert progress.lines(100, now=4) == ["4.0 s  Heal  1 host: 1 done"]
    progress(PlayStarted(time=4, play="More", hosts=["a"], runbook=False))
    assert progress.lines(100, now=5) == ["5.0 s  More  1 host: 1 waiting", "  waiting for a"]


def test_the_check_pass_before_approval_is_no_diagnose() -> None:
    sections = [
        SectionStarted(time=1, host="a", play="Heal", section=name)
        for name in ("diagnose", "check", "approval", "tasks")
    ]
    task = given("a", "Delete old logs", 1)
    progress = following(sections[0], sections[1], task, hosts=["a"])
    assert progress.lines(100, now=4)[1] == "  a     3.0 s  check: Delete old logs"
    progress(sections[2])
    assert progress.lines(100, now=4)[1] == "  a     3.0 s  waiting for approval"
    progress(sections[3])
    progress(task)
    assert progress.lines(100, now=4)[1] == "  a     3.0 s  Delete old logs"


def test_a_failed_host_stays_failed() -> None:
    progress = following(
        given("a", "one", 1),
        night.done("a", "one", "failed", 1, time=2),
        RoundTrips(time=3, host="a", setup_trips=1, round_trips=1),
        hosts=["a"],
    )
    assert progress.lines(100, now=4) == ["4.0 s  Heal  1 host: 1 failed"]


def test_many_hosts_take_few_lines() -> None:
    hosts = [f"host{number}" for number in range(50)]
    progress = following(*(given(host, "wait", 1) for host in hosts), hosts=hosts)
    lines = progress.lines(60, now=4)
    assert len(lines) == 7
    assert lines[-1] == "  ... and 45 more at work"
