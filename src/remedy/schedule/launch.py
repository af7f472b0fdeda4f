"""What becomes of a due time that was claimed: it waits for its moment and for the run before it, then its run begins.

Until then everything may change: its window closes, somebody pauses it, its file becomes another one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from remedy.errors import InputError, Interrupted, Refused, RemedyError
from remedy.history import HistoryError
from remedy.schedule.book import DONE, ENDED_SILENTLY, REFUSED, RUNNING, Book, Entry
from remedy.schedule.broken import note
from remedy.schedule.decide import SKIPPED, span
from remedy.schedule.file import is_gone
from remedy.schedule.lease import Lease, runs_lease
from remedy.schedule.model import PLAY, WAIT, Schedule
from remedy.schedule.times import Due
from remedy.schedule.world import Ending, World

_POLL = 2.0  # seconds between two looks at who is at work, or whether the database is back
# Seconds for a database that is away: a run that is over waits to have it noted, one that begins must not be late.
_BEFORE, _AFTER = 60.0, 600.0


class _Closed(RemedyError):
    """The window has closed between the claim and the start, or the schedule's file is another one by now."""


class Launch:
    """Starts what a turn has claimed."""

    def __init__(self, schedule: Schedule, world: World, book: Book) -> None:
        self.schedule = schedule
        """As its file said when it was read last."""
        self.over = False
        """Nothing more may start: the file is not what it was, or somebody ends this process."""
        self.told = False
        """Of the claimed time: its run is, or was, at work."""
        self.by_hand = self.anyway = False
        self.lease = Lease(world.database, runs_lease(schedule), world.holder)
        self._world = world
        self._book = book

    def start(self, due: Due) -> int:
        """Run a claimed due time after its jitter; return the exit code, 0 where it does not start after all."""
        world, schedule = self._world, self.schedule
        try:
            start = due.at + schedule.late_by(due)
            if (left := (start - world.now()).total_seconds()) > 0:
                world.say(
                    f"{schedule.name}: due at {due.at:%H:%M:%S} UTC, starts {span(start - due.at)} later (jitter)"
                )
                world.sleep(left)
        except KeyboardInterrupt:
            self._book.tell(due.at, SKIPPED, reason="interrupted before it began", exit_code=99)
            raise
        if not self._still(due.at):
            return 0
        following = next(self.schedule.dues(due.at), None)
        return self.run(due.at, due.at + timedelta(days=1) if following is None else following.at)

    def run(self, at: datetime, until: datetime) -> int:
        """Run a claimed time; `until`: where overlaps wait, no longer than that, nor than the window is open."""
        try:
            if trouble := self._wait(until):
                self._book.tell(at, SKIPPED, reason=trouble, exit_code=Refused.exit_code)
                self._world.ended(Ending(due=at, reason=trouble, exit_code=Refused.exit_code))
                raise Refused(f"the schedule '{self.schedule.name}' does not run: {trouble}")
        except KeyboardInterrupt:
            self._book.tell(at, SKIPPED, reason="interrupted before it began", exit_code=99)
            raise
        with self.lease.kept(self._lost, self._book.tell_again):
            for entry in self._book.cut_off():
                self.cut_off(entry)
            return self._play(at)

    def _lost(self, holder: str) -> None:
        self._world.say(f"{self.schedule.name}: another one may begin a run beside this one: {holder}")

    def _still(self, at: datetime) -> bool:
        """Read the file again, and say whether a claimed time may still start: who waits may wait for a day.

        What it says now counts, its permission too. Why it may not is recorded and told; raises InputError where the
        file cannot be used, Refused where somebody has started it by hand.
        """
        try:
            why = self.reread(at)
        except InputError as error:
            self._leave(at, f"its file could not be used: {error.where}: {error.message}", error.exit_code)
            raise
        why = why or self._shut()
        return why is None or self._leave(at, why)

    def _shut(self) -> str | None:
        """Return why nothing of it may start now, None where it may."""
        schedule = self.schedule
        if self.anyway:
            return None
        return schedule.opening.closed(self._world.now()) if schedule.paused is None else f"paused: {schedule.paused}"

    def reread(self, at: datetime | None = None) -> str | None:
        """Read the file again; return why nothing of it may start any more. Raises InputError where it is broken.

        `at`: a due time that is claimed, or about to be; where the new plan has it, too, it may start, for nobody else
        will.
        """
        world, before = self._world, self.schedule
        if world.again is None:
            return None
        try:
            self.schedule = world.again()
        except InputError as error:
            self.over = True
            if is_gone(before.path):
                return "its file was removed meanwhile"
            note(world.state, before.path, f"{error.where}: {error.message}")
            raise
        if self.schedule.planned != before.planned and not self.by_hand:
            self.over = True  # the next turn sees to its new due times
            if at is not None and self._is_due(at):
                return None
            return f"its times were changed meanwhile: {self.schedule.planned}"
        return None

    def _is_due(self, at: datetime) -> bool:
        due = next(self.schedule.dues(at - timedelta(seconds=1)), None)
        return due is not None and due.at == at and not due.gap

    def _leave(self, at: datetime, reason: str, code: int | None = None) -> bool:
        """Record and tell that a claimed time does not run after all; return False."""
        world, name = self._world, self.schedule.name
        code = Refused.exit_code if code is None and self.by_hand else code
        self._tell(at, SKIPPED, reason=reason, exit_code=code)
        self.told = True
        world.ended(Ending(due=at, reason=reason, exit_code=code))
        world.say(f"{name}: {at:%Y-%m-%dT%H:%M:%SZ} {SKIPPED}: {reason}")
        if code == Refused.exit_code:
            raise Refused(f"the schedule '{name}' does not run now: {reason}")
        return False

    def cut_off(self, entry: Entry, why: str | None = None) -> None:
        """Tell of a run whose end nobody has recorded."""
        world, run = self._world, f"the run {entry.run}" if entry.run else "it"
        reason = f"{run} was cut off: {why or ENDED_SILENTLY}"
        world.say(f"{self.schedule.name}: {entry.due:%Y-%m-%dT%H:%M:%SZ} {reason}")
        world.ended(Ending(due=entry.due, reason=reason, exit_code=Interrupted.exit_code))

    def _wait(self, until: datetime) -> str | None:
        """Take the lease on the schedule's runs; return why it cannot be had."""
        world, schedule = self._world, self.schedule
        said = False
        while not self.lease.take():
            overlap = f"overlap: {self.lease.whose() or 'another process'} is still at work on it"
            if schedule.overlap != WAIT:
                return overlap
            now = world.now()
            closed = schedule.opening.closed(now)
            if now >= until or closed is not None:
                return f"{overlap}, and so it was until {closed or 'the next due time'}"
            if not said:
                world.say(f"{schedule.name}: waits ({overlap})")
                said = True
            world.sleep(_POLL)
        return None

    def _play(self, at: datetime) -> int:
        schedule = self.schedule
        began: list[str] = []

        def look() -> None:
            try:
                why = self.reread() or self._shut()
            except InputError as error:
                raise _Closed(f"its file could not be used: {error.where}: {error.message}") from error
            if why is None and self.schedule.document != schedule.document:
                why = "its file was changed meanwhile"  # what is played has been read from the one before
            if why is not None:
                raise _Closed(why)

        def begin(run: str) -> None:
            began.append(run)
            self._tell(at, RUNNING, run=run)
            look()  # to have all that noted may have taken minutes
            self.told = True

        def end(state: str, code: int, reason: str | None = None) -> None:
            self.told = True
            try:
                self._tell(at, state, exit_code=code, reason=reason)
            except HistoryError as error:  # the run is what it is, and its journal tells of it
                self._world.say(f"{schedule.name}: how it ended is not in the history: {error.message}")
            run = began[-1] if began else None
            try:
                self._world.ended(Ending(due=at, run=run, reason=reason, exit_code=code))
            except KeyboardInterrupt:
                # The run is over and recorded: whoever ends this process now ends the telling, and no other run begins.
                self.over = True
                self._world.say(f"{schedule.name}: told to end while it told how the run ended; not all may know")

        self._tell(at, RUNNING)
        if not self._still(at):
            return 0
        schedule = self.schedule
        try:
            refuse_expired(schedule, self._world.now())
            code = self._world.play(begin)
        except _Closed as closed:
            broken = closed.__cause__
            self._leave(at, closed.message, broken.exit_code if isinstance(broken, InputError) else None)
            if isinstance(broken, InputError):
                raise broken from None
            return 0
        except RemedyError as error:
            end(REFUSED if isinstance(error, Refused) else DONE, error.exit_code, error.message)
            raise
        except KeyboardInterrupt:
            end(DONE, Interrupted.exit_code, "interrupted")
            raise
        except BaseException as error:
            end(DONE, 1, f"internal error: {type(error).__name__}")
            raise
        end(REFUSED if code == Refused.exit_code else DONE, code)
        return code

    def _tell(self, at: datetime, state: str, **told: Any) -> None:
        """Have the book tell what became of a due time; a database that is away is waited for. Raises HistoryError."""
        world, waited = self._world, 0.0
        patience = _BEFORE if state == RUNNING else _AFTER
        while True:
            try:
                self._book.tell(at, state, **told)
                return
            except HistoryError as error:
                if waited >= patience:
                    raise
                if not waited:
                    world.say(
                        f"{self.schedule.name}: {error.message}; waiting for it, to note that it is {state}"
                    )
            world.sleep(_POLL)
            waited += _POLL


def refuse_expired(schedule: Schedule, now: datetime) -> None:
    """Raise Refused where a permission is over: nobody stands for what would happen."""
    permission = schedule.permission
    if schedule.mode == PLAY and permission is not None and permission.expired(now, schedule.zone):
        kinds = " and ".join(sorted(permission.kinds))
        raise Refused(
            f"the permission of the schedule '{schedule.name}' ({kinds}) ended on {permission.until}; "
            f"it was granted by {permission.by}",
            where=schedule.document["permission"].values_at.get("until"),
            hint="who grants it writes a new day; nothing was contacted",
        )
