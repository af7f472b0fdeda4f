"""From messages to bytes: what an agent lacks travels ahead of the batch that needs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from remedy.agent import frames
from remedy.errors import RemedyError
from remedy.transport.identity import Identity
from remedy.transport.payload import Payloads

LOGIN = "login"
"""The name of the login user as an identity, on a link whose agent runs as somebody else."""


class Outbox:
    """Encodes what goes to one agent. `known` are the true names of the modules it has; `own` is who it runs as,
    None: the login user."""

    def __init__(
        self, payloads: Payloads, known: Iterable[str], own: Identity | None, login_user: str
    ) -> None:
        self._payloads = payloads
        self._known = set(known)
        self._own = own
        self._login_user = login_user
        self._introduced = False

    def encode(self, message: Mapping[str, Any]) -> bytes:
        """Return the frames of a message: further modules, who the login user is, then the message itself."""
        return b"".join(frames.encode(each) for each in self._expand(dict(message)))

    def _expand(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if message.get("t") == "identity" and self._own is not None and message.get("name") == self._own.name:
            return  # the agent is that user
        if message.get("t") == "batch":
            # Who the steps run as travels with the batch that asks for it first, also in the first flight.
            for frame in message.pop("identities", ()):
                yield from self._expand(frame)
            steps = message.get("steps") or []
            further = self._payloads.further(modules_of(message), self._known)
            if further:
                self._known.update(further)
                yield {"t": "code", "sources": further}
            if self._own is not None:
                if not self._introduced and any(step.get("as") is None for step in steps):
                    self._introduced = True
                    yield self._introduce(self._own)
                message["steps"] = [self._translated(step, self._own.name) for step in steps]
        yield message

    def _introduce(self, own: Identity) -> dict[str, Any]:
        """Return the frame by which a root agent becomes the login user; su asks root for nothing."""
        if own.user != "root":
            raise RemedyError(
                f"a step is to run as {self._login_user}, but this link's agent runs as {own.user}",
                hint="open the link without an identity where steps run as several users",
            )
        return {**Identity(self._login_user, "su").frame(), "name": LOGIN}

    @staticmethod
    def _translated(step: Mapping[str, Any], own: str) -> dict[str, Any]:
        wanted = step.get("as")
        return {**step, "as": LOGIN if wanted is None else None if wanted == own else wanted}


def modules_of(message: Mapping[str, Any] | None) -> list[str]:
    """Return the modules that the steps of a batch need."""
    steps = (message or {}).get("steps") or []
    return list(dict.fromkeys(step["module"] for step in steps if step.get("module")))
