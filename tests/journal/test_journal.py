"""The journal keeps its word: what was committed is on disk, and without disk there is no word."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from remedy.errors import RemedyError
from remedy.events import Intent, RunStarted, Warned
from remedy.journal import Journal, disk, is_active, read_run
from tests.journal import telling


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "runs" / "20250102-030405-ab"


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_bytes().splitlines()]


def test_what_was_committed_is_in_the_file_in_order(folder: Path) -> None:
    journal = Journal(folder)
    journal(telling.started(folder.name))
    journal(telling.intent())
    journal.commit()
    found = lines(folder)
    assert [(line["seq"], line["event"]) for line in found] == [(1, "RunStarted"), (2, "Intent")]
    assert not {"kept", "params", "before", "want"} & set(found[1])
    at, size, name = found[1]["blob"]
    assert sha256((folder / "undo.bin").read_bytes()[at : at + size]).hexdigest() == name
    journal.close()


def test_a_journal_from_before_schedules_were_named_is_read(folder: Path) -> None:
    journal = Journal(folder)
    journal(telling.started(folder.name, schedule="nightly"))
    journal.close()
    assert isinstance(begun := read_run(folder).events[0], RunStarted)
    assert begun.schedule == "nightly"
    path = folder / "journal.jsonl"
    path.write_text(path.read_text().replace(',"schedule":"nightly"', ""))
    assert isinstance(begun := read_run(folder).events[0], RunStarted)
    assert begun.schedule == ""


def test_only_the_operator_can_read_it(folder: Path) -> None:
    previous = os.umask(0)
    try:
        telling.write(folder.parent.parent, folder.name, [telling.intent(), telling.intent(secret=True)])
    finally:
        os.umask(previous)
    state = folder.parent.parent
    found = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in [state, *state.rglob("*")]}
    assert found == {(True, 0o700), (False, 0o600)}
    assert (folder / "undo.bin").is_file()


def test_undo_content_survives_the_round_trip(folder: Path) -> None:
    kept = {"path": "/etc/motd", "entries": [{"name": "", "content": bytes(range(256))}], "made": []}
    given = telling.intent(
        kept=kept, params={"content": "caf\udce9", "n": 1}, object="file:/tmp/\udcff\n\u2028"
    )
    telling.write(folder.parent.parent, folder.name, [given])
    record = read_run(folder)
    line = record.lines[1]
    assert isinstance(line.event, Intent)
    assert line.event.kept is None
    assert record.intent(line) == given


def test_secrets_are_sealed_on_disk_and_open_for_undo(folder: Path) -> None:
    given = telling.intent(
        secret=True,
        kept={"state": {"hash": b"hunter2"}},
        params={"password": "hunter2"},
        want={"p": "hunter2"},
    )
    telling.write(folder.parent.parent, folder.name, [given])
    for path in folder.rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes()
    record = read_run(folder)
    assert record.intent(record.lines[1]) == given


def test_another_key_is_named(folder: Path) -> None:
    telling.write(folder.parent.parent, folder.name, [telling.intent(secret=True)])
    (folder.parent.parent / "key").write_bytes(bytes(32))
    record = read_run(folder)
    with pytest.raises(RemedyError, match=r"was not sealed with the key in .*/key"):
        record.intent(record.lines[1])


def test_a_damaged_blob_is_not_given_to_undo(folder: Path) -> None:
    telling.write(folder.parent.parent, folder.name, [telling.intent()])
    blob = folder / "undo.bin"
    blob.write_bytes(blob.read_bytes().replace(b"old", b"bad"))
    record = read_run(folder)
    with pytest.raises(RemedyError, match="is damaged"):
        record.intent(record.lines[1])


def test_the_key_is_made_once(folder: Path) -> None:
    state = folder.parent.parent
    telling.write(state, "a", [telling.intent(secret=True)])
    key = (state / "key").read_bytes()
    telling.write(state, "b", [telling.intent(secret=True)])
    assert (state / "key").read_bytes() == key
    assert sorted(path.name for path in state.iterdir()) == ["key", "runs"]


def test_odd_values_from_a_playbook_do_not_stop_the_journal(folder: Path) -> None:
    import datetime

    result = {datetime.date(2025, 1, 2): {3, 1}, (1, 2): b"\xff", "when": datetime.date(2025, 1, 2)}
    telling.write(folder.parent.parent, folder.name, [telling.done(result=result)])
    event = read_run(folder).events[1]
    assert event.result == {  # type: ignore[attr-defined]
        "2025-01-02": [1, 3],
        "(1, 2)": "\udcff",
        "when": "2025-01-02",
    }


@pytest.mark.timeout(60)
def test_commits_at_once_share_a_sync_and_each_waits_for_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(folder)
    plain = os.fsync
    synced = []
    first = threading.Event()
    others = threading.Event()

    def slow(descriptor: int) -> None:
        if descriptor == journal._file:
            synced.append(descriptor)
            first.set()
            assert others.wait(20)
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", slow)

    def commit(number: int) -> None:
        journal(telling.intent(change=str(number), kept=None))
        emitted.release()
        journal.commit()
        on_disk = {line["change"] for line in lines(folder)}
        seen.append(str(number) in on_disk)

    emitted = threading.Semaphore(0)
    seen: list[bool] = []
    threads = [threading.Thread(target=commit, args=(number,)) for number in range(40)]
    threads[0].start()
    assert first.wait(20)
    for thread in threads[1:]:
        thread.start()
    for _ in threads:
        assert emitted.acquire(timeout=20)  # events pass while a sync is under way
    others.set()
    for thread in threads:
        thread.join(20)
    assert seen == [True] * 40
    assert len(synced) == 2
    journal.close()


@pytest.mark.parametrize("broken", ["fsync", "write"])
def test_a_full_disk_fails_this_commit_and_every_later_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    journal = Journal(folder)
    journal(telling.started(folder.name))
    journal.commit()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, broken, full)
        journal(telling.intent(kept=None))
        with pytest.raises(RemedyError, match=r"journal.jsonl: No space left on device\n  nothing on a host"):
            journal.commit()
    with pytest.raises(RemedyError, match="No space left"):
        journal.commit()
    with pytest.raises(RemedyError, match="No space left"):
        journal.close()
    assert [line["seq"] for line in lines(folder)] == [1]


def test_a_line_that_half_fitted_is_taken_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(folder)
    journal(telling.started(folder.name))
    journal.commit()
    plain = os.write
    calls = []

    def filling(descriptor: int, data: bytes) -> int:
        calls.append(descriptor)
        if len(calls) == 1:
            return plain(descriptor, bytes(data[:10]))
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", filling)
        journal(Warned(message="x"))
        with pytest.raises(RemedyError, match="No space left"):
            journal.commit()
    assert len(lines(folder)) == 1
    with pytest.raises(RemedyError):
        journal.close()


def test_a_key_that_cannot_be_written_fails_the_commit(folder: Path) -> None:
    (folder.parent.parent).mkdir(parents=True)
    (folder.parent.parent / "key").mkdir()
    journal = Journal(folder)
    journal(telling.intent(secret=True))
    with pytest.raises(RemedyError, match="cannot read the key"):
        journal.commit()
    with pytest.raises(RemedyError, match="cannot read the key"):
        journal.close()


def test_what_nobody_commits_is_written_soon(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from remedy.journal import disk
    from remedy.journal import journal as module

    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.01)
    written = threading.Event()

    def telling_write(descriptor: int, parts: list[bytes]) -> None:
        disk.write_all(descriptor, parts)
        written.set()

    monkeypatch.setattr(module, "write_all", telling_write)
    journal = Journal(folder)
    journal(Warned(message="slow"))
    assert written.wait(20)
    assert lines(folder)[0]["message"] == "slow"
    journal.close()


def test_the_run_is_locked_until_it_is_closed(folder: Path) -> None:
    journal = Journal(folder)
    assert is_active(folder)
    journal.close()
    assert not is_active(folder)
    journal.close()
    with pytest.raises(RemedyError, match="is closed"):
        journal(Warned(message="late"))


def test_whoever_asks_whether_it_runs_does_not_keep_it_from_beginning(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking: list[threading.Timer] = []

    def create(path: Path) -> int:
        """Make it, and be looked at before it is locked."""
        descriptor = disk.create(path)
        other = os.open(path, os.O_RDONLY)
        fcntl.flock(other, fcntl.LOCK_SH)
        asking.append(threading.Timer(0.2, os.close, [other]))
        asking[0].start()
        return descriptor

    monkeypatch.setattr("remedy.journal.journal.create", create)
    journal = Journal(folder)
    journal(telling.started(folder.name))
    journal.commit()
    asking[0].join()
    assert is_active(folder)
    journal.close()
    assert not is_active(folder)


def test_two_runs_never_share_a_journal(folder: Path) -> None:
    journal = Journal(folder)
    journal(Warned(message="begun"))
    journal.close()
    with pytest.raises(RemedyError, match="exists already"):
        Journal(folder)


def test_a_run_that_never_began_leaves_no_journal(folder: Path) -> None:
    Journal(folder).close()
    assert not folder.exists()


def test_a_state_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(RemedyError, match=r"cannot write the journal at .*/state"):
        Journal(tmp_path / "state" / "runs" / "a")
