"""Daemons as processes, over a real history database: one acts, each due time runs once, whoever dies is replaced."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.services_lab.sites import SCHEDULE, Site

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.end()


@pytest.mark.soak
def test_two_daemons_run_each_due_time_once_and_replace_each_other(site: Site) -> None:
    site.write("schedules/minutely.yml", SCHEDULE.format(playbook="quick"))
    first = site.start()
    site.until("the first at work", lambda: "at work as" in site.said(0), 60)
    second = site.start()
    site.until("the second standing by", lambda: "another daemon is at work" in site.said(1), 60)
    site.until("a run", lambda: site.done("minutely"), 150)

    # The one at work is killed: the other one takes over, and no due time is lost or run twice.
    first.kill()
    first.wait(30)
    site.until("the second at work", lambda: "at work as" in site.said(1), 60)
    before = len(site.done("minutely"))
    # A file that comes is noticed, without a word to the daemon.
    site.write("schedules/other.yml", SCHEDULE.format(playbook="quick") + "title: Another\n")
    site.until("the new file seen", lambda: "other: next at" in site.said(1), 60)
    site.until("a run of the second's", lambda: len(site.done("minutely")) > before, 150)
    site.until("a run of the new one", lambda: site.done("other"), 60)
    # And one that goes.
    site.delete("schedules/other.yml")
    site.until("the file gone", lambda: "other: its file is gone" in site.said(1), 60)

    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0
    entries = site.past("minutely")
    assert {entry["exit_code"] for entry in entries} == {0}
    assert len(site.lines()) == len(site.done("minutely")) + 1  # and the one of the other
    dues = sorted(datetime.fromisoformat(entry["due"]) for entry in entries)
    assert [(due - dues[0]).total_seconds() for due in dues] == [60.0 * number for number in range(len(dues))]
    for entry in entries:
        late = datetime.fromisoformat(entry["updated"]) - datetime.fromisoformat(entry["due"])
        assert late.total_seconds() < 90
    assert "Traceback" not in site.said(0) + site.said(1)


@pytest.mark.soak
def test_sigterm_waits_for_the_run_and_a_second_one_ends_it(site: Site) -> None:
    site.write("schedules/slow.yml", SCHEDULE.format(playbook="slow"))
    daemon = site.start()
    site.until("a run at work", lambda: site.lines(".slow"), 150)
    daemon.send_signal(signal.SIGTERM)
    site.until("the daemon waiting", lambda: "1 at work, waiting" in site.said(0), 30)
    assert daemon.wait(90) == 0
    (entry,) = site.past("slow")
    assert (entry["state"], entry["exit_code"]) == ("done", 0)

    again = site.start()
    site.until("another run at work", lambda: len(site.lines(".slow")) == 2, 150)
    began = datetime.now(UTC)
    again.send_signal(signal.SIGTERM)
    site.until("the daemon waiting", lambda: "1 at work, waiting" in site.said(1), 30)
    again.send_signal(signal.SIGTERM)
    assert again.wait(90) == 0
    newest, _ = (entry for entry in site.past("slow") if entry["state"] == "done")
    assert newest["exit_code"] == 99
    assert (datetime.now(UTC) - began).total_seconds() < 60
