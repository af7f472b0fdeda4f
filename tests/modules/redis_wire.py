"""A Redis server that answers what was recorded, over a real socket; and the host as controller modules see it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from remedy.agent.kinds import Failed
from remedy.engine.logins import Logins
from remedy.modules.controller._site import not_known

Answers = Mapping[str, Any]


class Refused(str):
    """An answer that is an error."""


class Wire:
    """What a module takes for a line: one end of a pair of sockets, with a recorded server at the other."""

    address = "127.0.0.1:6379"

    def __init__(self, answers: Answers | Callable[[list[str]], Any]) -> None:
        self.raw, self._far = socket.socketpair()
        self.asked: list[list[str]] = []
        self._answers = answers
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.ended = False

    def settimeout(self, seconds: float | None) -> None:
        self.raw.settimeout(seconds)

    def recv(self, count: int) -> bytes:
        return self.raw.recv(count)

    def sendall(self, data: bytes) -> None:
        self.raw.sendall(data)

    def close(self) -> None:
        self.ended = True
        self.raw.close()
        self._thread.join(5)

    def _serve(self) -> None:
        with self._far, self._far.makefile("rb") as stream:
            try:
                while line := stream.readline():
                    words = []
                    for _ in range(int(line[1:])):
                        length = int(stream.readline()[1:])
                        words.append(stream.read(length + 2)[:-2].decode())
                    self.asked.append(words)
                    answer = self._answer(words)
                    if answer is SystemExit:
                        return
                    if answer is not TimeoutError:
                        self._far.sendall(packed(answer))
            except OSError:
                return

    def _answer(self, words: list[str]) -> Any:
        if callable(self._answers):
            return self._answers(words)
        for count in (len(words), 3, 2, 1):
            name = " ".join([words[0].upper(), *words[1:count]])
            if name in self._answers:
                return self._answers[name]
        return Refused(f"ERR unknown command '{words[0]}', with args beginning with: ")


class Site:
    """The host of a step, as far as Redis's modules ask for it."""

    name, address, user, check, clock_skew = "c1", "c1", "root", False, None

    def __init__(self, *wires: Wire, **told: Any) -> None:
        self.wires = list(wires)
        self.told = told
        self.reached = 0
        self.warned: list[str] = []
        self.hidden: list[object] = []
        self._held: dict[Any, Any] = {}
        self._logins = Logins()

    def reach(self, addresses: Any) -> Any:
        self.reached += 1
        if not self.wires:
            raise Failed(f"no service answers on {self.name}")
        return self.wires.pop(0)

    def held(self, key: Any, open: Callable[[], Any]) -> Any:
        if key not in self._held or not self._held[key].alive:
            self._held[key] = open()
        return self._held[key]

    def ask(self, module: str, **params: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.told["host"]
        return found

    def attempt(self, login: Any, circumstances: Any = None) -> AbstractContextManager[None]:
        return self._logins.attempt((self.name, login), circumstances)

    def cut(self, line: Any, error: BaseException, asked: str, **result: Any) -> NoReturn:
        said = f"{self.name}: the service at {line.address} ended the conversation: {error}"
        raise Failed(f"{said}; {not_known(asked)}", **result)

    def hide(self, secret: object) -> None:
        self.hidden.append(secret)

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def stopping(self) -> bool:
        return False

    def close(self) -> None:
        for session in self._held.values():
            session.close()


def packed(answer: Any) -> bytes:
    """Return an answer in Redis's protocol."""
    if isinstance(answer, Refused):
        return f"-{answer}\r\n".encode()
    if isinstance(answer, bool | int):
        return b":%d\r\n" % answer
    if answer is None:
        return b"$-1\r\n"
    if isinstance(answer, list):
        return b"*%d\r\n" % len(answer) + b"".join(packed(each) for each in answer)
    if answer in ("OK", "PONG"):
        return f"+{answer}\r\n".encode()
    raw = answer.encode()
    return b"$%d\r\n%s\r\n" % (len(raw), raw)
