"""Paramiko's transport, put right in four things.

- It makes a message under its channel's lock and sends it after that (else it could deadlock while keys are exchanged).
  So an end of data, or data, can leave after a CLOSE that another thread has made later. OpenSSH has forgotten the
  channel by then, and ends the whole connection: "ieof packet referred to nonexistent channel". Where a new channel
  has got the number meanwhile, that one gets the message.
- Its thread answers the end of a channel itself, also while keys are exchanged (each 512 MiB): then it would wait for
  its own work, and give the connection up after 30 seconds.
- Why a host ends the connection, it only logs; and words that are no UTF-8 it takes for an error of its own.
- Why a channel was refused, it keeps in one place for all threads: of several at once one learned it, or another's.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import paramiko

_CLOSE = bytes([97])  # RFC 4254, 5.3
_SHOWN = 300  # characters of a host's last words: with what leads to them less than any message shows of them
_library: Any = paramiko


class Transport(_library.Transport):  # type: ignore[misc]  # the parts that are used here are nowhere typed
    """A connection whose channels are orderly, which never waits for itself and keeps a host's last words."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._opening = threading.local()
        self._refused: dict[int | None, Exception] = {}

    def open_channel(self, *arguments: Any, **options: Any) -> Any:
        """Open a channel as Paramiko does."""
        try:
            channel = super().open_channel(*arguments, **options)
        finally:
            self._opening.number = None
        channel._set_transport(Orderly(self))
        return channel

    def get_exception(self) -> Any:
        """Return why the channel was refused that this thread asked for, else why the connection ended."""
        number, self._opening.number = getattr(self._opening, "number", None), None
        return self._refused.pop(number, None) or super().get_exception()

    def _next_channel(self) -> Any:
        number = self._opening.number = super()._next_channel()
        return number

    def _parse_channel_open_failure(self, m: Any) -> None:
        """Tell who waits for a channel why there is none."""
        number, code = m.get_int(), m.get_int()
        with self.lock:
            answered = self.channel_events.pop(number, None)
            if answered is not None:
                self._channels.delete(number)
                why = _library.common.CONNECTION_FAILED_CODE.get(code, "(unknown code)")
                self._refused[number] = _library.ChannelException(code, why)
                answered.set()

    def _send_user_message(self, data: Any) -> None:
        """Send a message once keys are exchanged; for the thread that exchanges them, another one waits."""
        if threading.current_thread() is self and not self.clear_to_send.is_set():
            threading.Thread(target=self._send_later, args=(data,), name="remedy-after-kex", daemon=True).start()
        else:
            super()._send_user_message(data)

    def _send_later(self, data: Any) -> None:
        with suppress(Exception):  # the connection has ended: whoever works with it is told otherwise
            super()._send_user_message(data)

    def _send_message(self, data: Any) -> None:
        """Send a message, unless its channel has ended; whoever calls holds the lock that all senders share."""
        way = getattr(data, "way", None)
        if way is not None:
            if way.ended:
                return
            way.ended = data.asbytes()[:1] == _CLOSE
        super()._send_message(data)

    def _parse_disconnect(self, m: Any) -> None:
        """Keep why a host ends a connection that works; who may not log in is told otherwise."""
        m.get_int()  # a code, of which every server uses the same two
        words = " ".join(m.get_string().decode(errors="replace").split())[:_SHOWN]
        if words and self.is_authenticated():
            self.saved_exception = _library.SSHException(f"the host said: {words}")


class Orderly:
    """A transport as one channel sees it: what that sends bears the channel's mark."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.ended = False

    def _send_user_message(self, message: Any) -> None:
        message.way = self
        self._transport._send_user_message(message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
