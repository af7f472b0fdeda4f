"""Starting and stopping a replica's threads, and waiting until it is known what became of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from remedy.agent.kinds import Failed
from remedy.modules.controller._doors import opened
from remedy.modules.controller._mysql import Login, Session, login_of
from remedy.modules.controller._replication import Channel, Words, channels, words_of
from remedy.modules.controller._site import Site

_LOOK = 0.2  # seconds
_CALM = 5  # looks without an error, for a replica that has more to apply
_NOTHING = {1199, 1200, 1617, 3083, 3084, 3085}  # it is stopped, or no replica: what a STOP may find


class Replica:
    """A server seen as a replica."""

    def __init__(self, site: Site, params: dict[str, Any]) -> None:
        self.session: Session = opened(site, params)
        self.words: Words = words_of(self.session.version)
        self.only: str | None = params.get("channel")
        self.seconds = float(params.get("timeout") or 60)
        self._site = site
        self._params = params

    def login(self) -> Login:
        """Return how to log in, for a session beside the run's."""
        return login_of(self._site, self._params)

    def channels(self) -> list[Channel]:
        """Return the channels that are meant; none where the server is no replica."""
        return channels(self.session, self.session.version, self.only)

    def channel(self, name: str) -> Channel:
        """Return one channel; raises Failed where it is gone."""
        found = next(
            (each for each in channels(self.session, self.session.version) if each.name == name), None
        )
        if found is None:
            raise Failed(f"the replica's channel {name!r} is gone")
        return found

    def start(self, channel: str, threads: Sequence[str]) -> None:
        """Start threads of a channel; does not wait for what becomes of them."""
        if threads:
            self.session.rows(self.words.statement("START", channel, threads), seconds=self.seconds)

    def stop(self, channel: str, threads: Sequence[str]) -> None:
        """Stop threads of a channel; the SQL thread ends with the transaction it is in."""
        if threads:
            try:
                self.session.rows(self.words.statement("STOP", channel, threads), seconds=self.seconds)
            except Failed as failed:
                if failed.result.get("mysql_error") not in _NOTHING:
                    raise

    def settled(self, name: str, threads: Sequence[str]) -> Channel:
        """Return a channel whose threads were started, once they really run; raises Failed where they do not.

        A thread may run for a moment and stop at what it finds then. So one that has more to do is watched for a
        second; one that has done all is believed.
        """
        until = time.monotonic() + self.seconds
        calm = 0
        while True:
            now = self.channel(name)
            if "sql" in threads and not now.sql and now.sql_error[0]:
                raise Failed(f"the SQL thread stopped at error {now.sql_error[0]}: {now.sql_error[1]}")
            if "io" in threads and now.io == "no" and now.io_error[0]:
                raise Failed(
                    f"the IO thread stopped: {now.cause()[1]}: {now.io_error[1]} ({now.io_error[0]})"
                )
            runs = ("sql" not in threads or now.sql) and ("io" not in threads or now.io == "yes")
            calm = calm + 1 if runs else 0
            if calm >= (2 if not now.behind else _CALM):
                return now
            if time.monotonic() > until or self._site.stopping():
                said = (
                    now.io_error[1]
                    or now.sql_error[1]
                    or ", ".join(filter(None, now.doing))
                    or "no error is told"
                )
                raise Failed(
                    f"the threads {' and '.join(threads)} do not run after {self.seconds:g} s: "
                    f"{now.cause()[1]}: {said}",
                    cause="timeout",
                )
            threading.Event().wait(_LOOK)


def running(channel: Channel) -> list[str]:
    """Return the threads of a channel that run, or try to."""
    return [*(["io"] if channel.io != "no" else []), *(["sql"] if channel.sql else [])]
