"""A line in the shape that redis-py takes for a socket, plain or with TLS, and redis-py's connection over it."""

from __future__ import annotations

import ssl
import time
from typing import Any

from remedy.agent.kinds import Failed
from remedy.modules.controller._tls import MemoryTls
from remedy.transport.line import Line, received_by

_GREETING = 5.0  # seconds


class Stream:
    """A line with one deadline for a whole answer, however slowly it drips."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._until = time.monotonic() + _GREETING

    def limit(self, seconds: float) -> None:
        """Set the time for what is asked next."""
        self._until = time.monotonic() + seconds

    def recv(self, count: int) -> bytes:
        """Return what has come; TimeoutError past the deadline."""
        return received_by(self._line, count, self._until)

    def sendall(self, data: bytes) -> None:
        """Write all of it."""
        try:
            self._line.sendall(data)
        except (OSError, EOFError):
            # A server that is full says so and hangs up, without reading: its words are read first, and where there
            # are none the end is seen then.
            pass

    def settimeout(self, seconds: float | None) -> None:
        """The deadline is `limit`'s."""

    def shutdown(self, how: int) -> None:
        """The line is closed by its session."""

    def close(self) -> None:
        """The line is closed by its session."""


class TlsStream(Stream):
    """The same with TLS inside; the certificate is checked here, whatever the line goes through."""

    def __init__(self, line: Line, context: ssl.SSLContext, name: str) -> None:
        super().__init__(line)
        self._tls = MemoryTls(context, name, super().recv, super().sendall)
        try:
            self._tls.handshake()
        except ssl.SSLCertVerificationError as error:
            raise Failed(
                f"the certificate of Redis at {line.address} is not good for {name}: {error.verify_message}; "
                "ca_certs names who has signed it, tls_name the name that it bears",
                redis_error="TLS",
            ) from None
        except TimeoutError:
            # Not TIMEOUT: a server that is asked in the wrong way does not hang.
            raise Failed(
                f"Redis at {line.address} does not begin TLS within {_GREETING:g} s: does it talk TLS there?",
                "timeout",
                redis_error="TLS",
            ) from None
        except (ssl.SSLError, OSError, EOFError) as error:
            raise Failed(
                f"Redis at {line.address} does not talk TLS there: {error}; is it another port?",
                redis_error="TLS",
            ) from None

    def recv(self, count: int) -> bytes:
        """Return what has come, decrypted."""
        return self._tls.read(count)

    def sendall(self, data: bytes) -> None:
        """Encrypt and write all of it."""
        self._tls.write(data)


def connection(stream: Stream) -> tuple[Any, type[Exception]]:
    """Return redis-py's connection over a stream, ready, and what it raises for what a server refuses.

    Nothing is retried, nothing is sent but what is asked; a refusal carries the server's whole text, code and all.
    """
    import redis
    from redis._parsers import _RESP2Parser
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    class Parser(_RESP2Parser):  # type: ignore[misc,unused-ignore]
        def parse_error(self, response: str) -> Exception:  # type: ignore[override,unused-ignore]
            return redis.ResponseError(response)

    class Over(redis.Connection):  # type: ignore[misc,unused-ignore]
        def _connect(self) -> Any:
            return stream

    over: Any = Over  # redis-py's constructors have no types
    client: Any = over(
        host="",
        protocol=2,
        parser_class=Parser,
        decode_responses=True,
        encoding_errors="surrogateescape",
        retry=Retry(NoBackoff(), 0),
        redis_connect_func=lambda made: made._parser.on_connect(made),
    )
    client.connect()
    return client, redis.ResponseError
