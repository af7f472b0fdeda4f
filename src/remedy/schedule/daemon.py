"""The daemon: one of several acts at a time, starts what is due as child processes, and notices changed files.

APScheduler 3 keeps the jobs in the history database and forbids two schedulers on one job store
(https://apscheduler.readthedocs.io/en/3.x/faq.html), so only who holds the lease opens it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.executors.base import BaseExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from remedy.errors import RemedyError
from remedy.history import Database
from remedy.project import Project
from remedy.schedule import clock
from remedy.schedule.book import Book
from remedy.schedule.children import Children
from remedy.schedule.decide import span
from remedy.schedule.file import load_schedule, project_key, schedule_files
from remedy.schedule.lease import Lease
from remedy.schedule.model import ONCE, Schedule
from remedy.schedule.times import dues
from remedy.schedule.when import read_when
from remedy.schedule.windows import Opening, read_window

LEASE_SECONDS = 30.0
_TICK = 0.5  # seconds
_FILES = 2.0  # seconds between two looks at the files
_JUMP = (
    1.0  # seconds by which the wall clock leaves the other one: it was set, and the scheduler sleeps too long
)
_OPENING = "/window"  # what the id of a job for a schedule's window openings ends with

Signature = dict[Path, tuple[int, int, int]]


class DueTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 has no types
    """The due times of a plan; kept in the job store as they are written."""

    def __init__(self, when: tuple[str, ...], zone: str) -> None:
        self._set(when, zone)

    def _set(self, when: tuple[str, ...], zone: str) -> None:
        self.when, self.zone = when, zone
        self._rules = tuple(rule for text in when for rule in read_when(text))

    def __getstate__(self) -> dict[str, Any]:
        return {"when": self.when, "zone": self.zone}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set(state["when"], state["zone"])

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """Return the next due time, None where there is none any more."""
        due = next(dues(self._rules, ZoneInfo(self.zone), previous or now), None)
        return None if due is None else due.at


class OpeningTrigger(BaseTrigger):  # type: ignore[misc]
    """The moments at which a schedule's windows open: what was missed may run then."""

    def __init__(self, windows: tuple[str, ...], zone: str) -> None:
        self.windows, self.zone = windows, zone

    def __getstate__(self) -> dict[str, Any]:
        return {"windows": self.windows, "zone": self.zone}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.windows, self.zone = state["windows"], state["zone"]

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """Return the next opening."""
        return Opening(ZoneInfo(self.zone), tuple(map(read_window, self.windows))).opens(previous or now)


