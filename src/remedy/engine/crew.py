"""The workers of a run, one a host: those of its plays, and those that only get what others delegate to them."""

from __future__ import annotations

import threading

from remedy.engine.context import RunContext
from remedy.engine.greeting import Machines
from remedy.engine.state import HostState
from remedy.engine.worker import Worker


class Crew:
    """Makes a worker when it is first needed; `slots` are the forks."""

    def __init__(self, run: RunContext) -> None:
        self.machines = Machines()
        self.slots = threading.Semaphore(run.options.forks)
        self._run = run
        self._workers: dict[str, Worker] = {}
        self._guard = threading.Lock()

    def worker(self, state: HostState) -> Worker:
        """Return the worker of a host; any thread may ask."""
        with self._guard:
            if state.name not in self._workers:
                self._workers[state.name] = Worker(self._run, state, self)
            return self._workers[state.name]

    def close(self) -> list[threading.Thread]:
        """Begin to end every agent; return who is at it."""
        with self._guard:
            workers = list(self._workers.values())
        return [worker.close() for worker in workers]
