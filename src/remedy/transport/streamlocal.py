"""A channel to a Unix socket of the host: OpenSSH's direct-streamlocal (PROTOCOL, 2.4), which Paramiko lacks."""

from __future__ import annotations

import threading
from typing import Any

_KIND = "direct-streamlocal@openssh.com"
_LOOK = 0.1
_WINDOW, _PACKET = 1 << 21, 1 << 15


def open_streamlocal(transport: Any, path: str, timeout: float) -> Any:
    """Return a channel to the socket at `path`; raises what Paramiko's own open_channel raises."""
    import paramiko

    from remedy.transport.ssh_transport import Orderly

    channel_open = bytes([90])  # RFC 4254, 5.1
    with transport.lock:
        number = transport._next_channel()
        message = paramiko.Message()
        message.add_byte(channel_open)
        message.add_string(_KIND)
        for size in (number, _WINDOW, _PACKET):
            message.add_int(size)
        message.add_string(path)
        message.add_string("")
        message.add_int(0)
        channel: Any = paramiko.Channel(number)
        transport._channels.put(number, channel)
        answered = transport.channel_events[number] = threading.Event()
        transport.channels_seen[number] = True
        channel._set_transport(Orderly(transport))
        channel._set_window(_WINDOW, _PACKET)
    transport._send_user_message(message)
    waited = 0.0
    while not answered.wait(_LOOK):
        waited += _LOOK
        if not transport.active or waited > timeout:
            raise transport.get_exception() or paramiko.SSHException("no answer to a channel request")
    # The end of the connection answers everyone too, and leaves the channel where it was.
    if not transport.active or transport._channels.get(number) is None:
        raise transport.get_exception() or paramiko.SSHException("the channel was refused")
    return channel
