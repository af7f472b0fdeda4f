"""One turn of a schedule: what has come due is claimed and run, what did not run is recorded with its reason.

The same for a timer, a crontab line, the daemon and somebody's hand.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct

from remedy.errors import InputError, Interrupted, Refused, RemedyError, first_of
from remedy.history import Database, HistoryError
from remedy.schedule import clock
from remedy.schedule.away import Away, note_and_tell
from remedy.schedule.book import BY_HAND, DONE, ENDED_SILENTLY, REFUSED, RUNNING, Book, Entry
from remedy.schedule.broken import Broken, note
from remedy.schedule.decide import SKIPPED, Decision, decide, span
from remedy.schedule.file import written_at
from remedy.schedule.lease import Lease, runs_lease
from remedy.schedule.model import PLAY, WAIT, Schedule
from remedy.schedule.times import Due, between

Play = Callable[[Callable[[str], None]], int]
"""Plays or diagnoses; it tells the id of its run when that begins, and returns the exit code or raises RemedyError."""

_POLL = 2.0  # seconds between two looks at who is at work, or whether the database is back
# Seconds for a database that is away: a run that is over waits to have it noted, one that begins must not be late.
_BEFORE, _AFTER = 60.0, 600.0
_ENDING = timedelta(seconds=5)  # a service that ends, with a large margin
_EARLY = timedelta(seconds=2)  # a daemon's clock and ours may disagree by that


class Ending(Struct, frozen=True, kw_only=True):
    """How a due time ended, for whoever is to be told; `run` None where nothing began, `exit_code` None: skipped."""

    due: datetime
    run: str | None = None
    reason: str | None = None
    exit_code: int | None = None


class _Closed(RemedyError):
    """The window has closed between the claim and the start, or the schedule's file is another one by now."""


