"""Schedules started by a real systemd, on a lab host that plays on other lab hosts."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from remedy.lab import Lab
from tests.conftest_lab import HostFactory
from tests.services_lab.timekeeping import MARK, PROJECT, STATE, Keeper

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]



@pytest.fixture(scope="module")
def keeper(lab: Lab, host_factory: HostFactory) -> Keeper:
    host_factory("clock")
    host_factory("web1")
    keeper = Keeper(lab, "clock", ("web1",))
    keeper.furnish()
    keeper.put(f"{PROJECT}/playbooks/mark.yml", MARK)
    return keeper


def _add(keeper: Keeper, name: str, *words: str) -> None:
    keeper.remedy("schedule", "add", name, "--playbook", "mark", "--mode", "play", "--zone", "UTC", *words,
                  "--private-key", "/root/lab_key")  # fmt: skip
    keeper.lab.run(keeper.name, ["chown", "-R", "admin:admin", STATE, PROJECT])


def _marks(keeper: Keeper) -> list[int]:
    text = keeper.lab.run("web1", ["sh", "-c", "cat /srv/times 2>/dev/null || :"]).stdout
    return [int(line) for line in text.split()]


def _export(keeper: Keeper, name: str) -> str:
    done = keeper.remedy("schedule", "export", name, "--systemd", "--install", "--run-as", "admin",
                         "--private-key", "/root/lab_key")  # fmt: skip
    return str(done.stderr)


@pytest.mark.soak
def test_a_timer_fires_and_plays_on_another_host(keeper: Keeper) -> None:
    _add(keeper, "minutely", "--when", "every 1 minute")
    said = _export(keeper, "minutely")
    assert "remedy-ops-minutely.timer is at work, next at" in said
    units = [f"/etc/systemd/system/remedy-ops-minutely.{ending}" for ending in ("timer", "service")]
    keeper.lab.run(keeper.name, ["systemd-analyze", "verify", *units])
    assert "as it was" in _export(keeper, "minutely")

    done = keeper.until(
        "a timer that fired", lambda: [e for e in keeper.past("minutely") if e["state"] == "done"], 150
    )
    keeper.remedy("schedule", "remove", "minutely")
    (first, *_) = reversed(done)
    assert first["exit_code"] == 0
    assert first["due"].endswith(":00Z")
    assert first["holder"].startswith("admin@clock")
    assert len(_marks(keeper)) >= 1
    # The run is in the journal as any other one, made by the account that the service runs as.
    told = keeper.remedy("history", first["run"], user="admin").stdout
    assert "web1: lineinfile: file:/srv/times" in told
    journal = keeper.lab.run(
        keeper.name, ["sh", "-c", f"cat {STATE}/runs/{first['run']}/*.jsonl"], user="admin"
    )
    assert '"schedule","run","minutely","--due","now"' in journal.stdout.replace(" ", "")
    # The key was never readable for that account.
    assert keeper.lab.run(keeper.name, ["cat", "/root/lab_key"], user="admin", ok=None).code != 0
    assert keeper.lab.run(keeper.name, ["ls", *units], ok=None).code != 0


@pytest.mark.soak
def test_powered_off_over_three_times_and_booted_outside_the_window_nothing_runs(keeper: Keeper) -> None:
    """Due every minute; off from the third minute on, back when the window is closed: all is told, nothing runs."""
    keeper.lab.run("web1", ["rm", "-f", "/srv/times"])
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    closes = now + timedelta(minutes=3)
    window = f"daily {now:%H:%M} to {closes:%H:%M}"
    _add(keeper, "night", "--when", "every 1 minute", "--window", window, "--missed", "once")
    _export(keeper, "night")
    keeper.until(
        "a run inside the window", lambda: [e for e in keeper.past("night") if e["state"] == "done"], 100
    )
    keeper.power_off()
    off = datetime.now(UTC)
    time.sleep(max(0.0, (off + timedelta(minutes=3, seconds=20) - datetime.now(UTC)).total_seconds()))
    ran = _marks(keeper)
    keeper.power_on()
    assert datetime.now(UTC) > closes

    def looked() -> list[dict[str, object]]:
        told = keeper.past("night")
        return told if any("outside its windows" in str(entry["reason"]) for entry in told) else []

    told = keeper.until("a timer that fired after the boot", looked, 150)
    keeper.remedy("schedule", "remove", "night")
    assert _marks(keeper) == ran
    assert all(datetime.fromtimestamp(mark, UTC) < closes for mark in ran)
    off_then = [entry for entry in told if "the machine was off" in str(entry["reason"])]
    assert len(off_then) >= 3
    assert {entry["state"] for entry in off_then} <= {"missed", "skipped"}
    # Each due time since the first is there, once.
    times = sorted(datetime.fromisoformat(str(entry["due"])) for entry in told)
    steps = {later - earlier for earlier, later in pairwise(times)}
    assert steps == {timedelta(minutes=1)}
