"""Reaching a service of a host over the connection that stands: by a channel, a socket, or a relay as another user."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Sequence
from functools import cache
from importlib.abc import InspectLoader
from importlib.util import find_spec

from remedy.agent import bootstrap, relay, stage
from remedy.errors import LinkLost, RemedyError, Unreachable
from remedy.transport.connection import Connection
from remedy.transport.identity import Identity
from remedy.transport.line import Line
from remedy.transport.local import LocalConnection
from remedy.transport.startup import fly
from remedy.transport.streamlocal import open_streamlocal

Address = str | tuple[str, int]
"""The path of a Unix socket, or (host, port), as seen from the host."""

_SECONDS = 10.0
_PROHIBITED = 1  # RFC 4254, 5.1: administratively prohibited
_CONNECT_FAILED = 2  # the same: sshd could not connect, and does not say why
_SAID = 4096  # bytes of the relay's first line
_WRONG = ("incorrect password", "Authentication failure", "Sorry, try again", "no password was provided")


class NoService(RemedyError):
    """No address of the service takes a connection on the host."""

    exit_code = 2


def reach(
    connection: Connection,
    addresses: Sequence[Address],
    *,
    identity: Identity | None = None,
    cancel: threading.Event | None = None,
    root_as: Sequence[str] = (),
) -> Line:
    """Return a line to the first address that answers; an `identity` counts for Unix sockets (peer authentication).

    Where that is root, the line comes as the first of `root_as` that the host has: no further right is asked for.
    Raises NoService, Unreachable where the identity is refused, LinkLost where the connection has ended.
    """
    root = (connection.user if identity is None else identity.user) == "root"
    by_user = (identity is not None or (root and root_as)) and any(isinstance(each, str) for each in addresses)
    if not by_user:
        troubles = []
        forbidden = False
        for address in addresses:
            try:
                return _direct(connection, address)
            except OSError as error:
                troubles.append(f"{relay.shown(address)}: {_said(error)}")
            except Exception as error:  # Paramiko's many kinds
                if not connection.alive:
                    raise lost(connection, error) from None
                troubles.append(f"{relay.shown(address)}: {_refused(address, error)}")
                # For a socket OpenSSH says the same of one that is forbidden and one that is not there.
                forbidden = forbidden or isinstance(address, str) or getattr(error, "code", 0) == _PROHIBITED
        if not forbidden:
            raise _none(connection, "; ".join(troubles))
    # Where sshd forbids forwarding, a process on the host may connect all the same.
    return _relayed(connection, addresses, identity, cancel, root_as)


def lost(connection: Connection, error: BaseException | None) -> LinkLost:
    """Return what to raise where the connection ended below a line."""
    return LinkLost(
        "link_lost",
        f"the connection to {connection.address} ended while a service was being asked ({error or 'no reason given'})",
        hint="whether the last statement took effect is not known: look at the service before running again",
        host=connection.target.name,
    )


def _direct(connection: Connection, address: Address) -> Line:
    shown = relay.shown(address)
    if isinstance(connection.line, LocalConnection):
        return Line(connection, relay.connect(address), shown)
    with connection.watchdog.guard(_SECONDS + 5, connection.line.abort):
        if isinstance(address, str):
            channel = open_streamlocal(connection.line.fabric.transport, address, _SECONDS)
        else:
            channel = connection.line.open_channel("direct-tcpip", address, _SECONDS)
    return Line(connection, channel, shown)


def _relayed(
    connection: Connection,
    addresses: Sequence[Address],
    identity: Identity | None,
    cancel: threading.Event | None,
    root_as: Sequence[str],
) -> Line:
    sources = {bootstrap.CORE[0]: _source(), "addresses": json.dumps(list(addresses))}
    payload = stage.pack({**sources, "users": json.dumps(list(root_as))})
    nonce = secrets.token_hex(16)
    label = f"remedy tunnel to {relay.shown(addresses[0])}"
    asks = identity is not None and identity.password is not None
    if identity is not None and asks:
        command = _with_password(connection, identity, stage.find(
            nonce, len(payload), label, connection.target.python
        ))  # fmt: skip
        payload = f"{identity.password}\n".encode() + payload
    else:
        means = None if identity is None else identity.means()
        command = bootstrap.command(nonce, len(payload), label, connection.target.python, means)
    try:
        stream, rest = fly(connection, command, [payload], nonce, identity, cancel)
    except Unreachable as error:
        if identity is not None and asks and any(word in error.message for word in _WRONG):
            raise Unreachable(
                "sudo_password",
                f"the password for {connection.user} at {connection.address} to become {identity.user} is wrong",
                hint="give the right one with -K or ansible_become_password; one attempt was made",
                host=connection.target.name,
            ) from None
        raise
    line = Line(connection, stream.line, relay.shown(addresses[0]), rest=rest, release=stream.close)
    said = _first_line(line)
    if "to" in said:
        line.address = said["to"]
        return line
    line.close()
    if not connection.alive:
        raise lost(connection, None)
    raise _none(connection, said.get("error") or "the relay ended")


def _with_password(connection: Connection, identity: Identity, script: str) -> str:
    """Return the command for sudo or su with a password, which comes as the first line of input.

    It reaches them by a pipe of its own, so that there is one attempt; the channel rides through as descriptors
    1 and 2, because sudo closes all others.
    """
    if identity.method == "doas":
        raise Unreachable(
            "sudo_password",
            "doas takes a password only on a terminal, which a tunnel does not have",
            hint="allow it without a password (nopass in doas.conf), or use sudo",
            host=connection.target.name,
        )
    inner = f"exec 0<&1 1>&2 2>/dev/null; {script}"
    become = stage.becoming(stage.become_argv(identity.means(), inner, ["-S", "-p", "[remedy] "]))
    whole = (
        "exec 3<&0 4>&1; IFS= read -r P; "
        f"printf '%s\\n' \"$P\" | {{ unset P; {become}; }} 1<&3 2>&4 3<&- 4>&-"
    )
    return f"exec /bin/sh -c {stage.quote(whole)}"


@cache
def _source() -> str:
    spec = find_spec("remedy.agent.relay")
    loader = None if spec is None else spec.loader
    if not isinstance(loader, InspectLoader) or (source := loader.get_source("remedy.agent.relay")) is None:
        raise RemedyError("the relay's source is not there: is the installation whole?")
    return source


def _first_line(line: Line) -> dict[str, str]:
    """Return what the relay says of itself; byte by byte, because the service may speak next."""
    said = b""
    line.settimeout(_SECONDS * 3)
    try:
        while not said.endswith(b"\n") and len(said) < _SAID:
            byte = line.recv(1)
            if not byte:
                return {}
            said += byte
        found = json.loads(said)
    except (OSError, ValueError) as error:
        return {"error": str(error)}
    return found if isinstance(found, dict) else {}


def _said(error: OSError) -> str:
    return (
        "connection refused" if isinstance(error, ConnectionRefusedError) else error.strerror or str(error)
    )


def _refused(address: Address, error: Exception) -> str:
    """Return why sshd opened no channel, in words."""
    if getattr(error, "code", 0) != _CONNECT_FAILED:
        return str(error)
    if isinstance(address, tuple) and address[0] in ("127.0.0.1", "::1", "localhost"):
        return "connection refused"
    return "no connection: refused, or nobody listens there"


def _none(connection: Connection, why: str) -> NoService:
    return NoService(
        f"no service answers on {connection.target.name} ({why})",
        hint="does it run, and is this its address? (login_unix_socket, login_host, login_port)",
        host=connection.target.name,
    )
