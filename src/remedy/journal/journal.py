"""The journal of a run, written ahead: what was committed is on the control machine's disk.

STATE/runs/RUN_ID/journal.jsonl has one event a line; undo.bin what undo needs; kept/HOST/ what was saved
of what goes (tails of logs, evidence, a partition table as it was), as plain files; summary.json stands beside
them once the run is over.
While a run is under way its journal.jsonl is locked (flock), so that nobody deletes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from pathlib import Path
from typing import NamedTuple

from remedy.errors import RemedyError
from remedy.events import Event, Intent
from remedy.journal import blobs, saved
from remedy.journal.disk import NO_CHANGES, create, make_folder, sync_folder, trouble, write_all, write_new
from remedy.journal.lines import write_line
from remedy.journal.sealing import Seal
from remedy.journal.summary import SUMMARY, Summing

FILE = "journal.jsonl"
KEY = "key"
FLUSH_SECONDS = 0.5  # the most that a killed remedy loses of what no write depends on
_PATIENCE = 120.0  # seconds for one fsync; a disk that takes longer is broken

# What a blob holds instead of the line: content may be large, and states may be as private as content.
_APART = frozenset({"kept", "params", "before", "want"})


class _Batch(NamedTuple):
    lines: list[bytes]
    blobs: list[bytes]
    saved: list[saved.File]
    last: int


class Journal:
    """Records the events of one run in a new folder; a Sink, and the engine's Recorder.

    Calling it only remembers; `commit` writes. Commits of many threads share one fsync. After a disk error
    every commit raises RemedyError: no write may start without its word.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE
        self._seal = Seal(folder.parent.parent / KEY)
        self._summing = Summing()
        lock = threading.RLock()
        self._turn = threading.Condition(lock)
        self._news = threading.Condition(lock)  # the tender's own: whoever waits for the disk is left asleep
        self._lines: list[bytes] = []
        self._blobs = blobs.Blobs(folder)
        self._saved = saved.Saved(folder)
        self._said = self._written = self._durable = 0
        self._size = 0
        self._writing = self._closed = False
        self._failure: RemedyError | None = None
        self._file = self._create()
        self._tender = threading.Thread(target=self._tend, name="journal", daemon=True)
        self._tender.start()

    def __call__(self, event: Event) -> None:
        """Take an event; nothing is written yet, and trouble shows at the next commit."""
        with self._turn:
            if self._closed:
                raise RemedyError(f"the journal {self._path} is closed: nothing more is recorded")
            self._said += 1
            self._summing(event)
            try:
                self._lines.append(self._line(event))
            except OSError as error:
                self._failure = self._failure or trouble(error, self._path)
            except RemedyError as error:
                self._failure = self._failure or error
            if len(self._lines) == 1:
                self._news.notify()

    def commit(self) -> None:
        """Return once everything taken before is on disk; raises RemedyError, then and ever after."""
        with self._turn:
            upto = self._said
        self._reach(upto, sync=True)

    def close(self) -> None:
        """Put the rest on disk, write the summary and let go of the lock; raises what went wrong.

        A journal that was told nothing is of a run that never began: its folder goes.
        """
        with self._turn:
            if self._closed:
                return
            self._closed = True
            self._news.notify()
        self._tender.join(_PATIENCE)
        try:
            self._reach(self._said, sync=True)
            if self._summing.ended:
                write_new(self._folder / SUMMARY, self._summing.as_json())
                sync_folder(self._folder)
            if not self._said:
                shutil.rmtree(self._folder)
        except OSError as error:
            raise trouble(error, self._path) from error
        finally:
            os.close(self._file)
            self._blobs.close()

    # -- what stands in a line

    def _line(self, event: Event) -> bytes:
        if not isinstance(event, Intent):
            return write_line(self._said, event)
        files = event.kind == "sweep" or event.irreversible is not None
        if files and event.kept and not event.secret:
            return write_line(self._said, self._saved.take(event))
        sealed = event.secret or event.sealed
        if event.kept is None and not sealed:
            return write_line(self._said, event)
        content = {name: getattr(event, name) for name in sorted(_APART)}
        blob = self._blobs.add(content, self._seal if sealed else None)
        return write_line(self._said, event, without=_APART, blob=blob)

    # -- writing: one thread at a time, and never while the others cannot speak

    def _reach(self, upto: int, *, sync: bool) -> None:
        while (batch := self._take(upto, sync=sync)) is not None:
            self._put(batch, sync=sync)

    def _take(self, upto: int, *, sync: bool) -> _Batch | None:
        """Wait for the turn to write and return what is to be written; None when others did it."""
        deadline = time.monotonic() + _PATIENCE
        with self._turn:
            while True:
                if self._failure is not None:
                    raise RemedyError(self._failure.message, hint=self._failure.hint)
                if (self._durable if sync else self._written) >= upto:
                    return None
                if not self._writing:
                    break
                if not self._turn.wait(deadline - time.monotonic()):
                    raise RemedyError(
                        f"the disk with {self._path} has not answered for {_PATIENCE:.0f} s",
                        hint=NO_CHANGES,
                    )
            self._writing = True
            batch = _Batch(self._lines, self._blobs.given(), self._saved.given(), self._said)
            self._lines = []
            return batch

    def _put(self, batch: _Batch, *, sync: bool) -> None:
        failure: RemedyError | None = RemedyError(f"writing {self._path} was interrupted", hint=NO_CHANGES)
        try:
            self._blobs.store(batch.blobs)
            saved.store(batch.saved)
            write_all(self._file, batch.lines)
            if sync:
                os.fsync(self._file)
            self._size += sum(map(len, batch.lines))
            failure = None
        except OSError as error:
            failure = trouble(error, self._path)
            self._cut()
        finally:
            with self._turn:
                self._writing = False
                self._failure = self._failure or failure
                if failure is None:
                    self._written = batch.last
                    self._durable = batch.last if sync else self._durable
                self._turn.notify_all()

    def _cut(self) -> None:
        """Take back what got no word, whole lines or half of one."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            pass  # readers tolerate a torn last line

    def _tend(self) -> None:
        """Write what nobody commits, soon; a killed remedy should leave a story."""
        while True:
            with self._news:
                self._news.wait_for(lambda: self._lines or self._closed or self._failure, timeout=60)
                self._news.wait_for(lambda: self._closed, timeout=FLUSH_SECONDS)
                if self._closed or self._failure is not None:
                    return
                upto = self._said
            try:
                self._reach(upto, sync=False)
            except RemedyError:
                return  # the next commit says it

    def _create(self) -> int:
        try:
            make_folder(self._folder)
            if self._path.exists():
                raise RemedyError(
                    f"{self._path} exists already", hint="every run has a journal of its own; start it again"
                )
            descriptor = create(self._path)
            try:
                # It is new, so nobody else runs here; who asks whether somebody does holds it for a moment.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                sync_folder(self._folder)
            except OSError:
                os.close(descriptor)
                raise
        except OSError as error:
            raise trouble(error, self._path) from error
        return descriptor
