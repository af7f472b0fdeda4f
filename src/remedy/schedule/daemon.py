"""The daemon: one of several acts at a time, starts what is due as child processes, and notices changed files.

What has come due stands in the history database; the scheduler's jobs are made of the files by whoever acts, and their
next times are kept there too. So a database that is away stops no clock, and what nobody could start meanwhile is
started, or recorded as missed, as soon as it is back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

from apscheduler.executors.base import BaseExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from remedy.errors import RemedyError, Unreachable
from remedy.history import Database
from remedy.project import Project
from remedy.schedule import clock
from remedy.schedule.away import note_all
from remedy.schedule.book import Book
from remedy.schedule.children import Children
from remedy.schedule.decide import span
from remedy.schedule.file import (
    load_schedule,
    misnamed,
    misnamed_files,
    project_key,
    schedule_files,
    written_at,
)
from remedy.schedule.jobs import JobStore, lease_name
from remedy.schedule.lease import Lease, runs_lease
from remedy.schedule.model import ONCE, Schedule
from remedy.schedule.times import between, dues
from remedy.schedule.trouble import AGAIN, Trouble
from remedy.schedule.windows import texts

LEASE_SECONDS = 30.0
_TICK = 0.5  # seconds
_FILES = 2.0  # seconds between two looks at the files
_JUMP = (
    1.0  # seconds by which the wall clock leaves the other one: it was set, and the scheduler sleeps too long
)
_BACK = tuple(timedelta(hours=hours) for hours in (1, 24, 32 * 24, 366 * 24))
"""How far back the newest due time is looked for: the first of them that has one, for it has the fewest."""
_OPENING = "/window"  # what the id of a job for a schedule's window openings ends with

Signature = dict[Path, tuple[int, int, int]]


class DueTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 has no types
    """The due times of a schedule; `plan` is a text that changes when they do."""

    def __init__(self, schedule: Schedule) -> None:
        self.plan = schedule.planned
        self._rules, self._zone = schedule.rules, schedule.zone

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """Return the next due time, None where there is none any more; of those that have passed the newest.

        A clock that leaps years ahead passes a million of them, which would hold all jobs up for hours: what became
        due between is the book's.
        """
        due = next(dues(self._rules, self._zone, previous or now), None)
        if due is None:
            return None
        for back in _BACK:
            if now - back <= due.at:
                break
            for newest in between(self._rules, self._zone, now - back, now):
                due = newest
        return due.at


class OpeningTrigger(BaseTrigger):  # type: ignore[misc]
    """The moments at which a schedule's windows open: what was missed may run then."""

    def __init__(self, schedule: Schedule) -> None:
        self.plan = f"{texts(schedule.opening.windows)} ({schedule.zone.key})"
        self._opening = schedule.opening

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """Return the next opening; those that have passed since the previous one are one."""
        return self._opening.opens(max(previous or now, now))


class _Executor(BaseExecutor):  # type: ignore[misc]
    """Hands a job's due time to a child process; the job's own function is never called."""

    def __init__(self, start: Callable[[str, datetime | None, Callable[[], None]], None]) -> None:
        super().__init__()
        self._start = start

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        name = job.id.removesuffix(_OPENING)
        due = None if job.id.endswith(_OPENING) else run_times[-1]
        self._start(name, due, lambda: self._run_job_success(job.id, []))


class _Scheduler(BackgroundScheduler):  # type: ignore[misc]
    """APScheduler in a thread; what a trigger raises ends that without a word to anybody."""

    @property
    def alive(self) -> bool:
        """Say whether the thread is at work."""
        return self._thread is not None and self._thread.is_alive()


def in_a_child() -> None:
    """Stand for a job: what runs is a child process."""
    raise RuntimeError("a job of the scheduler runs as a child process only")