class _Executor(BaseExecutor):  # type: ignore[misc]
    """Hands a job's due time to a child process; the job's own function is never called."""

    def __init__(self, children: Children) -> None:
        super().__init__()
        self._children = children

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        name = job.id.removesuffix(_OPENING)
        due = None if job.id.endswith(_OPENING) else run_times[-1]
        self._children.start(name, due, lambda: self._run_job_success(job.id, []))


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
        self._lease = Lease(database, f"scheduler:{project_key(project)}", holder, seconds)
        self._scheduler: Any = None
        self._held = 0.0
        self._seen: Signature | None = None
        self._plans: dict[str, str] = {}

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
        except RemedyError as error:
            self._say(str(error))
            # Nobody else can have it before it has run out.
            mine = self._scheduler is not None and now - self._held < self._lease.seconds * 2 / 3
            if not mine and self._scheduler is not None:
                self._say("the lease cannot be renewed: nothing is started until it can")
                self._close()
            return
        if mine:
            self._held = now
            if self._scheduler is None:
                self._open()
        elif self._scheduler is not None or self._seen is None:
            self._close()
            self._seen = {}
            self._say(f"another daemon is at work ({self._lease.whose() or 'unknown'}): standing by")

    def _open(self) -> None:
        digest = hashlib.sha256(project_key(self._project).encode()).hexdigest()[:8]
        scheduler = BackgroundScheduler(
            timezone=UTC,
            # Whether a late time still runs is for `remedy schedule run` to judge, and to record.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 100_000},
        )
        scheduler.add_jobstore(
            SQLAlchemyJobStore(engine=self._database.engine, tablename=f"scheduler_{digest}")
        )
        scheduler.add_executor(_Executor(self._children))
        scheduler.start(paused=True)
        self._scheduler, self._seen, self._plans = scheduler, None, {}
        self._say(f"at work as {self._holder}")
        self._look()
        scheduler.resume()

    def _close(self) -> None:
        if self._scheduler is not None:
            scheduler, self._scheduler = self._scheduler, None
            scheduler.shutdown(wait=False)

    def _look(self) -> None:
        """Bring the jobs in line with the files, where those have changed."""
        found = _signature(self._project)
        if found == self._seen:
            return
        first, self._seen = self._seen is None, found
        wanted: dict[str, Any] = {}
        for path in schedule_files(self._project):
            try:
                schedule = load_schedule(path, project=self._project)
            except RemedyError as error:
                # Its job, if it has one, stays: each due time will then say what is wrong.
                self._say(f"{path.stem} cannot be used: {error}")
                wanted |= {path.stem: None, path.stem + _OPENING: None}
                continue
            wanted |= self._jobs(schedule)
            clock.first_look(clock.reading_file(self._project.state, schedule.name))
            try:
                Book(self._database, schedule, self._holder).begin(datetime.now(UTC))
            except RemedyError as error:
                self._say(str(error))
            if first and schedule.missed == ONCE:
                self._children.start(schedule.name, None)
        for job in self._scheduler.get_jobs():
            if job.id not in wanted:
                self._scheduler.remove_job(job.id)
                self._plans.pop(job.id, None)
                if not job.id.endswith(_OPENING):
                    self._say(f"{job.id}: its file is gone")
        for id, trigger in wanted.items():
            if trigger is not None:
                self._put(id, trigger)

    def _set_back(self, leap: float) -> None:
        """Begin anew with every schedule: what was next while the clock was ahead may be years away."""
        self._say(f"the clock was set back by {span(timedelta(seconds=leap))}")
        self._seen, self._plans = {}, {}
        self._look()

    def _jobs(self, schedule: Schedule) -> dict[str, Any]:
        jobs: dict[str, Any] = {schedule.name: DueTrigger(schedule.when, schedule.zone.key)}
        if schedule.missed == ONCE:
            windows = tuple(window.text for window in schedule.opening.windows)
            jobs[schedule.name + _OPENING] = OpeningTrigger(windows, schedule.zone.key)
        return jobs

    def _put(self, id: str, trigger: Any) -> None:
        plan = repr(sorted(trigger.__getstate__().items()))
        if self._plans.get(id) == plan:
            return
        job = self._scheduler.get_job(id)
        first = _first(trigger)
        # A job whose plan is the same keeps its next time, also one that has passed while no daemon was at work; not
        # one that a clock which was ahead has left behind the first that is to come.
        if (
            job is None
            or repr(sorted(job.trigger.__getstate__().items())) != plan
            or (first is not None and job.next_run_time > first)
        ):
            job = self._scheduler.add_job(
                in_a_child, trigger, id=id, replace_existing=True, next_run_time=first
            )
        self._plans[id] = plan
        if not id.endswith(_OPENING):
            upcoming = job.next_run_time
            self._say(
                f"{id}: next at {upcoming.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if upcoming else f"{id}: never"
            )


def _first(trigger: Any) -> datetime | None:
    # A second back: the due time of this very moment is not lost to a file that was just written.
    found: datetime | None = trigger.get_next_fire_time(None, datetime.now(UTC) - timedelta(seconds=1))
    return found


def _signature(project: Project) -> Signature:
    found: Signature = {}
    for path in schedule_files(project):
        try:
            state = path.stat()
        except OSError:
            continue
        found[path] = (state.st_mtime_ns, state.st_size, state.st_ino)
    return found
