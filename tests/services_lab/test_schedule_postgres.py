"""Daemons on several machines that share a real PostgreSQL: one acts, whoever dies is replaced, the server may go."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.services_lab.postgres import UNIT, Postgres
from tests.services_lab.sites import SCHEDULE, Site, inside, tell

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.fixture
def site(url: str, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, url, ("one", "two"))
    yield site
    site.end()


def _zombies(of: int) -> list[str]:
    children = Path(f"/proc/{of}/task/{of}/children").read_text().split()
    told = [Path(f"/proc/{child}/stat").read_text() for child in children if Path(f"/proc/{child}").exists()]
    return [line for line in told if line.rpartition(")")[2].split()[0] == "Z"]


def _minutes(entries: list[dict[str, Any]]) -> set[float]:
    """Return how far apart the due times are."""
    dues = sorted(datetime.fromisoformat(entry["due"]) for entry in entries)
    return {(later - earlier).total_seconds() for earlier, later in pairwise(dues)}


@pytest.mark.soak
def test_the_machine_at_work_dies_and_the_other_one_takes_over(site: Site) -> None:
    site.write("schedules/minutely.yml", SCHEDULE.format(playbook="quick"))
    site.write("schedules/slow.yml", SCHEDULE.format(playbook="slow"))
    first = site.start(machine="one", apart=True)
    site.until("the first at work", lambda: "at work as" in site.said(0), 60)
    second = site.start(machine="two", apart=True)
    site.until("the second standing by", lambda: "another daemon is at work" in site.said(1), 60)
    site.until("a run", lambda: site.done("minutely"), 150)
    site.until("a slow run", lambda: site.done("slow"), 60)
    assert not _zombies(inside(first))

    # Its machine dies with a run at work: the run is told as cut off, and not repeated.
    begun = len(site.lines(".slow"))
    site.until("a slow run at work", lambda: len(site.lines(".slow")) > begun, 100)
    assert "at work as" not in site.said(1)
    first.kill()
    first.wait(30)
    site.until("the second at work", lambda: "at work as" in site.said(1), 30)
    site.until("runs of the second", lambda: len(site.done("slow", "two")) > 1, 150)
    tell(second)
    assert second.wait(90) == 0

    quick, slow = site.past("minutely", "two"), site.past("slow", "two")
    assert (_minutes(quick), _minutes(slow)) == ({60.0}, {60.0})
    assert {entry["state"] for entry in quick} <= {"done", "cut off"}
    (lost,) = [entry for entry in slow if entry["state"] == "cut off"]
    assert lost["reason"] == "its process ended without a word"
    # Until the dead run's lease is over (60 s), nobody knows elsewhere that it is dead.
    others = [entry for entry in slow if entry["state"] not in ("done", "cut off")]
    assert len(others) <= 1
    assert all((entry["state"], entry["reason"][:8]) == ("skipped", "overlap:") for entry in others), others
    assert f"the run {lost['run']} was cut off: its process ended without a word" in site.said(1)
    # What the runs say has their schedule's name.
    assert "\nminutely | " in site.said(1)
    assert "\nslow | " in site.said(1)
    # Each due time began once: both playbooks leave one mark a run.
    begun = len([entry for entry in slow if entry["run"]])
    assert len(site.lines(".slow")) == begun
    assert len(site.lines()) == begun + len([entry for entry in quick if entry["run"]])
    assert "Traceback" not in site.said(0) + site.said(1)


@pytest.mark.soak
def test_a_server_that_is_away_is_waited_for(server: Postgres, site: Site) -> None:
    site.write("schedules/slow.yml", SCHEDULE.format(playbook="slow"))
    server.shell(f"systemctl stop {UNIT}")
    try:
        daemon = site.start(machine="one")
        site.until("it waits", lambda: "waiting for it: the history database postgresql://ops:***@" in site.said(0), 60)
        assert daemon.poll() is None
    finally:
        server.restart()
    site.until("it is at work", lambda: "at work as" in site.said(0), 30)
    assert "the history database answers after" in site.said(0)

    # It goes with a run at work, for longer than the next due time; the run ends well, and is told so.
    site.until("a run at work", lambda: site.lines(".slow"), 100)
    server.shell(f"systemctl stop {UNIT}")
    try:
        site.until("nothing is started", lambda: "nothing is started until it can" in site.said(0), 60)
        site.until("the run waits", lambda: "waiting for it, to note that it is done" in site.said(0), 60)
        edge = datetime.now(UTC).minute
        site.until("the next due time", lambda: datetime.now(UTC).minute != edge, 70)
    finally:
        server.restart()
    site.until("it is back", lambda: site.said(0).count("at work as") == 2, 60)
    entries = site.until(
        "both runs", lambda: (told := site.past("slow")) and len(site.done("slow")) > 1 and told, 90
    )
    os.kill(daemon.pid, signal.SIGTERM)
    assert daemon.wait(90) == 0
    assert _minutes(entries) == {60.0}
    assert entries[-1]["state"] == "done"
    assert entries[-1]["exit_code"] == 0
    begun = [entry for entry in site.past("slow") if entry["run"]]
    assert len(begun) == len(site.lines(".slow"))
    # A few lines tell of the time that it was away, not one each second.
    assert site.said(0).count("cannot be used") <= 8
    assert "Traceback" not in site.said(0)
    assert "secret" not in site.said(0)


@pytest.mark.soak
def test_a_server_that_is_cut_off_without_a_word_is_given_up_soon(server: Postgres, site: Site) -> None:
    """Its packets are lost: no connection is refused or reset, and TCP alone would wait for a quarter of an hour."""
    site.write("schedules/minutely.yml", SCHEDULE.format(playbook="quick"))
    daemon = site.start(machine="one")
    site.until("it is at work", lambda: "at work as" in site.said(0), 60)
    inside = server.lab.inside(server.host)
    lost = ["blackhole", f"{server.lab.network.gateway}/32"]
    inside.run(["ip", "route", "add", *lost])
    try:
        site.until("it is given up", lambda: "nothing is started until it can" in site.said(0), 30)
        assert daemon.poll() is None
    finally:
        inside.run(["ip", "route", "del", *lost])
    site.until("it is at work again", lambda: site.said(0).count("at work as") == 2, 60)
    site.until("a run", lambda: site.done("minutely"), 120)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(60) == 0
    assert "Traceback" not in site.said(0)
