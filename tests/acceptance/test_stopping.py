"""Ctrl-C, a TERM, and a second Ctrl-C: the run ends, the books are closed, and nothing is half-written."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from remedy.events import RoundTrips, RunEnded
from remedy.journal import RunRecord
from tests.acceptance.cutting import SILENT, CuttingProxy
from tests.acceptance.operator import Result, finished
from tests.acceptance.twenty import CHANGES, changed, objects, only_run, uncovered
from tests.acceptance.twenty_hosts import Remote

SLOW = """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - copy: {dest: "{{ tree }}/first", content: "1\\n"}
    - command: sh -c 'echo $$ > {{ tree }}/busy; exec sleep 1000'
    - copy: {dest: "{{ tree }}/second", content: "2\\n"}
"""


@pytest.fixture(scope="module")
def host(host_factory) -> Any:
    return host_factory("stopped")


@pytest.fixture
def place(tmp_path, lab, host) -> Remote:
    place = Remote(tmp_path, lab, host)
    place.build()
    place.operator.write("playbooks/slow.yml", SLOW)
    return place


def wait_for(place: Remote, name: str) -> None:
    """Return when a file is in the tree."""
    script = 'for i in $(seq 6000); do [ -e "$1" ] && exit 0; sleep 0.005; done; exit 1'
    place.lab.run(place.host.name, ["sh", "-c", script, "wait", f"{place.root}/{name}"])


def end(process: subprocess.Popen[str], seconds: float) -> Result:
    """Return how a run ended, which it must do in time."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return finished(process.returncode, out, err)


def closed(state: Path) -> RunRecord:
    """Return the record of a run that was stopped: its journal has an end."""
    record = only_run(state)
    assert record is not None
    assert not record.torn
    assert record.summary.outcome == "interrupted"
    assert (record.summary.folder / "summary.json").exists()
    last = record.events[-1]
    assert isinstance(last, RunEnded)
    assert last.exit_code == 99
    return record


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_in_good_order(place, number):
    process = place.operator.start("play", "slow")
    wait_for(place, "busy")
    process.send_signal(number)
    result = end(process, 15)

    assert result.code == 99
    assert result.report["run"]["outcome"] == "interrupted"
    assert [change["object"] for change in result.report["changes"]] == [f"file:{place.root}/first"]
    assert place.agents() == []
    record = closed(place.operator.state)
    assert changed(record) == 1
    assert any(
        isinstance(event, RoundTrips) for event in record.events
    )  # the host's work had come to its end
    tree = place.look()
    assert "first" in tree
    assert "second" not in tree
    pid = place.lab.get(place.host.name, f"{place.root}/busy").decode().strip()
    assert (
        place.lab.run(place.host.name, ["kill", "-0", pid], ok=None).code != 0
    )  # the command's end came too
    assert place.operator.rollback("--yes").code == 0
    assert "first" not in place.look()


def test_in_the_middle_of_twenty_changes(place):
    for _ in range(5):
        before = place.build()
        state = place.state()
        process = place.operator.start("play", "twenty", environment={"REMEDY_STATE": str(state)})
        wait_for(place, "new.txt")
        process.send_signal(signal.SIGINT)
        result = end(process, 15)
        record = only_run(state)
        assert record is not None
        after = place.look()
        assert not uncovered(before, after, objects(record, place.root))
        assert not [path for path in after if path not in before and path.rpartition("/")[2].startswith(".")]
        assert len(result.report["changes"]) == changed(record)
        assert result.code in (99, 0)
        if record.summary.outcome == "ok":  # it was through before it heard
            assert changed(record) == CHANGES
        else:
            closed(state)
            assert result.code == 99
        assert place.agents() == []


def test_the_console_tells_what_happened(place):
    process = place.operator.start("play", "slow", json=False)
    wait_for(place, "busy")
    process.send_signal(signal.SIGINT)
    result = end(process, 15)
    assert result.code == 99
    assert f"file:{place.root}/first" in result.stdout
    assert "INTERRUPTED" in result.stdout
    assert "remedy rollback" in result.stdout


def test_a_second_interrupt_ends_at_once(tmp_path, lab, host):
    proxy = CuttingProxy((host.address, 22))
    try:
        place = Remote(tmp_path, lab, host, port=proxy.port)
        place.build()
        place.operator.write("playbooks/slow.yml", SLOW)
        process = place.operator.start("play", "slow", json=False)
        wait_for(place, "busy")
        # A host that does not answer any more: after one Ctrl-C remedy waits for it, for a minute.
        proxy.cut(proxy.pieces, how=SILENT)
        process.send_signal(signal.SIGINT)
        assert proxy.was_cut.wait(10)
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=2.0)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        result = end(process, 20)
        assert time.monotonic() - began < 3 * 2.0
        assert result.code == 99
    finally:
        proxy.close()
    assert place.agents() == []
    closed(place.operator.state)
