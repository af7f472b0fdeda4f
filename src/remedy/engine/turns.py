"""Whose turn it is: `run_once` lets the first host of a batch do a task for all of them, `throttle` a few at a time.

What the one host brought about (variables, facts, a failure) is news to the others of the batch: each takes it when it
has come as far, by itself, so that no thread writes another host's state.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from remedy.engine.cursor import Failure

Key = tuple[tuple[int, ...], int]
"""A task in a play: its position, and the node itself, because hosts may have included different files there."""


class News(Struct, frozen=True):
    """What a host did for all of its batch; `by` did it, at `position`."""

    by: str
    position: tuple[int, ...]
    variables: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    notified: Mapping[str, bool] = field(default_factory=dict)
    failure: Failure | None = None


class Turns:
    """The turns of one batch; a host comes to a task, and takes its turn once every host has come as far."""

    def __init__(self, batch: Iterable[str], *, ahead: bool = False) -> None:
        self._batch = tuple(batch)
        self._ahead = ahead
        self._left: set[str] = set()
        self._come: dict[Key, set[str]] = {}
        self._does: dict[Key, tuple[str, str]] = {}  # who does it, and the task's title
        self._done: set[Key] = set()
        self._inside: dict[Key, set[str]] = {}
        self._news: dict[str, list[News]] = {name: [] for name in self._batch}
        self._moved = threading.Condition()
        self._open = False

    # -- one for all

    def come(self, key: Key, host: str) -> None:
        """A host has come to a task that one of the batch does for all; said before it waits for the others."""
        with self._moved:
            self._come.setdefault(key, set()).add(host)

    def mine(self, key: Key, host: str, title: str) -> bool:
        """Say whether this host does it: the first of the batch that has come to the task and is still there.

        `ahead`: nobody has come yet, one host looks alone how far it would get.
        """
        with self._moved:
            if self._ahead:
                return host == self._batch[0]
            if key not in self._does:
                there = self._come.get(key, set()) - self._left | {host}
                self._does[key] = min(there, key=self._batch.index), title
            return self._does[key][0] == host

    def publish(self, key: Key, news: News) -> None:
        """The host that does it has done it."""
        with self._moved:
            self._tell(key, news)

    def send(self, host: str, news: News) -> None:
        """Leave news for one host."""
        with self._moved:
            self._news.setdefault(host, []).append(news)

    def wait(self, key: Key) -> None:
        """Return when it has been done, or whoever does it was lost."""
        with self._moved:
            self._moved.wait_for(lambda: self._open or key in self._done)

    def done(self, key: Key) -> bool:
        """Say whether it has been done."""
        with self._moved:
            return key in self._done

    def news(self, host: str, upto: tuple[int, ...]) -> list[News]:
        """Return, once, what others have done for this host up to a position."""
        with self._moved:
            waiting = self._news.get(host, [])
            due = [news for news in waiting if news.position <= upto]
            self._news[host] = [news for news in waiting if news.position > upto]
            return due

    # -- a few at a time

    def enter(self, key: Key, host: str, most: int, *, wait: bool = True) -> bool:
        """Let a host be one of at most `most` at a task, as soon as one may; return whether it is."""
        with self._moved:
            inside = self._inside.setdefault(key, set())
            if wait:
                self._moved.wait_for(lambda: self._open or len(inside) < most)
            elif len(inside) >= most:
                return False
            inside.add(host)
            return True

    def quit(self, key: Key, host: str) -> None:
        """A host is through with a task."""
        with self._moved:
            self._inside.get(key, set()).discard(host)
            self._moved.notify_all()

    # -- the end

    def leave(self, host: str) -> None:
        """A host is done with the play, or out: what it was to do for all will not be done."""
        with self._moved:
            self._left.add(host)
            for inside in self._inside.values():
                inside.discard(host)
            for key, (does, title) in self._does.items():
                if does == host and key not in self._done:
                    text = f"'{title}' was to run once, on {host}, which was lost there"
                    self._tell(key, News(host, key[0], failure=Failure(title, _failed(text))))
            self._moved.notify_all()

    def open(self) -> None:
        """Let nobody wait any more: the run is being stopped."""
        with self._moved:
            self._open = True
            self._moved.notify_all()

    def _tell(self, key: Key, news: News) -> None:
        self._done.add(key)
        for name, waiting in self._news.items():
            if name != news.by:
                waiting.append(news)
        self._moved.notify_all()


def _failed(text: str) -> dict[str, Any]:
    return {"changed": False, "failed": True, "msg": text}
