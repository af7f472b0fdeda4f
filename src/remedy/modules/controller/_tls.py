"""TLS inside a line that is no socket: turned in memory, with the certificate checked on the control machine."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remedy.agent.kinds import Failed

_PIECE = 1 << 16


class MemoryTls:
    """TLS over whatever `receive` returns (up to so many bytes, b"" at the end) and `send` takes."""

    def __init__(
        self,
        context: ssl.SSLContext,
        name: str | None,
        receive: Callable[[int], bytes],
        send: Callable[[bytes], None],
    ) -> None:
        self._receive, self._send = receive, send
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=name)

    def handshake(self) -> None:
        """Begin; raises ssl.SSLError where the other side is not whom it should be, and what `receive` raises."""
        self._run(self._tls.do_handshake)

    def read(self, count: int) -> bytes:
        """Return 1 to `count` bytes, b"" at the end."""
        try:
            return bytes(self._run(self._tls.read, count))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def write(self, data: bytes) -> None:
        """Encrypt and write all of it."""
        self._run(self._tls.write, data)

    def _run(self, work: Any, *arguments: Any) -> Any:
        while True:
            try:
                result = work(*arguments)
            except ssl.SSLWantReadError:
                self._flush()
                data = self._receive(_PIECE)
                if data:
                    self._in.write(data)
                else:
                    self._in.write_eof()
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if self._out.pending:
            self._send(self._out.read())


def trusting(ca: str | None, certificate: str | None = None, key: str | None = None) -> ssl.SSLContext:
    """Return what trusts the authorities of a file of this machine (None: the system's) and shows a certificate.

    Raises Failed for a file that cannot be read or used; nobody is asked for the passphrase of a key.
    """
    for path in (ca, certificate, key):
        try:
            if path:
                with Path(path).open("rb"):
                    pass
        except OSError as error:
            raise Failed(f"{path} of this machine, which TLS needs, cannot be read: {error.strerror}") from None

    def passphrase() -> str:
        raise Failed(f"the key in {key or certificate} of this machine has a passphrase; expected one without")

    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError as error:
        raise Failed(f"{ca} of this machine holds no certificates that can be used: {error}") from None
    try:
        if certificate:
            context.load_cert_chain(certificate, key, passphrase)
    except ssl.SSLError as error:
        raise Failed(
            f"{certificate} and {key or 'its key'} of this machine are no certificate with its key: {error}"
        ) from None
    return context
