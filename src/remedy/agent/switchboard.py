"""The agent's main process: one loop over the link, the worker and the agents of other identities.

It runs no step itself and never blocks on one, so that pings are answered, deadlines kept and the end of the link
seen whatever a step does. docs/protocol.md lists the frames.
"""

import os
import select
import time

from remedy.agent import frames, hello, keeping
from remedy.agent.batch import Batch
from remedy.agent.local import LocalWorker

LEASE = 60
_BACKLOG = 8 << 20  # unread bytes towards the control machine past which the workers have to wait
_PROGRESS = 0.5
_TOGETHER = 0.02  # seconds that a result may wait for the next one: each packet wakes sshd and the control machine


class Switchboard(object):
    """The frames of the control machine on `line`, handed to whom they concern; `memory` is the importer."""

    def __init__(self, line, memory, label):
        self.line = line
        self.memory = memory
        self.label = label
        self.predictions = {}
        self._start = {}
        self._lock = None
        self._locked_out = False
        self._identities = {}
        self._workers = {}
        self._batches = []
        self._keep_left = keeping.HOST_LIMIT
        self._ended = False

    def serve(self):
        """Work until the link ends, its lease runs out, or `end` comes."""
        while not self._ended and not self.line.ended:
            for act in self._ready():
                act()
            now = time.monotonic()
            for worker in list(self._workers.values()):
                worker.tick(now)
            self._announce(now)
            if self.line.kept_since is not None and now - self.line.kept_since > _TOGETHER:
                self.line.release()
            lease = self._start.get("lease", LEASE)
            self._ended = self._ended or bool(lease and now - self.line.heard > lease)

    def _ready(self):
        """Wait for something to do; return what to call."""
        acts = {self.line.inn: (self._receive, select.POLLIN)}
        if self.line.waiting:
            acts[self.line.out] = (self.line.flush, select.POLLOUT)
        for worker in self._workers.values():
            acts.update(worker.watched(self.line.waiting < _BACKLOG))
        poll = select.poll()
        for descriptor, (_, event) in acts.items():
            poll.register(descriptor, event)
        # Not later than a deadline: 1 ms more, so that the clock is past it when poll comes back.
        found = poll.poll(max(0, int((self._until() - time.monotonic()) * 1000)) + 1)
        return [acts[descriptor][0] for descriptor, _ in found]

    def _until(self):
        moments = [time.monotonic() + 30]
        moments += [worker.deadline for worker in self._workers.values() if worker.deadline is not None]
        lease = self._start.get("lease", LEASE)
        if lease:
            moments.append(self.line.heard + lease)
        if self.line.kept_since is not None:
            moments.append(self.line.kept_since + _TOGETHER)
        if self._batches and not self._batches[0].announced:
            moments.append(max(self._batches[0].started + _PROGRESS, time.monotonic()))
        return min(moments)

    def _receive(self):
        heard = self.line.heard
        try:
            messages = self.line.pull()
        except (frames.Broken, ValueError):
            self._ended = True
            return
        for message in messages:
            handler = getattr(self, "_on_" + message["t"], None)
            if handler is not None:
                handler(message)
        if self.line.heard != heard:
            for worker in self._workers.values():
                worker.alive()

    def _on_start(self, message):
        self._start = message
        answer = hello.describe()
        answer["lock"] = self._take_lock() if message.get("lock") else {"held": False, "holder": None}
        self.line.push(answer)

    def _take_lock(self):
        from remedy.agent import lock

        try:
            self._lock = lock.acquire()
            holder = None if self._lock is not None else lock.holder()
        except OSError as error:
            holder = "nobody: the lock cannot be taken (%s)" % error
        self._locked_out = self._lock is None
        return {"held": self._lock is not None, "holder": holder}

    def _on_code(self, message):
        self.memory.add(message["sources"])
        for worker in self._workers.values():
            worker.code(message["sources"])

    def _on_identity(self, message):
        self._identities[message["name"]] = message

    def _on_batch(self, message):
        self._batches.append(Batch(message["id"], message["steps"]))
        if len(self._batches) == 1:
            self._next()

    def _on_word(self, message):
        self._deliver(message)

    def _on_content(self, message):
        self._deliver(message)

    def _deliver(self, message):
        if self._batches and self._batches[0].worker is not None:
            self._batches[0].worker.deliver(message)

    def _on_cancel(self, message):
        for batch in list(self._batches):
            if batch.id == message.get("batch", batch.id):
                batch.stop("cancelled")
                if batch.worker is not None:
                    batch.worker.cancel()
                elif batch is not self._batches[0]:
                    self._batches.remove(batch)
                    self.line.push(batch.ended())

    def _on_ping(self, message):
        self.line.push({"t": "pong", "n": message.get("n")})

    def _on_end(self, message):
        self._ended = True

    def _next(self):
        """Start the next step, or end the batch and take the next one."""
        while self._batches:
            batch = self._batches[0]
            if self._locked_out:
                batch.stop("locked")
            step = batch.next()
            if step is not None:
                self._run(batch, step)
                return
            self.line.push(batch.ended())
            self._batches.pop(0)

    def _run(self, batch, step):
        step.setdefault("keep_left", self._keep_left)
        if step.get("predicted") is not None:
            self.predictions = step.pop("predicted")
        elif not step.get("check") and not self._start.get("check"):
            self.predictions = {}  # a real step: what a check pass foresaw before it no longer holds
        name = step.get("as")
        if name is not None and name not in self._identities:
            self.identity_failed(name, "not_in_sudoers", "identity '%s' was never described" % name)
            return
        worker = self._workers.get(name)
        if worker is None:
            worker = LocalWorker(self) if name is None else self._child(name)
            self._workers[name] = worker
        batch.worker = worker
        if time.monotonic() - batch.started > _PROGRESS:
            self._begin(batch)
        worker.run(step)

    def _child(self, name):
        from remedy.agent.identity import ChildAgent

        return ChildAgent(self, name, self._identities[name], self._start, self.label)

    def _announce(self, now):
        """Tell which step a batch is at, once it has lasted half a second."""
        batch = self._batches[0] if self._batches else None
        if batch is not None and not batch.announced and now - batch.started > _PROGRESS:
            self._begin(batch)

    def _begin(self, batch):
        batch.announced = True
        self.line.push({"t": "begin", "step": batch.step["id"]})

    def running(self, message):
        """A step has begun to run: the switchboard of the login user wants to know whether to wait for it."""
        if self._start.get("relay"):
            self.line.push(message)

    def relay(self, message):
        """Pass on what a worker says while its step is under way."""
        if message["t"] == "intent" and message.get("kept") is not None:
            self._keep_left = max(0, self._keep_left - keeping.weight(message["kept"]))
        self.line.push(message)

    def done(self, worker, result):
        """A worker's step has come to its result."""
        predicted = result.pop("predicted", None)
        if predicted is not None:
            self.predictions = predicted
            worker.seen = predicted
            if self._start.get("relay"):
                result["predicted"] = predicted
        self.line.keep(result)
        self._batches[0].finished(result["status"])
        self._next()

    def forget(self, worker):
        """A worker is gone; the next step of its identity gets a new one."""
        self._workers = {key: other for key, other in self._workers.items() if other is not worker}

    def identity_failed(self, name, reason, message):
        """The agent of another identity cannot be had: the batch ends."""
        self._workers.pop(name, None)
        self.line.push({"t": "identity_failed", "name": name, "reason": reason, "message": message})
        if self._batches:
            self._batches[0].refuse("identity")
            self._next()

    def close(self):
        """End all workers, what may not be cut off first; the host's lock is freed last."""
        self.line.ended = True
        workers = list(self._workers.values())
        for worker in workers:
            worker.hang_up()
        for worker in workers:
            worker.finish()
        if self._lock is not None:
            os.close(self._lock)
