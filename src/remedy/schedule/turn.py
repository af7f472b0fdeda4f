"""One turn of a schedule: what has come due is claimed and run, what did not run is recorded with its reason.

The same for a timer, a crontab line, the daemon and somebody's hand.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from remedy.errors import InputError, Refused, RemedyError, first_of
from remedy.history import HistoryError
from remedy.schedule import clock
from remedy.schedule.away import Away, note_and_tell
from remedy.schedule.book import BY_HAND, Book
from remedy.schedule.broken import Broken
from remedy.schedule.decide import Decision, decide
from remedy.schedule.file import written_at
from remedy.schedule.launch import Launch
from remedy.schedule.model import Schedule
from remedy.schedule.times import between
from remedy.schedule.world import Ending, World

_ENDING = timedelta(seconds=5)  # a service that ends, with a large margin
_EARLY = timedelta(seconds=2)  # a daemon's clock and ours may disagree by that


class Turn:
    """A schedule's turn."""

    def __init__(self, schedule: Schedule, world: World) -> None:
        self._world = world
        self._book = Book(world.database, schedule, world.holder, world.now)
        self._launch = Launch(schedule, world, self._book)
        self._claimed: datetime | None = None

    @property
    def _schedule(self) -> Schedule:
        return self._launch.schedule

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
        for entry in self._book.cut_off(self._launch.lease.keeper, away.why):
            self._launch.cut_off(entry, away.why(entry.due))
        begun = self._book.begin(now, schedule.grace, written)
        if back := story.set_back():
            world.say(f"{back}: due times that were handled before that are not handled again")
        passed = self._book.open(between(schedule.rules, schedule.zone, begun, upto))
        if at is None and not passed and (soon := self._soon(now)) is not None:
            world.sleep((soon - now).total_seconds() + 0.01)
            if why := self._launch.reread(soon):
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
            self._claimed, self._launch.told = decision.start.at, not claimed
            settle()
            try:
                ended = self._launch.start(decision.start) if claimed else self._handled(decision.start.at)
                code = first_of(code, ended)
            except HistoryError:
                raise
            except RemedyError as error:
                if first_of(code, error.exit_code) == error.exit_code:
                    raise
                world.say(f"{schedule.name}: {error}")  # an earlier run of this turn ended worse
                return code
            if self._launch.over:
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
        self._launch.by_hand, self._launch.anyway = True, anyway
        self._book.begin(now)
        # Never a due time's moment, nor that at which the plan was first seen.
        at = now.replace(microsecond=max(now.microsecond, 1)) + timedelta(microseconds=1)
        if not self._book.claim(at, BY_HAND if closed is None else f"{BY_HAND}, although {closed}"):
            raise Refused(f"the schedule '{schedule.name}' was started at this very moment by somebody else")
        return self._launch.run(at, at + timedelta(days=1))

    def _soon(self, now: datetime) -> datetime | None:
        """Return a due time that comes while this process ends: no timer starts it a second time."""
        following = next(self._schedule.dues(now), None)
        if following is None or following.at - now > _ENDING:
            return None
        return following.at

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

    def _away(self, error: HistoryError, at: datetime | None) -> None:
        """Remember that the history cannot be used, and tell of what therefore does not run, if anything."""
        world, schedule = self._world, self._schedule

        def tell(due: datetime, reason: str) -> None:
            if not self._launch.told:
                world.ended(Ending(due=due, reason=reason, exit_code=error.exit_code))

        note_and_tell(world.state, schedule, error.message, world.now(), self._claimed or at, tell)
