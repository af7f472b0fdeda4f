"""Locks on hosts, the state on disk, and signals: what holds when a drill is cut off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from remedy.drill.locks import taken
from remedy.drill.signals import Signals
from remedy.drill.state import Broken, Diary, State, cut_off
from remedy.errors import Refused, RemedyError

STATE = State(id="one", user="me", process=1, provider="static")
BROKEN = Broken(
    name="flag",
    file="/d.yml",
    copy="/c.yml",
    inventory="/i",
    hosts={"h1": "a"},
    keys={"h1": "a:22"},
    project="/",
    begun=True,
)


def test_a_host_is_taken_once_and_free_afterwards(tmp_path: Path):
    keys = [("h1", "10.0.0.1:22")]
    with taken(keys, tmp_path):
        with (
            pytest.raises(
                Refused, match=rf"host h1: another drill \(process {os.getpid()}\) has 10.0.0.1:22"
            ),
            taken(keys, tmp_path),
        ):
            pass
        with taken([("h2", "10.0.0.2:22")], tmp_path):
            pass
    with taken(keys, tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_lock_ends_with_the_process_that_had_it(tmp_path: Path):
    program = (
        "import sys, pathlib\nfrom remedy.drill.locks import taken\n"
        f"with taken([('h1', 'k')], pathlib.Path({str(tmp_path)!r})):\n"
        "    print('mine', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        with pytest.raises(Refused), taken([("h1", "k")], tmp_path):
            pass
        other.kill()
        other.wait(10)
        with taken([("h1", "k")], tmp_path):
            pass


def test_what_was_cut_off_is_found_and_what_is_under_way_is_not(tmp_path: Path):
    folder = tmp_path / "drills" / "one"
    diary = Diary(folder, STATE)
    diary.write(drill=BROKEN)
    assert list(cut_off(tmp_path)) == []
    assert Diary.taken_over(folder, STATE) is None
    diary.close()
    ((found, state),) = cut_off(tmp_path)
    assert (found, state.drill) == (folder, BROKEN)
    again = Diary.taken_over(folder, state)
    assert again is not None
    again.write(drill=None, closed=True)
    again.close()
    assert list(cut_off(tmp_path)) == []


def test_a_state_that_cannot_be_written_stops_the_drill(tmp_path: Path):
    (tmp_path / "drills").write_text("in the way")
    with pytest.raises(RemedyError, match="cannot keep the drill's state"):
        Diary(tmp_path / "drills" / "one", STATE)


def raised(signals: Signals, number: int = signal.SIGINT) -> bool:
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_interrupts_and_the_next_do_not(number: int):
    signals = Signals()
    before = signal.getsignal(number)
    with signals.handled():
        assert not raised(signals, number), "not armed"
        signals.asked = False
        signals.arm()
        assert raised(signals, number)
        assert not raised(signals, number)
        assert signals.asked
        signals.arm()
        assert not raised(signals, number), "who asked to stop is not asked twice"
    assert signal.getsignal(number) == before


def test_in_a_run_a_second_signal_means_at_once():
    signals = Signals()
    with signals.handled():
        signals.arm()
        with signals.in_run():
            assert [raised(signals) for _ in range(4)] == [True, True, False, False]


def test_nothing_interrupts_a_rollback():
    signals = Signals()
    with signals.handled():
        signals.arm()
        with signals.shielded():
            assert not raised(signals)
            # A terminal's Ctrl-C reaches the programs that a rollback has started, too.
            child = subprocess.run(["sh", "-c", "kill -INT $$; echo alive"], capture_output=True, timeout=10)
            assert child.stdout == b"alive\n"
        assert not signals.asked


def test_a_deadline_is_no_wish_of_the_operators():
    signals = Signals()
    with signals.handled():
        signals.arm()
        with pytest.raises(KeyboardInterrupt), signals.in_run():
            signals.ring()
        signals.ring()
        assert not signals.asked
        assert raised(signals)
