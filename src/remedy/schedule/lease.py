"""Leases in the history database: one of several may act, and whoever dies is replaced when its lease has run out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from remedy.errors import RemedyError
from remedy.history import Database
from remedy.history.tables import leases
from remedy.schedule.holders import surely_dead


class Lease:
    """A named lease; `holder` must be nobody else's name. Times are this machine's: see SKEW."""

    SECONDS = 60.0
    """How long it holds without being renewed. Machines that share a database must agree on the time within a third."""

    def __init__(self, database: Database, name: str, holder: str, seconds: float = SECONDS) -> None:
        self._database = database
        self.name = name
        self.holder = holder
        self.seconds = seconds

    def take(self) -> bool:
        """Take it, or renew what is ours; False where somebody else holds it. Raises HistoryError."""
        now = datetime.now(UTC)
        until = now + timedelta(seconds=self.seconds)
        # One that reaches further than any honest one was taken before the clock was set back.
        absurd = now + timedelta(seconds=10 * self.seconds)
        with self._database.writing() as connection:
            free = (leases.c.holder == self.holder) | (leases.c.until < now) | (leases.c.until > absurd)
            taken = connection.execute(
                update(leases).where(leases.c.name == self.name, free).values(holder=self.holder, until=until)
            )
            if taken.rowcount:
                return True
            holder = connection.execute(select(leases.c.holder).where(leases.c.name == self.name)).scalar()
            if holder is not None and not surely_dead(str(holder)):
                return False
            if holder is not None:  # its process was killed, and need not be waited for
                its = (leases.c.name == self.name) & (leases.c.holder == holder)
                moved = update(leases).where(its).values(holder=self.holder, until=until)
                return bool(connection.execute(moved).rowcount)
        try:
            with self._database.writing() as connection:
                connection.execute(insert(leases).values(name=self.name, holder=self.holder, until=until))
        except IntegrityError:
            return False  # another one was faster
        return True

    def whose(self) -> str:
        """Return who holds it, "" where nobody does."""
        with self._database.reading() as connection:
            found = connection.execute(select(leases.c.holder).where(leases.c.name == self.name)).scalar()
        return str(found or "")

    def leave(self) -> None:
        """Give it back, if it is still ours."""
        with self._database.writing() as connection:
            connection.execute(
                delete(leases).where(leases.c.name == self.name, leases.c.holder == self.holder)
            )

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew it in the background, and give it back at the end. A database that cannot be reached is borne."""
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(self.seconds / 4):
                try:
                    self.take()
                except RemedyError:
                    continue  # the run goes on; whoever comes meanwhile finds the hosts locked

        thread = threading.Thread(target=renew, name=f"lease {self.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(self.seconds)
            try:
                self.leave()
            except RemedyError:
                pass  # it runs out
