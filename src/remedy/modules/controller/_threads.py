"""Starting and stopping a replica's threads, and waiting until it is known what became of them.

A STOP waits for the transaction that is being applied (MariaDB: for its statement; it is rolled back then, and applied
anew by the START), and nobody can take it back: KILL QUERY does nothing to it on MariaDB, and on MySQL breaks it half
way. So it runs under a guard (see _guard.py), and where it does not come back in time the run's session starts the
threads again. Both servers let that START wait behind the STOP, and carry it out also where nobody listens any more
(seen on MariaDB 10.11 and MySQL 9.7).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

from remedy.agent.kinds import Failed
from remedy.modules.controller._doors import opened
from remedy.modules.controller._guard import Guard
from remedy.modules.controller._mysql import Login, Session, login_of
from remedy.modules.controller._replication import Channel, Words, channels, words_of
from remedy.modules.controller._site import Site

_LOOK = 0.2  # seconds
_CALM = 5  # looks without an error, for a replica that has more to apply
_NOTHING = {1199, 1200, 1617, 3083, 3084, 3085}  # it is stopped, or no replica: what a STOP may find
_GRACE = 30.0  # seconds for a STOP that was given up, until the START behind it comes through
_LONG = 300.0  # the same where MySQL gave it up itself: there no START can wait behind it
_SHORT = 2.0  # the same where the operator stops the run, and for threads that begin
_UNDONE = {1875: "sql", 1876: "io"}  # MySQL: rpl_stop_replica_timeout is over, and the thread stops later


class _UnderWay(Exception):
    """A STOP that the server goes on with; `thread` is the one for which MySQL itself waits no longer."""

    def __init__(self, message: str, thread: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.thread = thread


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

    def running(self) -> dict[str, list[str]]:
        """Return which threads run, or try to, of every channel of the server."""
        return {each.name: running(each) for each in channels(self.session, self.session.version)}

    def start(self, channel: str, threads: Sequence[str], seconds: float | None = None) -> None:
        """Start threads of a channel; does not wait for what becomes of them."""
        if threads:
            statement = self.words.statement("START", channel, threads)
            self.session.rows(statement, seconds=self.seconds if seconds is None else seconds)

    def stop(self, chosen: Mapping[str, Sequence[str]]) -> None:
        """Stop threads of channels; the SQL thread ends with what it applies.

        Raises Failed where that takes too long: the server stops them all the same, and nothing is started again.
        """
        if not any(chosen.values()):
            return
        with closing(self._guard()) as guard:
            for name, threads in chosen.items():
                try:
                    if threads:
                        self._stop(guard, name, threads)
                except _UnderWay as late:
                    raise Failed(
                        f"{late.message}. It cannot be taken back: they stop then, and nothing starts them again. "
                        f"At present {self._seen(chosen)}",
                        cause="timeout",
                    ) from None

    @contextmanager
    def halted(
        self,
        chosen: Mapping[str, Sequence[str]],
        otherwise: str,
        then: Mapping[str, Sequence[str]] | None = None,
    ) -> Iterator[None]:
        """Stop threads of channels for the time of the body and let them go on, whatever comes of it.

        `then` are those that go on after a body that did well, where it is others. Where they do not stop in time the
        body does not run; Failed says what the threads do then, and `otherwise`, a sentence on what was not done.
        """
        if any(chosen.values()):
            self._halt(chosen, otherwise)
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
        if error is not None and not isinstance(error, Failed) and not self.session.alive:
            raise error  # the host is lost: nobody can say anything there
        goes = chosen if error is not None or then is None else then
        failed = [self._start(*each) for each in goes.items()]
        wrong = "; ".join(each.message for each in failed if each is not None)
        if isinstance(error, Failed) and wrong:
            raise Failed(f"{error.message}; {wrong}", error.cause, **error.result) from None
        if error is not None:
            raise error
        if wrong:
            raise Failed(wrong)

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

    def _guard(self) -> Guard:
        return Guard(self._site, self.login(), self.session, f"STOP {self.words.replica}")

    def _stop(self, guard: Guard, name: str, threads: Sequence[str]) -> None:
        """Stop threads of a channel; raises _UnderWay where the server has taken it and is not through."""
        sql = self.words.statement("STOP", name, threads)
        try:
            why = guard.run(sql, self.seconds)
        except Failed as failed:
            number = int(failed.result.get("mysql_error") or 0)
            if number in _UNDONE:
                raise _UnderWay(f"{sql}: {failed.message.rstrip('.')}", _UNDONE[number]) from None
            if number not in _NOTHING:
                raise
            return
        if why:
            raise _UnderWay(
                f"{sql} {why}: the server goes on with it until what is being applied is through"
            )

    def _halt(self, chosen: Mapping[str, Sequence[str]], otherwise: str) -> None:
        begun: dict[str, Sequence[str]] = {}
        with closing(self._guard()) as guard:
            try:
                for name, threads in chosen.items():
                    if threads:
                        begun[name] = threads
                        self._stop(guard, name, threads)
            except _UnderWay as late:
                told = self._resumed(guard, begun, late.thread)
                raise Failed(f"{late.message}. {otherwise}, and {told}", "timeout") from None
            except Failed as failed:
                told = self._resumed(guard, begun)
                raise Failed(
                    f"{failed.message}. {otherwise}, and {told}", failed.cause, **failed.result
                ) from None

    def _resumed(self, guard: Guard, begun: Mapping[str, Sequence[str]], undone: str = "") -> str:
        """Let threads run again that a STOP stops or has stopped; return what came of it.

        `undone` is the thread that the server stops later, though its STOP has come back.
        """
        *others, last = begun
        # Where MySQL gave up, START does nothing before the thread has stopped: somebody must wait for that. And no
        # session is opened any more while a run is stopped: one START can be left waiting, not several.
        short = self._site.stopping() and not undone and not others
        until = time.monotonic() + (_SHORT if short else _LONG if undone else _GRACE)
        failed = {name: self._start(name, begun[name], until) for name in others}
        while undone and (stops := self._runs({last: [undone]})) and time.monotonic() < until:
            threading.Event().wait(_LOOK)
        failed[last] = self._start(last, begun[last], until)
        if guard.through(until - time.monotonic()) and not self._runs(begun):
            # Nobody promises that a STOP that waited itself had its turn before that START.
            failed = {name: self._start(name, threads, until) for name, threads in begun.items()}
        wrong = {name: each for name, each in failed.items() if each is not None}
        if not guard.through(0):
            unsent = {name: each for name, each in wrong.items() if each.cause != "timeout"}
            return (
                "what ran is to run again: START waits at the server behind the STOP, and is carried out after it. "
                f"Until then {self._seen(begun)}" + (f". {self._by_hand(begun, unsent)}" if unsent else "")
            )
        if undone and stops:
            why = f"the server stops its {undone.upper()} thread still, and a START before that does nothing"
            wrong = {last: Failed(why)}
        if wrong or not self._run_soon(begun):
            missing = wrong or dict.fromkeys(begun, Failed("it stopped anew"))
            return f"{self._by_hand(begun, missing)}. At present {self._seen(begun)}"
        return f"what ran runs again: {self._seen(begun)}"

    def _by_hand(self, begun: Mapping[str, Sequence[str]], wrong: Mapping[str, Failed]) -> str:
        """Return what nobody starts again, why, and how to."""
        how = " and ".join(self.words.statement("START", name, begun[name]) for name in wrong)
        why = "; ".join(dict.fromkeys(str(each.message) for each in wrong.values()))
        return f"WHAT RAN DOES NOT RUN AGAIN: {why}; {how} starts it"

    def _start(self, name: str, threads: Sequence[str], until: float | None = None) -> Failed | None:
        """Start threads of a channel; return what went wrong, and be able to ask on."""
        try:
            self._revive()
            self.start(name, threads, None if until is None else max(1.0, until - time.monotonic()))
        except Failed as failed:
            with suppress(Failed):
                self._revive()
            return failed
        return None

    def _revive(self) -> None:
        """Log in anew where the run's session broke; raises Failed where that is not to be had."""
        if self.session.alive:
            return
        if self._site.stopping():
            raise Failed("the run is stopped, and no session is opened any more")
        self.session = opened(self._site, self._params, looks=True)

    def _runs(self, chosen: Mapping[str, Sequence[str]]) -> bool:
        """Say whether threads of channels run, or try to."""
        if not self.session.alive:
            return False
        try:
            now = self.running()
        except Failed:
            return False
        return all(set(threads) <= set(now.get(name, ())) for name, threads in chosen.items())

    def _run_soon(self, chosen: Mapping[str, Sequence[str]]) -> bool:
        """Say whether threads run within a moment: one that begins is told as stopped until it is through with that."""
        until = time.monotonic() + _SHORT
        while not (runs := self._runs(chosen)) and time.monotonic() < until:
            threading.Event().wait(_LOOK)
        return runs

    def _seen(self, chosen: Mapping[str, Sequence[str]]) -> str:
        """Return what threads of channels do, in words."""
        if not self.session.alive:
            return "nobody has looked which threads run"
        try:
            now = self.running()
        except Failed as failed:
            return f"nobody knows which threads run ({failed.message})"
        told = []
        for name in chosen:
            on = now.get(name, [])
            words = [f"{each.upper()} {'runs' if each in on else 'is stopped'}" for each in ("io", "sql")]
            told.append((f"of channel {name!r} " if name or len(chosen) > 1 else "") + ", ".join(words))
        return "; ".join(told)


def running(channel: Channel) -> list[str]:
    """Return the threads of a channel that run, or try to."""
    return [*(["io"] if channel.io != "no" else []), *(["sql"] if channel.sql else [])]
