"""Servers on this machine to whom remedy tells: mail by aiosmtpd, webhooks by http.server."""

from __future__ import annotations

import email
import email.policy
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller


class Mail:
    """Takes mail, and keeps it in `letters`; a `refuses` is what it answers instead."""

    def __init__(self, refuses: str | None = None) -> None:
        self.letters: list[EmailMessage] = []
        self._refuses = refuses

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Answer as aiosmtpd expects."""
        if self._refuses is not None:
            return self._refuses
        self.letters.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
        return "250 taken"


class _OnAnyPort(Controller):
    def _trigger_server(self) -> None:
        """Take note of the port that the system gave: aiosmtpd greets its own server before it says it is there."""
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server(refuses: str | None = None) -> Iterator[tuple[Mail, int]]:
    """Yield what keeps the mail, and the port."""
    mail = Mail(refuses)
    controller = _OnAnyPort(mail, hostname="127.0.0.1", port=0)
    controller.start()
    try:
        yield mail, controller.port
    finally:
        controller.stop()


class Web:
    """Takes webhooks: `bodies` by path, in order. `answers` are given in order, the last for ever."""

    def __init__(self, answers: list[tuple[int, Any]], waits: float) -> None:
        self.bodies: list[tuple[str, Any]] = []
        self.answers = answers
        self.waits = waits


@contextmanager
def web_server(
    *answers: tuple[int, Any], waits: float = 0.0, address: str = "127.0.0.1"
) -> Iterator[tuple[Web, int]]:
    """Yield what keeps the webhooks' bodies, and the port."""
    web = Web(list(answers) or [(200, {})], waits)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            web.bodies.append((self.path, json.loads(body)))
            time.sleep(web.waits)
            code, answer = web.answers.pop(0) if len(web.answers) > 1 else web.answers[0]
            data = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((address, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield web, server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
