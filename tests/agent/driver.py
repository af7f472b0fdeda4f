"""A control machine in small: starts the agent as a login shell would, and speaks frames with it."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from remedy.agent import bootstrap, frames
from remedy.transport import bytecode

WAIT = 15.0
"""Seconds after which an answer counts as lost; only a failing test waits as long."""

SHIPPED = {
    f"remedy.modules.target.{path.stem}": path.read_text()
    for path in (Path(__file__).parent / "shipped").glob("*.py")
}


def everything() -> bytes:
    """Return what travels to a host: the agent and the modules of these tests, as a run packs them."""
    sources = {**bootstrap.sources(), **SHIPPED}
    return bootstrap.pack(sources, bytecode.KIND, bytecode.compiled(sources))


def interpreters() -> list[str]:
    """Return a path for each Python from 3.6 on that this machine has."""
    found = [shutil.which(f"python3.{minor}") for minor in range(6, 15)]
    paths = [path for path in found if path and "/shims/" not in path] + ["/usr/bin/python3"]
    home = os.environ.get("PYENV_ROOT") or str(Path("~/.pyenv").expanduser())
    paths += [str(path) for path in Path(home).glob("versions/3.*/bin/python") if "/3.5" not in str(path)]
    known: dict[str, str] = {}
    for path in paths:
        if os.access(path, os.X_OK):
            known.setdefault(str(Path(path).resolve()), path)
    return sorted(known)


class Agent:
    """One agent, as the control machine sees it."""

    def __init__(
        self,
        interpreter: str | None = None,
        *,
        shell: tuple[str, ...] = ("/bin/sh", "-c"),
        become: dict[str, Any] | None = None,
        user: int | None = None,
        label: str = "remedy test, me@here, since now",
        environment: dict[str, str] | None = None,
        payload: bytes | None = None,
        **start: Any,
    ) -> None:
        payload = payload if payload is not None else everything()
        self.nonce = os.urandom(8).hex()
        line = bootstrap.command(self.nonce, len(payload), label, interpreter, become)
        self.process = subprocess.Popen(
            [*shell, line],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            user=user,
            group=user,
            extra_groups=[] if user is not None else None,
            env=environment,
            cwd="/",
        )
        self._buffer = b""
        self.noise = b""
        self._count = 0
        with suppress(BrokenPipeError):  # it has ended already; what it printed says why
            self.write(payload)
            self.send(t="start", **{"lock": False, "check": False, "lease": 60, **start})

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, **message: Any) -> None:
        self.write(frames.encode(message))

    def _more(self, deadline: float) -> bytes:
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError("the agent did not answer in time")
        return os.read(descriptor, 1 << 16)

    def hello(self) -> dict[str, Any]:
        """Skip the noise and return the hello."""
        deadline = time.monotonic() + WAIT
        mark = f"{self.nonce}\n".encode()
        while mark not in self._buffer or self._buffer.partition(mark)[0].endswith(
            (b"-PYTHON ", b"-PASSWORD ")
        ):
            data = self._more(deadline)
            if not data:
                error = self.process.stderr.read() if self.process.stderr else b""
                raise EOFError(f"no hello: {self._buffer!r} {error!r}")
            self._buffer += data
        self.noise, _, self._buffer = self._buffer.partition(mark)
        return self.next("hello")

    def receive(self, seconds: float = WAIT) -> dict[str, Any] | None:
        """Return the next message, None at the end."""
        deadline = time.monotonic() + seconds

        def take(count: int) -> bytes:
            if not self._buffer:
                self._buffer = self._more(deadline)
            taken, self._buffer = self._buffer[:count], self._buffer[count:]
            return taken

        return frames.read(take)  # type: ignore[return-value]

    def next(self, kind: str, seconds: float = WAIT) -> dict[str, Any]:
        """Return the next message of a kind; passes over `begin` and `warn`, refuses everything else."""
        while True:
            message = self.receive(seconds)
            if message is None:
                error = self.process.stderr.read() if self.process.stderr else b""
                raise EOFError(f"the agent is gone: {error.decode()}")
            if message["t"] == kind:
                return message
            if message["t"] not in ("begin", "warn"):
                raise AssertionError(f"{kind} was expected, not {message}")

    def batch(self, *steps: dict[str, Any]) -> str:
        """Send a batch; return its id."""
        self._count += 1
        name = f"b{self._count}"
        numbered = [{"id": f"{name}.{n}", "group": None, **step} for n, step in enumerate(steps, 1)]
        self.send(t="batch", id=name, steps=numbered, ends=None)
        return name

    def run(self, *steps: dict[str, Any], contents: dict[str, bytes] | None = None) -> list[dict[str, Any]]:
        """Run a batch, giving every word; return all that came, `ended` last."""
        self.batch(*steps)
        came = []
        while not came or came[-1]["t"] != "ended":
            message = self.receive()
            if message is None:
                raise EOFError(f"the agent is gone after {came}")
            came.append(message)
            if message["t"] == "intent":
                self.send(t="word", change=message["change"], contents=contents or {})
        return came

    def one(self, module: str, params: dict[str, Any] | None = None, **step: Any) -> dict[str, Any]:
        """Run one step and return its result."""
        came = self.run(self.step(module, params, **step))
        return next(message for message in came if message["t"] == "result")

    @staticmethod
    def step(module: str, params: dict[str, Any] | None = None, **step: Any) -> dict[str, Any]:
        return {"op": "run", "module": module, "params": params or {}, **step}

    def cut(self) -> None:
        """End the link, as a lost connection does."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def gone(self, seconds: float = 5.0) -> int:
        """Wait until the agent has ended; return its exit status."""
        return self.process.wait(seconds)

    def close(self) -> None:
        """End the agent, whatever state it is in."""
        if self.process.poll() is None:
            self.cut()
            try:
                self.process.wait(6)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGKILL)
                self.process.wait(5)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass


def results(came: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return (step, status) of each result."""
    return [(m["step"], m["status"]) for m in came if m["t"] == "result"]
