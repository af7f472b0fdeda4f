"""APScheduler's job store in the history database: the next times of the daemon at work, which anybody can look up.

APScheduler forbids two schedulers on one store (https://apscheduler.readthedocs.io/en/3.x/faq.html), so only who holds
the lease opens it. Unlike its own stores in databases this one holds rows and no pickled objects, for whoever may write
into the database must not be able to run code here; and an error of the database does not end the scheduler's thread.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from apscheduler.jobstores.memory import MemoryJobStore
from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from remedy.history import Database
from remedy.history.tables import leases, schedule_jobs


class Served(NamedTuple):
    """The daemon at work for a project, and when it starts a schedule next; None where it never will."""

    holder: str
    next: datetime | None


def served(database: Database, project: str, job: str) -> Served | None:
    """Return who serves a schedule, None where no daemon is at work; raises HistoryError."""
    held = (leases.c.name == lease_name(project)) & (leases.c.until > datetime.now(UTC))
    row = (schedule_jobs.c.project == project) & (schedule_jobs.c.job == job)
    with database.reading() as connection:
        holder = connection.execute(select(leases.c.holder).where(held)).scalar()
        if holder is None:
            return None
        return Served(holder, connection.execute(select(schedule_jobs.c.next).where(row)).scalar())


def lease_name(project: str) -> str:
    """Return the name of the lease of the one daemon that is at work for a project."""
    return f"scheduler:{project}"


class JobStore(MemoryJobStore):  # type: ignore[misc]  # APScheduler 3 has no types
    """The jobs of one project; each trigger has a `plan`, a text that changes when its times do.

    The scheduler's thread is answered from memory, whatever the database does; `save` brings the rows in line. What is
    due is asked of the book (remedy.schedule.book), so nothing is lost with a row.
    """

    def __init__(self, database: Database, project: str) -> None:
        super().__init__()
        self._database = database
        self._mine = schedule_jobs.c.project == project
        self._project = project
        self._changed: set[str] = set()
        self._new = True

    def add_job(self, job: Any) -> None:
        """Add a job."""
        super().add_job(job)
        self._changed.add(job.id)

    def update_job(self, job: Any) -> None:
        """Change a job."""
        super().update_job(job)
        self._changed.add(job.id)

    def remove_job(self, job_id: str) -> None:
        """Remove a job."""
        super().remove_job(job_id)
        self._changed.add(job_id)

    def save(self) -> None:
        """Make, change or delete the rows of the jobs that have changed; raises HistoryError, and may be repeated."""
        if self._new:  # what stands there is of the daemon before this one
            with self._database.reading() as connection:
                self._changed |= set(connection.execute(select(schedule_jobs.c.job).where(self._mine)).scalars())
            self._new = False
        while self._changed:
            id = self._changed.pop()  # first: what changes while it is written is written once more
            try:
                self._write(id)
            except BaseException:
                self._changed.add(id)
                raise

    def _write(self, id: str) -> None:
        job = self.lookup_job(id)
        row = self._mine & (schedule_jobs.c.job == id)
        with self._database.writing() as connection:
            if job is None or job.next_run_time is None:
                connection.execute(delete(schedule_jobs).where(row))
                return
            values = {"plan": job.trigger.plan, "next": job.next_run_time}
            # At once: a daemon that has lost its lease unawares may be writing the same row.
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            given = dialect.insert(schedule_jobs).values(project=self._project, job=id, **values)
            connection.execute(given.on_conflict_do_update(index_elements=["project", "job"], set_=values))