class World(Struct, frozen=True, kw_only=True):
    """What a turn needs of the world around it; tests bring their own clock."""

    database: Database
    state: Path
    holder: str
    play: Play
    say: Callable[[str], None]
    sleep: Callable[[float], None]
    again: Callable[[], Schedule] | None = None
    """Reads the schedule's file once more; what is played and told from then on is what it says."""
    ended: Callable[[Ending], None] = lambda ending: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class Turn:
    """A schedule's turn."""

    def __init__(self, schedule: Schedule, world: World) -> None:
        self._schedule = schedule
        self._world = world
        self._book = Book(world.database, schedule, world.holder, world.now)
        self._lease = Lease(world.database, runs_lease(schedule), world.holder)
        self._claimed: datetime | None = None
        self._told = False  # of the claimed time: its run is, or was, at work
        self._by_hand = self._anyway = False
        self._over = False  # nothing more may start: the file is not what it was, or somebody ends this process

    def due(self, at: datetime | None = None) -> int:
        """Run what is due now, or at a due time; return the exit code, 0 where nothing is to be done."""
        try:
            return self._due(at)
        except HistoryError as error:
            self._away(error, at)
            raise

    def _due(self, at: datetime | None) -> int:
        world, schedule = self._world, self._schedule
        now = world.now()
        reading = clock.reading_file(world.state, schedule.path)
        story, away = clock.peek(reading), Away(world.state, schedule.path, schedule.grace)
        written = written_at(schedule.path)
        broken = Broken(world.state, schedule.path, schedule.grace, written)

        def settle() -> None:
            """Forget what kept anything from starting: it is on record, and until then it must not be lost."""
            clock.keep(reading, story)
            broken.over()
            away.over()

        upto = now if at is None else self._checked(at, now)
        for entry in self._book.cut_off(self._lease.keeper, away.why):
            self._cut_off(entry, away.why(entry.due))
        begun = self._book.begin(now, schedule.grace, written)
        if back := story.set_back():
            world.say(f"{back}: due times that were handled before that are not handled again")
        passed = self._book.open(between(schedule.rules, schedule.zone, begun, upto))
        if at is None and not passed and (soon := self._soon(now)) is not None:
            world.sleep(soon)
            if why := self._reread():
                world.say(f"{schedule.name}: {why}")
                return 0
            passed = self._book.open(between(schedule.rules, schedule.zone, begun, world.now()))
        if at is not None and (not passed or passed[-1].at != upto):
            self._handled(upto)
        elif not passed:
            world.say(f"{schedule.name}: nothing is due")
        if not passed:
            settle()
        code = 0
        while passed:
            decision = decide(
                self._schedule,
                passed,
                world.now(),
                lambda due: broken.why(due) or away.why(due.at) or story.why(due),
                self._book.overlaps(passed),
            )
            self._record(decision)
            if decision.start is None:
                if decision.waiting is None:
                    settle()
                return code
            claimed = self._book.claim(decision.start.at, decision.late or None)
            self._claimed, self._told = decision.start.at, not claimed
            settle()
            try:
                ended = self._start(decision.start) if claimed else self._handled(decision.start.at)
                code = first_of(code, ended)
            except HistoryError:
                raise
            except RemedyError as error:
                if first_of(code, error.exit_code) == error.exit_code:
                    raise
                world.say(f"{schedule.name}: {error}")  # an earlier run of this turn ended worse
                return code
            if self._over:
                return code
            # What came while it was at work: nobody else may have been there to start it.
            since = self._book.begin(world.now())
            passed = self._book.open(between(schedule.rules, schedule.zone, since, world.now()))
        return code

    def by_hand(self, *, anyway: bool = False) -> int:
        """Run it now, whatever is due; windows and a pause hold unless `anyway`. Raises Refused."""
        schedule, now = self._schedule, self._world.now()
        paused = None if schedule.paused is None else f"it is paused: {schedule.paused}"
        closed = paused or schedule.opening.closed(now)
        if closed is not None and not anyway:
            raise Refused(
                f"the schedule '{schedule.name}' does not run now: {closed}",
                hint="--anyway runs it all the same; its permission holds in any case",
            )
        self._by_hand, self._anyway = True, anyway
        self._book.begin(now)
        # Never a due time's moment, nor that at which the plan was first seen.
        at = now.replace(microsecond=max(now.microsecond, 1)) + timedelta(microseconds=1)
        if not self._book.claim(at, BY_HAND if closed is None else f"{BY_HAND}, although {closed}"):
            raise Refused(f"the schedule '{schedule.name}' was started at this very moment by somebody else")
        return self._run(at, at + timedelta(days=1))

    def _soon(self, now: datetime) -> float | None:
        """Return the seconds until a due time that comes while this process ends: no timer starts it a second time."""
        following = next(self._schedule.dues(now), None)
        if following is None or following.at - now > _ENDING:
            return None
        return (following.at - now).total_seconds() + 0.01

    def _checked(self, at: datetime, now: datetime) -> datetime:
        """Return a moment, which must be a due time that has come; raises InputError."""
        schedule = self._schedule
        try:
            near = next(schedule.dues(at - timedelta(seconds=1)), None)
        except OverflowError:  # of the first year or the last one that a calendar has
            near = None
        if near is None or near.at != at.astimezone(UTC):
            following = "" if near is None else f"; the next one after it is {near.at:%Y-%m-%dT%H:%M:%SZ}"
            raise InputError(
                f"{at.isoformat()} is no due time of '{schedule.name}'",
                hint=f"due times are: {schedule.planned}{following}",
            )
        if at > now + _EARLY:
            raise InputError(
                f"{at.isoformat()} has not come yet",
                hint=f"it is {now:%Y-%m-%dT%H:%M:%SZ}; without --due it runs now, by hand",
            )
        return at.astimezone(UTC)

    def _handled(self, at: datetime) -> int:
        entry = self._book.find(at)
        what = (
            "was before the schedule was first seen"
            if entry is None
            else f"is handled already ({entry.state}"
        )
        more = "" if entry is None else f"{': ' + entry.reason if entry.reason else ''}, by {entry.holder})"
        self._world.say(f"{self._schedule.name}: {at:%Y-%m-%dT%H:%M:%SZ} {what}{more}")
        return 0

    def _record(self, decision: Decision) -> None:
        self._book.skip(decision.skipped)
        name = self._schedule.name
        for each in decision.skipped[-10:]:
            self._world.say(f"{name}: {each.due.at:%Y-%m-%dT%H:%M:%SZ} {each.state}: {each.reason}")
        if decision.skipped:
            last, more = decision.skipped[-1], len(decision.skipped) - 1
            before = f"; {more} due times before it passed without a run, too" if more else ""
            self._world.ended(Ending(due=last.due.at, reason=f"{last.reason}{before}"))
        if decision.waiting is not None and decision.opens is not None:
            self._world.say(
                f"{name}: {decision.waiting.at:%Y-%m-%dT%H:%M:%SZ} was missed, and waits for its window, "
                f"which opens at {decision.opens:%Y-%m-%dT%H:%M:%SZ}"
            )

    def _start(self, due: Due) -> int:
        world, schedule = self._world, self._schedule
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
        following = next(schedule.dues(due.at), None)
        return self._run(due.at, due.at + timedelta(days=1) if following is None else following.at)

    def _run(self, at: datetime, until: datetime) -> int:
        """Run a claimed time; `until`: where overlaps wait, no longer than that, nor than the window is open."""
        try:
            if trouble := self._wait(until):
                self._book.tell(at, SKIPPED, reason=trouble, exit_code=Refused.exit_code)
                self._world.ended(Ending(due=at, reason=trouble, exit_code=Refused.exit_code))
                raise Refused(f"the schedule '{self._schedule.name}' does not run: {trouble}")
        except KeyboardInterrupt:
            self._book.tell(at, SKIPPED, reason="interrupted before it began", exit_code=99)
            raise
        with self._lease.kept(self._lost, self._book.tell_again):
            for entry in self._book.cut_off():
                self._cut_off(entry)
            return self._play(at)

    def _lost(self, holder: str) -> None:
        self._world.say(f"{self._schedule.name}: another one may begin a run beside this one: {holder}")

    def _away(self, error: HistoryError, at: datetime | None) -> None:
        """Remember that the history cannot be used, and tell of what therefore does not run, if anything."""
        world, schedule = self._world, self._schedule

        def tell(due: datetime, reason: str) -> None:
            if not self._told:
                world.ended(Ending(due=due, reason=reason, exit_code=error.exit_code))

        note_and_tell(world.state, schedule, error.message, world.now(), self._claimed or at, tell)

    def _still(self, at: datetime) -> bool:
        """Read the file again, and say whether a claimed time may still start: who waits may wait for a day.

        What it says now counts, its permission too. Why it may not is recorded and told; raises InputError where the
        file cannot be used, Refused where somebody has started it by hand.
        """
        try:
            why = self._reread()
        except InputError as error:
            self._leave(at, f"its file could not be used: {error.where}: {error.message}", error.exit_code)
            raise
        why = why or self._shut()
        return why is None or self._leave(at, why)

    def _shut(self) -> str | None:
        """Return why nothing of it may start now, None where it may."""
        schedule = self._schedule
        if self._anyway:
            return None
        return schedule.opening.closed(self._world.now()) if schedule.paused is None else f"paused: {schedule.paused}"

    def _reread(self) -> str | None:
        """Read the file again; return why nothing of it may start any more. Raises InputError where it is broken."""
        world, before = self._world, self._schedule
        if world.again is None:
            return None
        try:
            self._schedule = world.again()
        except InputError as error:
            self._over = True
            if not before.path.exists():
                return "its file was removed meanwhile"
            note(world.state, before.path, f"{error.where}: {error.message}")
            raise
        if self._schedule.planned != before.planned and not self._by_hand:
            self._over = True  # the next turn sees to its new due times
            return f"its times were changed meanwhile: {self._schedule.planned}"
        return None

    def _leave(self, at: datetime, reason: str, code: int | None = None) -> bool:
        """Record and tell that a claimed time does not run after all; return False."""
        world, name = self._world, self._schedule.name
        code = Refused.exit_code if code is None and self._by_hand else code
        self._tell(at, SKIPPED, reason=reason, exit_code=code)
        self._told = True
        world.ended(Ending(due=at, reason=reason, exit_code=code))
        world.say(f"{name}: {at:%Y-%m-%dT%H:%M:%SZ} {SKIPPED}: {reason}")
        if code == Refused.exit_code:
            raise Refused(f"the schedule '{name}' does not run now: {reason}")
        return False

    def _cut_off(self, entry: Entry, why: str | None = None) -> None:
        world, run = self._world, f"the run {entry.run}" if entry.run else "it"
        reason = f"{run} was cut off: {why or ENDED_SILENTLY}"
        world.say(f"{self._schedule.name}: {entry.due:%Y-%m-%dT%H:%M:%SZ} {reason}")
        world.ended(Ending(due=entry.due, reason=reason, exit_code=Interrupted.exit_code))

    def _wait(self, until: datetime) -> str | None:
        """Take the lease on the schedule's runs; return why it cannot be had."""
        world, schedule = self._world, self._schedule
        said = False
        while not self._lease.take():
            overlap = f"overlap: {self._lease.whose() or 'another process'} is still at work on it"
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
        schedule = self._schedule
        began: list[str] = []

        def look() -> None:
            try:
                why = self._reread() or self._shut()
            except InputError as error:
                raise _Closed(f"its file could not be used: {error.where}: {error.message}") from error
            if why is None and self._schedule.document != schedule.document:
                why = "its file was changed meanwhile"  # what is played has been read from the one before
            if why is not None:
                raise _Closed(why)

        def begin(run: str) -> None:
            began.append(run)
            self._tell(at, RUNNING, run=run)
            look()  # to have all that noted may have taken minutes
            self._told = True

        def end(state: str, code: int, reason: str | None = None) -> None:
            self._told = True
            try:
                self._tell(at, state, exit_code=code, reason=reason)
            except HistoryError as error:  # the run is what it is, and its journal tells of it
                self._world.say(f"{schedule.name}: how it ended is not in the history: {error.message}")
            run = began[-1] if began else None
            try:
                self._world.ended(Ending(due=at, run=run, reason=reason, exit_code=code))
            except KeyboardInterrupt:
                # The run is over and recorded: whoever ends this process now ends the telling, and no other run begins.
                self._over = True
                self._world.say(f"{schedule.name}: told to end while it told how the run ended; not all may know")

        self._tell(at, RUNNING)
        if not self._still(at):
            return 0
        schedule = self._schedule
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
                        f"{self._schedule.name}: {error.message}; waiting for it, to note that it is {state}"
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
