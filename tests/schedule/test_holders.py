"""A process that was killed holds nothing: who comes after it on its machine does not wait for its lease to run out."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from remedy.history import open_database
from remedy.schedule import holders
from remedy.schedule.book import Book
from remedy.schedule.holders import born, of_an_earlier_boot, process_name, surely_alive, surely_dead
from remedy.schedule.lease import Lease
from remedy.schedule.turn import Turn
from remedy.schedule.world import Ending
from tests.schedule.test_turn import Stage

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

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


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an identity of its own; its files may be changed."""
    card = tmp_path / "net" / "eth0"
    (card / "device").mkdir(parents=True)
    (tmp_path / "net" / "lo").mkdir()
    (tmp_path / "net" / "lo" / "address").write_text("00:00:00:00:00:00\n")
    (card / "address").write_text("52:54:00:12:34:56\n")
    (card / "addr_assign_type").write_text("0\n")
    (tmp_path / "machine-id").write_text(f"{'c' * 32}\n")
    monkeypatch.setattr(holders, "_ID", tmp_path / "machine-id")
    monkeypatch.setattr(holders, "_CARDS", tmp_path / "net")
    monkeypatch.setattr(holders, "_FIRST_SPACE", Path("/proc/self/ns/pid").stat().st_ino)
    return tmp_path


def of_the_boot_before(monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    """Return the name of a process of this machine, before it was booted."""
    boot = folder / "boot_id"
    boot.write_text("11111111-2222-3333-4444-555555555555\n")
    with monkeypatch.context() as patch:
        patch.setattr(holders, "_BOOT", boot)
        return f"ada@box, {process_name()}"


def test_a_process_of_an_earlier_boot_is_over(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = of_the_boot_before(monkeypatch, machine)
    assert of_an_earlier_boot(before, LONG_AGO)
    assert not surely_dead(before), "a lease runs out by itself"
    assert not surely_alive(before)
    mine = process_name()
    assert not of_an_earlier_boot(mine, LONG_AGO)
    assert surely_alive(mine)
    # Two machines have this identity: the other one has been at work since we were booted.
    assert not of_an_earlier_boot(before, datetime.now(UTC))


@pytest.mark.parametrize(
    "what", ["its id", "no id", "another card", "no card", "card by chance", "a container", "another name"]
)
def test_a_machine_that_may_be_another_one_is_another_one(
    machine: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Of one image many machines and containers are made."""
    before, card = of_the_boot_before(monkeypatch, machine), machine / "net" / "eth0"
    if what == "its id":
        (machine / "machine-id").write_text(f"{'d' * 32}\n")
    elif what == "no id":
        (machine / "machine-id").write_text("uninitialized\n")
    elif what == "another card":
        (card / "address").write_text("52:54:00:12:34:57\n")
    elif what == "no card":
        (card / "device").rmdir()
    elif what == "card by chance":
        (card / "addr_assign_type").write_text("1\n")
    elif what == "a container":
        monkeypatch.setattr(holders, "_FIRST_SPACE", 0xEFFFFFFC - 1)
    else:
        there = SimpleNamespace(nodename="box2")
        monkeypatch.setattr("remedy.schedule.holders.os.uname", lambda: there)
    assert not of_an_earlier_boot(before, LONG_AGO)


def test_names_without_a_machine_are_read(machine: Path) -> None:
    """As an older remedy wrote them, and as they are in a container."""
    mine = process_name()
    pid, rest = mine.split(" (")
    older = f"{pid} ({rest.partition('.')[2]}"
    assert older != mine
    assert surely_alive(older)
    assert not surely_dead(older)
    gone = older.replace(f"-{born(int(pid.split()[1]))}-", "-1-")
    assert surely_dead(gone)
    assert not of_an_earlier_boot(older, LONG_AGO)
    (machine / "machine-id").unlink()
    assert "." not in process_name()
    assert surely_alive(process_name())


def test_what_a_power_cut_left_is_told_by_any_turn(
    tmp_path: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing is due, or the schedule is paused: nobody would hear of it for a month."""
    database = open_database(tmp_path / "state")
    stage = Stage(tmp_path, database, when="@monthly", paused="for the move", overlap="wait")
    before = of_the_boot_before(monkeypatch, machine)
    book = Book(database, stage.schedule, before, lambda: LONG_AGO)
    for day, state in ((1, "claimed"), (2, "running")):
        assert book.claim(datetime(2020, 1, day, tzinfo=UTC))
        book.tell(datetime(2020, 1, day, tzinfo=UTC), state)
    told: list[Ending] = []
    turn = Turn(stage.schedule, replace(stage.world("tester"), ended=told.append))
    assert turn.due() == 0
    assert turn.due() == 0
    assert [(entry.due.day, entry.state, entry.reason) for entry in stage.entries()] == [
        (2, "cut off", "its process ended without a word"), (1, "cut off", "its process ended without a word")
    ]  # fmt: skip
    assert [(each.due.day, each.exit_code) for each in told] == [(1, 99), (2, 99)]
    database.close()


def test_a_run_of_another_machine_is_over_when_its_lease_is_and_a_waiting_one_is_not(tmp_path: Path) -> None:
    database = open_database(tmp_path / "state")
    stage = Stage(tmp_path, database, when="@monthly")
    book = Book(database, stage.schedule, "box two")
    for day, state in ((1, "claimed"), (2, "running")):
        assert book.claim(datetime(2020, 1, day, tzinfo=UTC))
        book.tell(datetime(2020, 1, day, tzinfo=UTC), state)
    lease = Lease(database, f"schedule:{stage.schedule.key}", "box two")
    assert lease.take()
    stage.turn().due()
    assert [entry.state for entry in stage.entries()] == ["running", "claimed"]
    lease.leave()
    stage.turn().due()
    assert [entry.state for entry in stage.entries()] == ["cut off", "claimed"]
    database.close()
