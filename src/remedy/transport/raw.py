"""`raw`: a command on a host that needs no Python there, on the connection that is open anyway."""

from __future__ import annotations

import secrets
import threading
from typing import NamedTuple

from remedy.agent import stage
from remedy.errors import Interrupted, LinkLost, Unreachable
from remedy.transport import refusals
from remedy.transport.connection import Connection
from remedy.transport.identity import Identity
from remedy.transport.streams import Ending, Stream
from remedy.transport.watchdog import CANCELLED, TIMEOUT

_FOREVER = 1e8  # seconds
_LATER = 5.0  # seconds a channel has to close before the connection is given up
_GRACE = 0.5  # seconds a local command has to end by itself at its deadline
_OUTPUT = 256 << 20  # bytes of stdout; more is no answer, and fifty hosts may give one at a time
_ERRORS = 16 << 20  # bytes of stderr that are kept


class _EndlessError(Exception):
    """A command prints more than fits into memory."""


class RawResult(NamedTuple):
    """What a raw command left: its exit status (-1: killed by a signal), stdout and stderr."""

    rc: int
    stdout: bytes
    stderr: bytes


def run_raw(
    connection: Connection,
    command: str,
    *,
    identity: Identity | None = None,
    timeout: float = 1800.0,
    cancel: threading.Event | None = None,
) -> RawResult:
    """Run a command by the login shell, or as another user by /bin/sh; its standard input is empty.

    Raises TimeoutError after `timeout` seconds (0: none; what runs on a remote host is not killed), Unreachable where
    the other user is refused, LinkLost where the connection ends, Interrupted when `cancel` is set.
    """
    prompt = f"[remedy {secrets.token_hex(8)}] "
    script = command if identity is None else _becoming(connection, identity, command, prompt)
    seconds = timeout or _FOREVER
    dog = connection.watchdog
    with dog.guard(seconds + _LATER, connection.line.abort):
        try:
            stream = connection.line.open_stream(script, _ERRORS, _GRACE)
        except Exception as error:  # Paramiko's many kinds
            raise _lost(connection, error) from None
        with dog.guard(seconds, lambda: _close_softly(stream), cancel) as guard:
            try:
                out = _everything(stream, identity)
            except _EndlessError:
                _close_softly(stream)
                raise LinkLost(
                    "link_lost",
                    f"the raw command printed more than {_OUTPUT >> 20} MiB, and was given up",
                    hint="let it print less, or into a file on the host; it may still run there",
                    host=connection.target.name,
                ) from None
            ending = stream.ending()
            err = stream.errors()
        stream.close()
    if guard.fired == CANCELLED:
        raise Interrupted("stopped during a raw command", host=connection.target.name)
    if guard.fired == TIMEOUT:
        raise TimeoutError(f"the raw command did not end within {seconds:g} s")
    if ending.status is None and not ending.alive:
        raise _lost(connection, ending.error)
    err = err.replace(prompt.encode(), b"")
    if identity is not None and ending.status:
        _check(connection, identity, out.decode(errors="replace"), err.decode(errors="replace"), ending)
    return RawResult(-1 if ending.status is None else ending.status, out, err)


def _becoming(connection: Connection, identity: Identity, command: str, prompt: str) -> str:
    """Return the command line that runs `command` as another user; a password comes as the first line of input."""
    asks = identity.password is not None
    if asks and identity.method == "doas":
        raise Unreachable(
            "sudo_password",
            "doas takes a password only on a terminal, which 'raw' does not have",
            hint="allow it without a password (nopass in doas.conf), or use sudo",
            host=connection.target.name,
        )
    options = ["-S", "-p", prompt] if asks else ["-n"]
    become = stage.becoming(stage.become_argv(identity.means(), command, options))
    if asks:
        become = f"IFS= read -r P; printf '%s\\n' \"$P\" | {{ {become}; }}"
    return f"exec {stage.quote(connection.target.shell)} -c {stage.quote(become)}"


def _everything(stream: Stream, identity: Identity | None) -> bytes:
    if identity is not None and identity.password is not None:
        try:
            stream.send(identity.password.encode() + b"\n", lambda: None)
        except (OSError, EOFError):
            pass  # it has ended already; its words say why
    stream.finish()
    out = bytearray()
    while True:
        try:
            data = stream.receive(1 << 16)
        except TimeoutError:
            continue  # the guard ends this
        if not data:
            return bytes(out)
        out += data
        if len(out) > _OUTPUT:
            raise _EndlessError


def _close_softly(stream: Stream) -> None:
    """Close the channel alone: the connection may serve further tasks."""
    threading.Thread(target=stream.close, name="remedy-closer", daemon=True).start()


def _check(connection: Connection, identity: Identity, out: str, err: str, ending: Ending) -> None:
    """Raise where sudo, su or doas refused, rather than the command failed."""
    program = (identity.exe or identity.method).rpartition("/")[2]
    if not any(
        line.startswith((f"{program}:", "Sorry, try again")) or f"{program}: " in line
        for line in err.splitlines()
    ):
        return
    if identity.password is not None and ("incorrect password" in err or "Authentication failure" in err):
        raise Unreachable(
            "sudo_password",
            f"the password for {connection.user} at {connection.address} to become {identity.user} is wrong",
            hint="give the right one with -K or ansible_become_password; one attempt was made",
            host=connection.target.name,
        )
    found = refusals.become(connection, identity, out + err, ending.status)
    if found is not None:
        raise found


def _lost(connection: Connection, error: BaseException | None) -> LinkLost:
    return LinkLost(
        "link_lost",
        f"the connection to {connection.address} ended during a raw command ({error or 'no reason given'})",
        hint="the command may have run, in part or whole: look at the host before running again",
        host=connection.target.name,
    )
