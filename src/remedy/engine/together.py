"""Tasks that concern more hosts than their own: `run_once`, `delegate_to`, `throttle`. First all of a batch come there.

So the other hosts' agents are idle while one works for them, or on them, and what it learns reaches them in order.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol

from remedy.engine.barriers import Barriers
from remedy.engine.context import PlayContext
from remedy.engine.cursor import Cursor, Failure
from remedy.engine.flight import Await, Barrier, Request, Throttle
from remedy.engine.keywords import Keywords, number_of
from remedy.engine.state import HostState
from remedy.engine.turns import Key, News
from remedy.engine.variables import Variables
from remedy.errors import InputError
from remedy.events import Warned
from remedy.playbook import Include, Task
from remedy.template import UnknownValue

Going = Generator[Request, None, Cursor | None]
"""Asks for what it needs, then returns the next cursor; None: the walk is over."""


class Host(Protocol):
    """The walk of one host, as far as it is needed here; `fell` is how its last task failed, if it did."""

    fell: Failure | None

    def do(self, node: Task | Include, cursor: Cursor, words: Keywords) -> Going:
        """Do a task or an include; return the next cursor."""
        ...

    def fall(self, cursor: Cursor, failure: Failure) -> Cursor | None:
        """Return where a failure at a cursor leads."""
        ...


class Together:
    """What one host does at such tasks."""

    def __init__(
        self, walk: Host, play: PlayContext, state: HostState, variables: Variables, barriers: Barriers
    ) -> None:
        self._walk = walk
        self._play = play
        self._state = state
        self._variables = variables
        self._turns = barriers.turns
        self._alone = len(play.batch) == 1

    def concerns(self, node: Any, words: Keywords) -> bool:
        """Say whether a node needs more than its own host; a batch of one has nobody to wait for."""
        if isinstance(node, Task) and node.module == "meta":
            return False
        if isinstance(node, Include):  # it is read here, whatever the tasks around it are delegated to
            return not self._alone and words.values.get("run_once") not in (None, False)
        return words.together and (not self._alone or bool(words.values.get("delegate_to")))

    def come(self, node: Task | Include, cursor: Cursor) -> None:
        """Say, before waiting for the others, which task the host has come to."""
        self._turns.come(_key(node, cursor), self._state.name)

    def news(self, upto: tuple[int, ...]) -> News | None:
        """Take what others have done for this host so far; return what failed, if anything: it failed for all."""
        shared = None
        for news in self._turns.news(self._state.name, upto):
            self._state.variables.update(news.variables)
            self._state.facts.update(news.facts)
            self._state.notified.update(news.notified)
            if news.failure is not None and shared is None:
                shared = news
        return shared

    def share(self, cursor: Cursor, news: News) -> Cursor | None:
        """Return where another host's failure leads, which is this one's as well."""
        failure = news.failure or Failure("", {})
        if not self._state.quiet and not cursor.rescues():
            text = (
                f"'{failure.task}' failed on {news.by}, and it runs once for all hosts of its batch: all fail"
            )
            self._play.run.bus.emit(Warned(message=text, host=self._state.name))
        return self._walk.fall(cursor, failure)

    def take(self, node: Task | Include, cursor: Cursor, words: Keywords) -> Going:
        """Do a task that all hosts of the batch have come to, or let another host do it; return the next cursor."""
        key = _key(node, cursor)
        if not self._alone and self._flag(node, cursor, words):
            if self._turns.mine(key, self._state.name, node.title):
                return (yield from self._for_all(key, node, cursor, words))
            return (yield from self._follow(key, node, cursor))
        most = self._most(node, cursor, words)
        if most and not self._alone:
            yield Throttle(key, most)
        try:
            after = yield from self._walk.do(node, cursor, words)
        finally:
            self._turns.quit(key, self._state.name)
        if after is not None and words.values.get("delegate_to") and not self._alone:
            # Who goes on here would get into the way of those that still work on this host.
            yield Barrier(after.position)
        return after

    def _for_all(self, key: Key, node: Task | Include, cursor: Cursor, words: Keywords) -> Going:
        state = self._state
        variables, facts = dict(state.variables), dict(state.facts)
        self._walk.fell = None
        try:
            after = yield from self._walk.do(node, cursor, words)
        except InputError as error:
            if self._play.run.bus.begun:
                failed = {"changed": False, "failed": True, "msg": str(error)}
                self._turns.publish(key, News(state.name, key[0], failure=Failure(node.title, failed, words)))
            raise
        except UnknownValue:
            self._turns.publish(key, News(state.name, key[0]))
            raise
        self._turns.publish(
            key,
            News(
                state.name,
                key[0],
                variables=_added(state.variables, variables),
                facts=_added(state.facts, facts),
                failure=self._walk.fell,
            ),
        )
        return after

    def _follow(self, key: Key, node: Task | Include, cursor: Cursor) -> Going:
        yield Await(key)
        failed = self.news(cursor.position)
        after = cursor.advance()
        if failed is None and isinstance(node, Include):
            yield Barrier(after.position)  # what is included runs on the one host, and may be for all as well
            failed = self.news(after.position)
        return after if failed is None else self.share(cursor, failed)

    def _flag(self, node: Task | Include, cursor: Cursor, words: Keywords) -> bool:
        scope = self._variables.scope(node if isinstance(node, Task) else None, cursor)
        return words.flag("run_once", False, self._play.run.templar, scope, node)

    def _most(self, node: Task | Include, cursor: Cursor, words: Keywords) -> int:
        written = words.values.get("throttle")
        if not written:
            return 0
        scope = self._variables.scope(node if isinstance(node, Task) else None, cursor)
        return int(number_of("throttle", written, self._play.run.templar, scope, node.position))


def _key(node: Task | Include, cursor: Cursor) -> Key:
    return cursor.position, id(node)


def _added(now: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in now.items() if name not in before or before[name] is not value}
