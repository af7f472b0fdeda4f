"""Leases in the history database: one of several may act, and whoever dies is replaced when its lease has run out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from remedy.errors import RemedyError
from remedy.history import Database
from remedy.history.tables import leases
from remedy.schedule.holders import surely_alive, surely_dead
from remedy.schedule.model import Schedule


def runs_lease(schedule: Schedule) -> str:
    """Return the name of the lease that a schedule's run holds while it is at work."""
    return f"schedule:{schedule.key}"


class Lease:
    """A named lease; `holder` must be nobody else's name. Times are this machine's: see SECONDS.

    One that has run out is not free while its holder is at work on this machine, unless it is `replaceable`: there one
    that hangs must not keep the others from working.
    """

    SECONDS = 60.0
    """How long it holds without being renewed. Machines that share a database must agree on the time within a third."""

    def __init__(
        self,
        database: Database,
        name: str,
        holder: str,
        seconds: float = SECONDS,
        *,
        replaceable: bool = False,
    ) -> None:
        self._database = database
        self.name = name
        self.holder = holder
        self.seconds = seconds
        self._replaceable = replaceable

    def take(self) -> bool:
        """Take it, or renew what is ours; False where somebody else holds it. Raises HistoryError."""
        self._database.follow()
        now = datetime.now(UTC)
        until = now + timedelta(seconds=self.seconds)
        try:
            with self._database.writing() as connection:
                named = leases.c.name == self.name
                row = connection.execute(select(leases.c.holder, leases.c.until).where(named)).first()
                if row is None:
                    connection.execute(insert(leases).values(name=self.name, holder=self.holder, until=until))
                    return True
                if row.holder == self.holder:
                    as_it_was = leases.c.holder == self.holder
                elif self._free(row.holder, row.until, now):
                    as_it_was = (leases.c.holder == row.holder) & (leases.c.until == row.until)
                else:
                    return False
                # With a server another one may have been faster, or its holder has renewed it after all.
                moved = update(leases).where(named, as_it_was).values(holder=self.holder, until=until)
                return bool(connection.execute(moved).rowcount)
        except IntegrityError:
            return False  # another one was faster

    def _free(self, holder: str, until: datetime, now: datetime) -> bool:
        """Say whether one that somebody else took may be taken."""
        if surely_dead(holder):  # it was killed, and need not be waited for
            return True
        if surely_alive(holder) and not self._replaceable:
            # The clock was set, or the machine has slept: in a moment it is renewed by that one.
            return False
        # One that reaches further than any honest one was taken before the clock was set back.
        return until < now or until > now + timedelta(seconds=10 * self.seconds)

    def keeper(self) -> str:
        """Return who holds it and may not be replaced, "" where it is free; raises HistoryError."""
        with self._database.reading() as connection:
            named = leases.c.name == self.name
            row = connection.execute(select(leases.c.holder, leases.c.until).where(named)).first()
        return "" if row is None or self._free(row.holder, row.until, datetime.now(UTC)) else str(row.holder)

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
    def kept(
        self, lost: Callable[[str], None] = lambda holder: None, anew: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Renew it in the background, and give it back at the end. A database that cannot be reached is borne.

        In the thread that renews it `lost` is told once who else has it now, and `anew` is called where the database
        was made anew, and knows nothing of us.
        """
        ended = threading.Event()

        def renew() -> None:
            told = again = False
            while not ended.wait(self.seconds / 4):
                try:
                    if self._database.follow():
                        again = True
                    taken = self.take()
                    if again:
                        anew()
                        again = False
                    if not taken and not told:
                        told = True
                        lost(self.whose() or "another process")
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
