"""A process that was killed holds nothing: who comes after it on its machine does not wait for its lease to run out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from remedy.history import open_database
from remedy.schedule.holders import process_name, surely_dead
from remedy.schedule.lease import Lease

_NAME = "from remedy.schedule.holders import process_name; print(process_name(), flush=True); input()"


def test_a_lease_of_a_dead_process_is_taken_at_once_and_a_living_ones_is_not(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        other = f"ada@machine, {child.stdout.readline().strip()}"
        database = open_database(tmp_path / "state")
        assert Lease(database, "daemon", other).take()
        mine = Lease(database, "daemon", f"me, {process_name()}")
        assert not surely_dead(other)
        assert not mine.take()
        child.kill()
        child.wait(10)
        assert surely_dead(other)
        assert mine.take()
        assert not Lease(database, "daemon", "another").take()
        database.close()


def test_what_cannot_be_known_is_not_dead() -> None:
    mine = process_name()
    assert not surely_dead(f"me, {mine}")
    pid, rest = mine.split(" (")
    elsewhere = f"{pid} (00000000-{rest.split('-', 1)[1]}"
    forged = f"process {'9' * 5000} ({rest}"
    for name in (forged, "me", "by hand, me", "process 1", elsewhere, ""):
        assert not surely_dead(name), name
