"""The contact with one host: its link, opened with the first batch, and who its steps run as."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from remedy.engine.context import PlayContext, RunContext
from remedy.engine.flight import Item
from remedy.engine.state import HostState
from remedy.errors import InputError, LinkLost
from remedy.home import expanded
from remedy.template import Scope, Variables
from remedy.transport import Identity, Link, Target

_LEASE = 60  # seconds without a frame after which the agent ends by itself
_VARIABLE = re.compile(r"\bansible_\w+")
_PATIENCE = 0.5  # seconds between two looks at whether the operator wants to stop


class Contact:
    """The link to one host for the length of a run."""

    def __init__(self, run: RunContext, state: HostState) -> None:
        self._run = run
        self._state = state
        self._link: Link | None = None
        self._told: set[str] = set()
        self._batches = 0
        self.setup_trips = 0

    @property
    def open(self) -> bool:
        return self._link is not None

    def target(self, play: PlayContext) -> Target:
        """Read the host's connection variables; raises InputError for what cannot be used."""
        return self.target_of(play.target_scope(self._state), self._state.name)

    def target_of(self, scope: Scope, name: str) -> Target:
        """Read a host's connection variables from its scope."""
        try:
            target = Target.from_variables(name, Variables(scope), self._run.options.defaults)
            _see_key(target)
            return target
        except InputError as error:
            named = _VARIABLE.search(error.message)
            origin = scope.why(named[0]) if named else None
            if error.where is None and origin is not None:
                error.where = origin.position
            raise

    def greet(self, play: PlayContext) -> None:
        """Open the link without a batch: only the handshake is wanted."""
        if self._link is None:
            self._connect(play, None, None)

    def carry(self, play: PlayContext, items: list[Item]) -> None:
        """Send a batch; the first one leaves in the same flight as the agent."""
        self._batches += 1
        batch = {"t": "batch", "id": self._batches, "steps": [self._addressed(item) for item in items]}
        batch["identities"] = self._introductions(items)
        if self._link is None:
            self._connect(play, self._direct(items), batch)
        else:
            self._link.send(batch)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message on the open link."""
        if self._link is None:
            raise LinkLost("link_lost", "the link is not open", host=self._state.name)
        self._link.send(message)

    def receive(self, *, finishing: bool = False) -> dict[str, Any]:
        """Return the next message; an operator's stop is passed on, and the agent finishes what it must.

        `finishing`: what is under way puts something right, and is not stopped.
        """
        told = False
        while True:
            if self._link is None:
                raise LinkLost("link_lost", "the link is not open", host=self._state.name)
            if self._run.stop.is_set() and not told and not finishing:
                told = True
                self._link.send({"t": "cancel", "batch": self._batches})
            try:
                return self._link.receive(_PATIENCE)
            except TimeoutError:
                continue

    def close(self) -> None:
        """End the agent and the connection."""
        link, self._link = self._link, None
        self._told.clear()
        if link is not None:
            link.close()
        self._run.connector.close(self._state.name)

    def _connect(self, play: PlayContext, identity: Identity | None, batch: dict[str, Any] | None) -> None:
        changes = self._run.options.changes
        start = {
            "t": "start",
            "lock": changes,
            "check": not changes,
            "label": self._run.label,
            "lease": _LEASE,
            "clock": time.time(),
        }
        self._link = self._run.connector.open(self.target(play), start=start, identity=identity, first=batch)
        self.setup_trips = self._link.setup_trips

    @staticmethod
    def _direct(items: list[Item]) -> Identity | None:
        """Return whom the agent may run as itself, so that nobody has to switch: root, without a password.

        Root can become any other user later; another user could not.
        """
        identities = {item.identity for item in items}
        one = identities.pop() if len(identities) == 1 else None
        return one if one is not None and one.user == "root" and one.password is None else None

    @staticmethod
    def _addressed(item: Item) -> dict[str, Any]:
        step = dict(item.message or {})
        step["as"] = None if item.identity is None else item.identity.name
        return step

    def _introductions(self, items: list[Item]) -> list[dict[str, Any]]:
        """Return how to become the users that the steps ask for, each told once; the transport sends them ahead."""
        frames = []
        for item in items:
            if item.identity is not None and item.identity.name not in self._told:
                self._told.add(item.identity.name)
                frames.append(item.identity.frame())
        return frames


def _see_key(target: Target) -> None:
    """Raise InputError for a key file that is not there; its public half suffices where an agent holds the key."""
    key = target.private_key_file
    if key is None or target.connection == "local":
        return
    if not any(expanded(f"{key}{ending}").is_file() for ending in ("", ".pub")):
        raise InputError(
            f"ansible_ssh_private_key_file: there is no file '{key}'",
            hint="expected the path of a private key, as seen from here",
            host=target.name,
        )
