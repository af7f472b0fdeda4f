"""Logins that a server has refused: each is tried once in a run, for servers and fail2ban lock out who tries again."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from remedy.modules.controller._site import NotLetIn

Login = tuple[str, Hashable]
"""The host where somebody logs in, and as whom to what."""


class Logins:
    """What the hosts of a run know of each other's logins; any thread may ask."""

    def __init__(self) -> None:
        self._refused: dict[tuple[Login, Hashable], NotLetIn] = {}
        self._trying: dict[Login, threading.Lock] = {}
        self._forgotten: dict[str, int] = {}
        self._guard = threading.Lock()

    @contextmanager
    def attempt(self, login: Login, circumstances: Hashable) -> Iterator[None]:
        """Log in within it: where the login was refused before, raises NotLetIn at once.

        Who comes with a login that somebody is trying waits for what becomes of that. `circumstances` are what a
        refusal may hang on beside the login, where it says so.
        """
        with self._guard:
            trying = self._trying.setdefault(login, threading.Lock())
        with trying:
            known = self._refused.get((login, None)) or self._refused.get((login, circumstances))
            if known is not None:
                raise known.again()
            turn = self._forgotten.get(login[0])
            try:
                yield
            except NotLetIn as refused:
                if self._forgotten.get(login[0]) == turn:  # else accounts have changed since it was tried
                    self._refused[login, None if refused.wholly else circumstances] = refused
                raise

    def forget(self, host: str) -> None:
        """Forget what was refused on a host: the run itself has changed accounts there."""
        self._forgotten[host] = self._forgotten.get(host, 0) + 1
        for key in [key for key in list(self._refused) if key[0][0] == host]:
            self._refused.pop(key, None)