class Daemon:
    """Serves the schedules of one project until `stop` is set."""

    def __init__(
        self,
        project: Project,
        database: Database,
        children: Children,
        holder: str,
        say: Callable[[str], None],
        seconds: float = LEASE_SECONDS,
    ) -> None:
        self._project = project
        self._database = database
        self._children = children
        self._holder = holder
        self._say = say
        self._lease = Lease(database, lease_name(project_key(project)), holder, seconds, replaceable=True)
        self._trouble = Trouble(say, "the history database answers again")
        self._scheduler: Any = None
        self._jobs: JobStore  # there while the scheduler is
        self._held = 0.0
        self._noted = 0.0  # when it was last remembered that the database is away, 0 while it is not
        self._why = ""
        self._seen: Signature | None = None
        self._unread = Trouble(say, "the schedules can be read again")
        self._plans: dict[str, str] = {}
        self._doubt = False  # something may be due that nobody has begun

    def serve(self, stop: Event) -> None:
        """Stand by for the lease, act while it is held; return when `stop` is set, without waiting for children."""
        asked = looked = -1e9
        skew = time.time() - time.monotonic()
        try:
            while not stop.is_set():
                now = time.monotonic()
                if now - asked >= self._lease.seconds / 4:
                    asked = now
                    self._elect(now)
                leap, skew = time.time() - time.monotonic() - skew, time.time() - time.monotonic()
                if self._scheduler is not None:
                    if leap < -_JUMP:
                        self._set_back(leap)
                    if abs(leap) > _JUMP:
                        self._scheduler.wakeup()
                    if now - looked >= _FILES:
                        looked = now
                        self._look()
                        self._save()
                self._children.reap()
                stop.wait(_TICK)
        finally:
            self._close()
            if self._held:
                try:
                    self._lease.leave()
                except RemedyError as error:
                    self._say(f"{error.message}; another daemon takes over in {self._lease.seconds:.0f} s")

    def _elect(self, now: float) -> None:
        try:
            mine = self._lease.take()
            whose = "" if mine else self._lease.whose() or "unknown"
        except RemedyError as error:
            self._trouble.tell(str(error))
            self._away(error.message)
            # Nobody else can have it before it has run out; to be told so may have taken a while.
            mine = self._scheduler is not None and time.monotonic() - self._held < self._lease.seconds * 2 / 3
            if not mine and self._scheduler is not None:
                self._say("the lease cannot be renewed: nothing is started until it can")
                self._close()
            return
        if self._noted:
            self._away(self._why, last=True)
        if self._trouble.over():
            self._doubt = True  # by itself: a run's thread may say so at this very moment
        if mine:
            self._held = now
            if self._scheduler is not None and not self._scheduler.alive:
                self._say("the thread that starts what is due has ended: another one takes its place")
                self._close()
            if self._scheduler is None:
                self._open()
            elif self._doubt:
                self._doubt = False
                for path in self._files():
                    with suppress(RemedyError):  # said when the file was looked at
                        self._catch_up(load_schedule(path, project=self._project))
        elif self._scheduler is not None or self._seen is None:
            self._close()
            self._seen = {}
            self._say(f"another daemon is at work ({whose}): standing by")

    def _away(self, why: str, *, last: bool = False) -> None:
        """Remember that nothing can be started, now and then while it lasts: who finds what was due then says why."""
        now = time.monotonic()
        if last or not self._noted or now - self._noted >= AGAIN:
            note_all(self._project.state, self._files(), why)
            self._noted, self._why = 0.0 if last else now, why

    def _open(self) -> None:
        scheduler = _Scheduler(
            timezone=UTC,
            # Whether a late time still runs is for `remedy schedule run` to judge, and to record.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 100_000},
        )
        self._jobs = JobStore(self._database, project_key(self._project))
        scheduler.add_jobstore(self._jobs)
        scheduler.add_executor(_Executor(self._start))
        scheduler.start(paused=True)
        self._scheduler, self._seen, self._plans, self._doubt = scheduler, None, {}, False
        self._say(f"at work as {self._holder}")
        self._look()
        scheduler.resume()

    def _close(self) -> None:
        if self._scheduler is not None:
            scheduler, self._scheduler = self._scheduler, None
            scheduler.shutdown(wait=False)

    def _start(self, name: str, due: datetime | None, ended: Callable[[], None] = lambda: None) -> None:
        if time.monotonic() - self._held > self._lease.seconds:
            # The database keeps us waiting for an answer: runs that wait for it, too, would gather by the minute.
            self._doubt = True
            ended()
            return

        def over(code: int | None) -> None:
            # The database may have been away just then, before the due time was claimed.
            if code in (None, Unreachable.exit_code):
                self._doubt = True
            ended()

        self._children.start(name, due, over)

    def _catch_up(self, schedule: Schedule, planned: datetime | None = None) -> None:
        """Start what came due while nobody was at work; what is too late for it is recorded then, and what was cut off.

        `planned`: when its file was written, if that is new; what came due since counts.
        """
        now = datetime.now(UTC)
        book = Book(self._database, schedule, self._holder)
        try:
            waiting = book.open(between(schedule.rules, schedule.zone, book.begin(planned or now), now))
            runs = Lease(self._database, runs_lease(schedule), self._holder)
            left = waiting or book.left(runs.keeper)  # of a run that died with its machine somebody is to hear now
        except RemedyError as error:
            self._trouble.tell(str(error))
            return
        if left:
            self._start(schedule.name, None)

    def _look(self) -> None:
        """Bring the jobs in line with the files, where those have changed."""
        try:
            files, odd = schedule_files(self._project), misnamed_files(self._project)
        except RemedyError as error:
            self._unread.tell(str(error))  # the jobs stay: each due time will then say what is wrong
            return
        self._unread.over()
        found = _signature([*files, *odd])
        if found == self._seen:
            return
        before, self._seen = self._seen, found
        changed = {path for path in found if before is None or before.get(path) != found[path]}
        for path in changed.intersection(odd):
            self._say(misnamed(path))
        wanted: dict[str, Any] = {}
        for path in files:
            try:
                schedule = load_schedule(path, project=self._project)
            except RemedyError as error:
                # Its job, if it has one, stays: each due time will then say what is wrong.
                if path in changed:
                    self._say(f"{path.stem} cannot be used: {error}")
                wanted |= {path.stem: None, path.stem + _OPENING: None}
                continue
            wanted |= self._wanted(schedule)
            clock.first_look(clock.reading_file(self._project.state, path))
            self._catch_up(schedule, _written(path) if before is not None and path in changed else None)
        for job in self._scheduler.get_jobs():
            if job.id not in wanted:
                self._scheduler.remove_job(job.id)
                self._plans.pop(job.id, None)
                if not job.id.endswith(_OPENING):
                    self._say(f"{job.id}: its file is gone")
        for id, trigger in wanted.items():
            if trigger is not None:
                self._put(id, trigger)

    def _files(self) -> list[Path]:
        """Return the files of the schedules, none where they cannot be read now: who looks at them says so."""
        with suppress(RemedyError):
            return schedule_files(self._project)
        return []

    def _save(self) -> None:
        try:
            self._jobs.save()
        except RemedyError as error:
            self._trouble.tell(str(error))

    def _set_back(self, leap: float) -> None:
        """Begin anew with every schedule: what was next while the clock was ahead may be years away."""
        self._say(f"the clock was set back by {span(timedelta(seconds=leap))}")
        self._seen, self._plans = {}, {}
        self._look()

    def _wanted(self, schedule: Schedule) -> dict[str, Any]:
        jobs: dict[str, Any] = {schedule.name: DueTrigger(schedule)}
        if schedule.missed == ONCE:
            jobs[schedule.name + _OPENING] = OpeningTrigger(schedule)
        return jobs

    def _put(self, id: str, trigger: Any) -> None:
        if self._plans.get(id) == trigger.plan:
            return
        job = self._scheduler.add_job(
            in_a_child, trigger, id=id, replace_existing=True, next_run_time=_first(trigger)
        )
        self._plans[id] = trigger.plan
        if not id.endswith(_OPENING):
            upcoming = job.next_run_time
            self._say(
                f"{id}: next at {upcoming.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if upcoming else f"{id}: never"
            )


def _first(trigger: Any) -> datetime | None:
    # A second back: the due time of this very moment is not lost to a file that was just written.
    found: datetime | None = trigger.get_next_fire_time(None, datetime.now(UTC) - timedelta(seconds=1))
    return found


def _written(path: Path) -> datetime:
    """Return when a file was put in its place; at most the moments ago that it takes to notice one."""
    now = datetime.now(UTC)
    noticed = now - timedelta(seconds=_FILES + 2 * _TICK)
    written = written_at(path)
    return now if written is None else min(max(written, noticed), now)


def _signature(files: Iterable[Path]) -> Signature:
    found: Signature = {}
    for path in files:
        try:
            state = path.stat()
        except OSError:
            found[path] = (0, 0, 0)
            continue
        found[path] = (state.st_mtime_ns, state.st_size, state.st_ino)
    return found
