"""A guard: a statement that can hang runs in a session beside the run's, which stays free to look and to act.

The second session is opened before anything is done: where none is to be had, the statement is not begun.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from remedy.agent.kinds import Failed
from remedy.modules.controller._doors import FULL, enter, is_full
from remedy.modules.controller._mysql import Login, Session
from remedy.modules.controller._site import Site

PATIENCE = 15.0  # seconds for a statement to be gone after KILL QUERY
_LOOK = 0.2
_TURN = 1.0  # seconds between two calls of what a caller does meanwhile


def beside(site: Site, login: Login, why: str) -> Session:
    """Log in once more beside the run's session; raises Failed with `mysql_error` 1040 where no door is free.

    `why` tells the operator what a second session is for.
    """
    try:
        return enter(site, login)
    except Failed as failed:
        if not is_full(failed):
            raise
        raise Failed(
            f"{why}, and no connection is free for it: remedy play mysql-connections on this host first, it frees "
            f"some; nothing was changed ({failed.message})",
            mysql_error=FULL,
        ) from None


class Guard:
    """Two sessions of a server: `watch`, the run's, and `work`, in which statements run that can hang."""

    def __init__(self, site: Site, login: Login, watch: Session, what: str) -> None:
        """Open the second session; `what` is the statement, for the operator who must free a connection first."""
        self.watch = watch
        self.work = beside(site, login, f"{what} can hang, so it is not begun without a second session")
        self._site = site
        self._thread: threading.Thread | None = None
        self._outcome: list[BaseException] = []

    def run(self, sql: str, seconds: float, meanwhile: Callable[[], object] | None = None) -> str:
        """Run a statement; return "" once it is through, else why it is waited for no longer: it runs on then.

        `meanwhile` is called each second. Raises Failed: the server's own words.
        """
        outcome = self._outcome = []

        def run() -> None:
            try:
                self.work.rows(sql, seconds=seconds + 4 * PATIENCE)
            except BaseException as error:
                outcome.append(error)

        self._thread = threading.Thread(target=run, name="remedy-guarded", daemon=True)
        began = turned = time.monotonic()
        self._thread.start()
        while self._thread.is_alive() and time.monotonic() - began < seconds and not self._site.stopping():
            self._thread.join(_LOOK)
            if meanwhile is not None and time.monotonic() - turned > _TURN:
                turned = time.monotonic()
                meanwhile()
        if self._thread.is_alive():
            stopped = "was still running when the operator stopped the run"
            return stopped if self._site.stopping() else f"did not end within {seconds:g} s"
        if outcome:
            raise outcome[0]  # where the host was lost, nobody knows what took effect
        return ""

    @property
    def failed(self) -> bool:
        """Say whether the statement came back with an error."""
        return bool(self._outcome)

    def through(self, seconds: float) -> bool:
        """Wait for the statement; say whether it came back."""
        if self._thread is not None:
            self._thread.join(max(0.0, seconds))
        return self._thread is None or not self._thread.is_alive()

    def end(self) -> bool:
        """End the statement by KILL QUERY; say whether it is gone, here and at the server."""
        self.watch.end(self.work.id, query=True)
        return self.through(PATIENCE) and not any(
            int(row["Id"]) == self.work.id and row["Command"] == "Query" for row in self.watch.processes()
        )

    def close(self) -> None:
        """Close the second session; the server goes on with what runs there still."""
        if self.through(0):
            self.work.close()
        else:
            self.work.drop()
