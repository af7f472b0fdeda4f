"""What became of each due time, in the history database: each is claimed once, whoever comes first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from remedy.history import Database
from remedy.history.tables import schedule_times as times
from remedy.schedule.decide import MISSED, SKIPPED, Skipped
from remedy.schedule.holders import of_an_earlier_boot, surely_alive, surely_dead
from remedy.schedule.model import Schedule
from remedy.schedule.times import Due

ADDED, CLAIMED, RUNNING, DONE, REFUSED = "added", "claimed", "running", "done", "refused"
CUT_OFF = "cut off"
ENDED_SILENTLY = "its process ended without a word"
BY_HAND = "by hand"
_AHEAD = timedelta(seconds=5)  # clocks of several machines may disagree by less
MOST = 2000
"""Skipped due times that are written one by one; those before them are summed in the oldest."""


class Entry(Struct, frozen=True):
    """One row: what became of a due time."""

    due: datetime
    state: str
    reason: str | None
    run: str | None
    exit_code: int | None
    holder: str
    updated: datetime

    @property
    def by_hand(self) -> bool:
        """Say whether somebody started it: then it is no due time of the schedule."""
        return self.holder.startswith(BY_HAND)


class Book:
    """The rows of one schedule; `holder` names who writes, and `now` is the clock of what is written."""

    def __init__(
        self,
        database: Database,
        schedule: Schedule,
        holder: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._schedule = schedule
        self._holder = holder
        self._now = now
        self._claimed: dict[datetime, dict[str, object]] = {}  # what we know of the times that are ours

    def begin(self, now: datetime, grace: float = 0.0, written: datetime | None = None) -> datetime:
        """Return the moment up to which all due times are handled; at the first sight of a plan `grace` seconds ago.

        `written`: when its file was, which says nothing of what was due before it.

        What a clock that was ahead has left in the future counts once that time comes: its due times are taken.
        """
        schedule = self._schedule
        first = now - timedelta(seconds=grace)
        if written is not None and first < written <= now:  # a later one is of a clock that was ahead
            first = written
        with self._database.writing() as connection:
            mine = times.c.schedule == schedule.key
            # A clock that was ahead called them missed: they are to come, or have just come (nobody may have looked
            # since it was set back). What ran then stays, and is not repeated.
            just = (times.c.due > now - timedelta(seconds=grace)) & (times.c.updated > now + _AHEAD)
            connection.execute(
                delete(times).where(
                    mine,
                    (times.c.due > now + _AHEAD) | just,
                    times.c.state.in_((MISSED, SKIPPED)),
                    times.c.run.is_(None),
                )
            )
            plan = connection.execute(
                select(times.c.id, times.c.reason, times.c.due)
                .where(mine, times.c.state == ADDED)
                .order_by(times.c.id.desc())
                .limit(1)
            ).first()
            # The last that was written, not the latest: one that ran by a clock ahead says nothing of those before it.
            handled = connection.execute(
                select(times.c.due)
                .where(self._of_the_plan(), times.c.due <= now)
                .order_by(times.c.id.desc())
                .limit(1)
            ).scalar()
            begun: datetime
            if plan is None or plan.reason != schedule.planned:
                # What another plan left undone is nobody's business now; a microsecond keeps it apart from due times.
                seen = now.replace(microsecond=max(now.microsecond, 1))
                _ignore(connection, [self._row(seen, ADDED, schedule.planned)])
                begun = first
            elif plan.due > now + _AHEAD:
                # Seen by a clock that was ahead, or has been set back since: from now on is what it meant. Left there,
                # everything up to then would count as handled.
                seen = now.replace(microsecond=max(now.microsecond, 1))
                connection.execute(update(times).where(times.c.id == plan.id).values(due=seen))
                begun = first
            else:
                begun = min(plan.due, now)
            return begun if handled is None else max(begun, handled)

    def open(self, passed: Iterable[Due]) -> list[Due]:
        """Return those of some due times that nobody has handled: those that can be claimed."""
        found = list(passed)
        if not found:
            return found
        with self._database.reading() as connection:
            rows = connection.execute(
                select(times.c.due).where(
                    times.c.schedule == self._schedule.key,
                    times.c.due >= found[0].at,
                    times.c.due <= found[-1].at,
                )
            )
            taken = {row.due for row in rows}
        return [due for due in found if due.at not in taken]

    def skip(self, skipped: Sequence[Skipped]) -> None:
        """Record due times that do not run; one that is recorded already stays as it is."""
        if not skipped:
            return
        kept = list(skipped[-MOST:])
        more = ""
        if len(skipped) > len(kept):
            before = len(skipped) - len(kept)
            more = f" (and {before} due times before it, since {skipped[0].due.at:%Y-%m-%d %H:%M} UTC)"
        rows = [self._row(each.due.at, each.state, each.reason) for each in kept]
        rows[0]["reason"] = f"{rows[0]['reason']}{more}"
        with self._database.writing() as connection:
            _ignore(connection, rows)

    def claim(self, at: datetime, reason: str | None = None) -> bool:
        """Claim a due time; False where somebody has it already."""
        try:
            with self._database.writing() as connection:
                connection.execute(insert(times).values(**self._row(at, CLAIMED, reason)))
        except IntegrityError:
            return False
        self._claimed[at] = {"state": CLAIMED, "reason": reason}
        return True

    def tell(
        self,
        at: datetime,
        state: str,
        *,
        reason: str | None = None,
        run: str | None = None,
        exit_code: int | None = None,
    ) -> None:
        """Write what has become of a due time that was claimed; what is None stays.

        Whatever stands there meanwhile: a run that was believed to be cut off says itself how it ended, and a history
        that was made anew meanwhile learns of it, or the time would run again.
        """
        given = {"reason": reason, "run": run, "exit_code": exit_code}
        known = self._claimed.setdefault(at, {})
        known |= {"state": state} | {name: value for name, value in given.items() if value is not None}
        told = {**known, "updated": self._now()}
        self._database.follow()
        with self._database.writing() as connection:
            row = (times.c.schedule == self._schedule.key) & (times.c.due == at)
            if not connection.execute(update(times).where(row).values(told)).rowcount:
                _ignore(connection, [{**self._row(at, state, None), **told}])

    def tell_again(self) -> None:
        """Write what has become of the times that are ours into a history that was made anew."""
        for at, known in list(self._claimed.items()):
            with self._database.writing() as connection:
                _ignore(connection, [{**self._row(at, CLAIMED, None), **known}])

    def left(self, keeper: Callable[[], str]) -> list[Entry]:
        """Return what was begun and is over without a word of its end.

        `keeper` says who holds the lease on the runs, "" where nobody does: then no run is at work, but for one of this
        very machine that cannot reach the history. A time that was claimed may be waiting for its moment: it is over
        where its process surely is, or has had a day more than any wait can take.
        """
        at_last = datetime.now(UTC) - timedelta(days=1, hours=1, seconds=self._schedule.jitter)
        with self._database.reading() as connection:
            mine = times.c.schedule == self._schedule.key
            rows = connection.execute(select(times).where(mine, times.c.state.in_((CLAIMED, RUNNING))))
            begun = [entry for entry in map(_entry, rows) if not surely_alive(entry.holder)]
        if not begun:
            return begun
        at_work = keeper()  # after the rows: what was running then, and has left the lease since, is not running now

        def over(entry: Entry) -> bool:
            if surely_dead(entry.holder):
                return True
            if entry.holder == at_work:
                return False
            if of_an_earlier_boot(entry.holder, entry.updated):
                return True
            return not at_work if entry.state == RUNNING else entry.updated < at_last

        return [entry for entry in begun if over(entry)]

    def cut_off(
        self, keeper: Callable[[], str] = lambda: "", why: Callable[[datetime], str | None] = lambda at: None
    ) -> list[Entry]:
        """Mark what `left` returns, each once, and return it as it was; `why` may know the reason."""
        marked = []
        for entry in self.left(keeper):
            values = {"state": CUT_OFF, "reason": why(entry.due) or ENDED_SILENTLY}
            as_it_was = (times.c.state == entry.state) & (times.c.updated == entry.updated)
            with self._database.writing() as connection:
                mine = (times.c.schedule == self._schedule.key) & (times.c.due == entry.due) & as_it_was
                if connection.execute(update(times).where(mine).values(values)).rowcount:
                    marked.append(entry)
        return marked

    def find(self, at: datetime) -> Entry | None:
        """Return what became of a due time, None where nobody has handled it."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(times).where(times.c.schedule == self._schedule.key, times.c.due == at)
            ).first()
        return None if row is None else _entry(row)

    def newest(self, number: int) -> list[Entry]:
        """Return the newest rows, newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                select(times)
                .where(times.c.schedule == self._schedule.key, times.c.state != ADDED)
                .order_by(times.c.due.desc())
                .limit(number)
            )
            return [_entry(row) for row in rows]

    def overlaps(self, passed: Sequence[Due]) -> Callable[[Due], str | None]:
        """Return what names the run of this schedule that had begun before one of these due times and ended after it.

        None where none did. An end that has not come yet was written by a clock that was ahead, and says nothing.
        """
        if not passed:
            return lambda due: None
        with self._database.reading() as connection:
            rows = connection.execute(
                select(times.c.due, times.c.updated)
                .where(
                    times.c.schedule == self._schedule.key,
                    times.c.due < passed[-1].at,
                    times.c.updated > passed[0].at,
                    times.c.updated <= self._now() + _AHEAD,
                    times.c.state.in_((RUNNING, DONE, REFUSED, CUT_OFF)),
                    times.c.run.is_not(None),
                )
                .order_by(times.c.due.desc())
            ).all()

        def overlapped(due: Due) -> str | None:
            begun = next((row.due for row in rows if row.due < due.at < row.updated), None)
            return None if begun is None else f"overlap: the run of {begun:%Y-%m-%d %H:%M} UTC was still at work"

        return overlapped

    def _of_the_plan(self) -> ColumnElement[bool]:
        """Say which rows are of due times."""
        return (
            (times.c.schedule == self._schedule.key)
            & (times.c.state != ADDED)
            & times.c.holder.not_like(f"{BY_HAND}%")
        )

    def _row(self, at: datetime, state: str, reason: str | None) -> dict[str, object]:
        return {
            "schedule": self._schedule.key,
            "due": at,
            "state": state,
            "reason": reason,
            "holder": self._holder,
            "updated": self._now(),
        }


def _ignore(connection: Connection, rows: Iterable[dict[str, object]]) -> None:
    """Insert rows, those that are there already left as they are."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(times).on_conflict_do_nothing(), list(rows))


def _entry(row: object) -> Entry:
    return Entry(**{name: getattr(row, name) for name in Entry.__struct_fields__})


def prune(database: Database, before: datetime, *, count: bool = False) -> int:
    """Delete what became of due times before a moment, of all schedules; return how many rows that are.

    What is still at work stays, and so does the newest due time of each schedule: from it on the next ones count.
    `count`: only count them. Raises HistoryError.
    """
    other = times.alias()
    newest = (
        select(func.max(other.c.due))
        .where(
            other.c.schedule == times.c.schedule,
            other.c.due <= datetime.now(UTC),
            other.c.state != ADDED,
            other.c.holder.not_like(f"{BY_HAND}%"),
        )
        .scalar_subquery()
    )
    old = and_(
        times.c.due < before, times.c.due < newest, times.c.state.not_in((ADDED, CLAIMED, RUNNING))
    )
    if count:
        with database.reading() as connection:
            return connection.execute(select(func.count()).select_from(times).where(old)).scalar_one()
    with database.writing() as connection:
        return connection.execute(delete(times).where(old)).rowcount
