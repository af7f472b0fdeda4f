"""A connection to one host, with what a link on it needs."""

from __future__ import annotations

from msgspec import Struct

from remedy.transport.local import LocalConnection
from remedy.transport.payload import Payloads
from remedy.transport.ssh import SshConnection
from remedy.transport.target import Target
from remedy.transport.watchdog import Watchdog


class Connection(Struct, frozen=True):
    """A connection that stands; links and raw commands are opened on it."""

    target: Target
    line: SshConnection | LocalConnection
    watchdog: Watchdog
    payloads: Payloads

    @property
    def user(self) -> str:
        """Return the login user."""
        return self.line.endpoint.user

    @property
    def address(self) -> str:
        """Return where it leads, for messages."""
        return self.line.endpoint.address

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what the SSH configuration says and remedy does not do; worth a warning."""
        return self.line.endpoint.notes

    @property
    def alive(self) -> bool:
        """Return whether it still stands, as far as this side can tell."""
        return self.line.alive

    def close(self) -> None:
        """Close it, within seconds also when the other side is stuck."""
        with self.watchdog.guard(2.0, self.line.abort):
            self.line.close()
