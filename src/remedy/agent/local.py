"""The worker of the agent's own identity, seen from the switchboard: its start, its deadline, its end."""

import os
import select
import signal
import time

from remedy.agent import family, frames
from remedy.agent.channel import Line
from remedy.agent.outcome import failure

_LOADING = 60  # seconds until a step must have said how long it may take
_PATIENCE = 3.0  # seconds that a change whose word had come gets to finish when the link is gone


class LocalWorker(object):
    """One worker at a time; a new one is forked when the old one had to be ended."""

    def __init__(self, board):
        self.deadline = None
        self.seen = {}
        self._board = board
        self._line = None
        self._pid = 0
        self._news = {}
        self._marks = 0
        self._origin = "%x.%x" % (os.getpid(), int(time.time()))
        self._reset(None)

    def _reset(self, step):
        self._step = step
        self._started = time.monotonic()
        self._left = None  # of the deadline, while it stands still
        self._limit = None
        self._interruptible = True
        self._kind = None
        self._intent = None
        self._worded = False
        self._overdue = False
        self.deadline = None if step is None else self._started + _LOADING

    @property
    def _mark(self):
        return "%s.%x" % (self._origin, self._marks)

    def run(self, step):
        """Start a step; its result goes to the switchboard."""
        self._marks += 1
        self._reset(step)
        try:
            if self._line is None:
                self._fork()
        except OSError as error:
            self._report("the host cannot start a further process: %s" % error.strerror)
            return
        if self._news:
            self._line.push({"t": "code", "sources": self._news})
            self._news = {}
        message = {"t": "step", "step": step, "mark": self._mark}
        if step.get("check") and self.seen is not self._board.predictions:
            message["predicted"] = self.seen = self._board.predictions
        self._line.push(message)

    def _fork(self):
        theirs_in, out = os.pipe()
        inn, theirs_out = os.pipe()
        self._news = {}
        self.seen = {}
        self._pid = os.fork()
        if not self._pid:
            from remedy.agent.worker import work

            work(theirs_in, theirs_out, self._board.memory)
        os.close(theirs_in)
        os.close(theirs_out)
        self._line = Line(inn, out)

    def code(self, sources):
        """Remember further modules for the worker; they go ahead of its next step."""
        if self._line is not None:
            self._news.update(sources)

    def alive(self):
        """The control machine has said something: of no concern to a worker, its line tells it the end."""

    def watched(self, reading):
        """Return {descriptor: (what to call, poll event)}."""
        if self._line is None:
            return {}
        found = {self._line.inn: (self._receive, select.POLLIN)} if reading else {}
        if self._line.waiting:
            found[self._line.out] = (self._line.flush, select.POLLOUT)
        return found

    def _receive(self):
        try:
            messages = self._line.pull()
        except frames.Broken as error:
            self._fail("the agent's worker broke its line (%s)" % error)
            return
        ended = self._line.ended
        for message in messages:
            self._take(message)
        if ended and self._line is not None:
            status = self._bury()
            if self._step is not None:
                self._report(_death(status))

    def _take(self, message):
        kind = message["t"]
        if kind == "running":
            self._limit, self._kind = message["seconds"], message["kind"]
            self._interruptible = message["interruptible"]
            self.deadline = None if self._limit is None else self._started + self._limit
            self._board.running(message)
        elif kind == "result":
            self._finished(message)
        else:
            if kind != "warn" and self.deadline is not None:  # the control machine's time is not the step's
                self._left, self.deadline = self.deadline - time.monotonic(), None
            if kind == "intent":
                self._intent = message
            self._board.relay(message)

    def _finished(self, result):
        if self._overdue:
            text = "took %.0f seconds, longer than its deadline of %g; it was let finish, as it must not be cut off"
            result["reason"] = text % (time.monotonic() - self._started, self._limit)
            result["result"].update(failed=True, msg=result["reason"], cause="timeout")
            result["status"] = "failed"
        self._reset(None)
        self._board.done(self, result)

    def deliver(self, message):
        """Hand the worker a word or a content; its deadline goes on."""
        if self._line is None or self._step is None:
            return
        if self._left is not None:
            self.deadline, self._left = time.monotonic() + self._left, None
        self._worded = self._worded or (message["t"] == "word" and message.get("refuse") is None)
        self._line.push(message)

    def tick(self, now):
        """End a step that is past its deadline, if it may be interrupted."""
        if self.deadline is None or now < self.deadline:
            return
        if self._must_finish():
            self._overdue, self.deadline = True, None
            return
        seconds = self._limit or _LOADING
        self._fail("took longer than its deadline of %g seconds and was ended" % seconds, "timeout")

    def cancel(self):
        """End the step under way, if it may be interrupted."""
        if self._step is not None and not self._must_finish():
            self._fail("cancelled")

    def _must_finish(self):
        return not self._interruptible and (self._worded or self._kind == "command")

    def _fail(self, message, cause=None):
        family.end(self._pid, self._mark)
        self._bury()
        self._report(message, cause)

    def _report(self, message, cause=None):
        change = None
        if self._worded:  # whether it was made, nobody saw
            names = ("kind", "object", "before", "want", "diff", "irreversible", "items")
            change = {name: self._intent.get(name) for name in names}
            change.update(id=self._intent["change"], after=None, after_unknown=True)
            change.update(bytes_freed=None, predicted=False)
        result = failure(self._step["id"], message, cause, change)
        result["seconds"] = time.monotonic() - self._started
        self._reset(None)
        self._board.done(self, result)

    def _bury(self):
        """Forget the worker, dead or stuck; return its wait status, None if it has none yet."""
        self._line.close()
        self._line = None
        for _ in range(50):
            status = family.reap(self._pid)
            if status is not None:
                return status
            time.sleep(0.01)
        return None

    def hang_up(self):
        """The link is gone: the worker sees the end, and writes nothing more."""
        if self._line is not None:
            self._line.finish()

    def finish(self):
        """Wait for what may not be cut off, end the rest."""
        if self._line is None:
            return
        patience = 0.0
        if self._step is None:
            patience = _PATIENCE  # it goes at once, or puts back what is lent
        elif self._must_finish():
            patience = float("inf")
        elif self._worded:
            patience = _PATIENCE
        self._drain(time.monotonic() + patience)
        if not self._line.ended:
            family.end(self._pid, self._mark)
        self._bury()

    def _drain(self, deadline):
        poll = select.poll()
        poll.register(self._line.inn, select.POLLIN)
        while not self._line.ended:
            left = min(deadline - time.monotonic(), 60.0)
            if left <= 0:
                return
            if poll.poll(int(left * 1000) + 1):
                self._line.pull()


def _death(status):
    if status is not None and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        hint = "; out of memory?" if number == signal.SIGKILL else ""
        return "the agent's worker was killed (signal %d%s)" % (number, hint)
    return "the agent's worker ended before the step did"
