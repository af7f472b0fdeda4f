"""The agent of another identity, started by the login agent, seen from the switchboard.

The frames travel as descriptors 1 and 2 of sudo or su, descriptor 0 brings the password, and the whole has a
terminal of its own, for `requiretty` and doas. So a password is never read as a frame, nor a frame as a password.
"""

import os
import select
import signal
import sys
import time

from remedy.agent import family, frames, process, stage
from remedy.agent.become import Dialog
from remedy.agent.channel import Line
from remedy.agent.outcome import failure

_START = 60  # seconds for sudo, PAM and Python to get going
_PATIENCE = 4.8  # what the other agent needs at the most to end what may be cut off
_PING = 5.0


class ChildAgent(object):
    """A whole agent, with its own worker and deadlines, at the other end of three pipes."""

    def __init__(self, board, name, identity, start, label):
        self.seen = {}
        self.deadline = time.monotonic() + _START
        self._board = board
        self._name = name
        self._identity = identity
        self._start = dict(start, lock=False, relay=True)
        self._label = label
        self._nonce = os.urandom(12).hex()
        self._dialog = Dialog(identity, os.urandom(12).hex())
        self._line = None
        self._master = self._slave = None
        self._password = None
        self._pid = 0
        self._step = None
        self._running = False
        self._interruptible = True
        self._hung_up = 0.0
        self._started = 0.0
        self._pinged = time.monotonic()

    def _spawn(self):
        memory = self._board.memory
        payload = memory.packed
        script = stage.find(self._nonce, len(payload), self._label, sys.executable)
        script = "exec 0<&1 1>&2 2>/dev/null; " + script
        options = self._dialog.options
        script = stage.becoming(stage.become_argv(self._identity, script, options))
        given, self._password = os.pipe()
        theirs_in, out = os.pipe()
        inn, theirs_out = os.pipe()
        try:
            self._master, self._slave = os.openpty()
            os.set_blocking(self._master, False)
        except OSError:
            pass  # no terminals on this host: what needs none still works
        try:
            self._pid = process.spawn(
                ["/bin/sh", "-c", script], (given, theirs_in, theirs_out), dict(os.environ), "/", self._settle
            )
        finally:
            for descriptor in (given, theirs_in, theirs_out):
                os.close(descriptor)
        self._line = Line(inn, out, self._nonce.encode("ascii"))
        self._line.push_bytes(payload)
        self._line.push(self._start)
        if memory.later:
            self.code(memory.later)

    def _settle(self):
        if self._slave is not None:
            # The first terminal that a session opens becomes its own.
            os.close(os.open(os.ttyname(self._slave), os.O_RDWR))

    def run(self, step):
        """Start a step; its result goes to the switchboard."""
        if self._line is None:
            try:
                self._spawn()
            except OSError as error:
                self._refused("not_in_sudoers", "cannot start a shell: %s" % error)
                return
        step = dict(step)
        step["as"] = None
        if step.get("check") and self.seen is not self._board.predictions:
            step["predicted"] = self.seen = self._board.predictions
        self._step = step
        self._started = time.monotonic()
        self._line.push({"t": "batch", "id": step["id"], "steps": [step]})

    def code(self, sources):
        """Pass further modules on."""
        if self._line is not None:
            self._line.push({"t": "code", "sources": sources})

    def alive(self):
        """The control machine has said something: the other agent's lease goes on."""
        if self._line is not None and time.monotonic() - self._pinged > _PING:
            self._pinged = time.monotonic()
            self._line.push({"t": "ping"})

    def deliver(self, message):
        """Pass on a word or a content."""
        if self._line is not None:
            self._line.push(message)

    def cancel(self):
        """End the step under way, if it may be interrupted."""
        if self._line is not None and self._step is not None:
            self._line.push({"t": "cancel", "batch": self._step["id"]})

    def watched(self, reading):
        """Return {descriptor: (what to call, poll event)}."""
        found = {}
        if self._line is not None:
            if reading:
                found[self._line.inn] = (self._receive, select.POLLIN)
            if self._line.waiting:
                found[self._line.out] = (self._line.flush, select.POLLOUT)
            if self._master is not None:
                found[self._master] = (self._terminal, select.POLLIN)
        return found

    def tick(self, now):
        """Give up on a start that takes too long."""
        if self.deadline is not None and now > self.deadline:
            self._refused(*self._dialog.late(_START))

    def _terminal(self):
        try:
            said = os.read(self._master, 4096)
        except OSError:
            said = b""
        if self._line.nonce is not None and self._dialog.asked_on_terminal(said):
            os.write(self._master, self._dialog.secret)

    def _receive(self):
        if self._line is None:
            return
        try:
            messages = self._line.pull()
        except (frames.Broken, ValueError):
            messages, self._line.ended = [], True
        refused = self._line.noise.endswith(stage.NO_PYTHON.encode("ascii") + b" ")
        if self._line.nonce is not None or refused:
            self._converse(refused)
            return
        if not self._running:
            self._running, self.deadline = True, None
            self._forget_password()
        for message in messages:
            self._take(message)
        if self._line is not None and self._line.ended:
            self._lost()

    def _converse(self, ended):
        """Before the hello: what sudo or su says, and its prompts."""
        verdict = self._dialog.heard(self._line.noise, ended or self._line.ended)
        if verdict is not None:
            self._refused(*verdict)
        elif self._dialog.asked and self._password is not None:
            try:
                os.write(self._password, self._dialog.secret)
            except OSError:
                pass  # it has ended: its last words say why
            self._forget_password()

    def _take(self, message):
        kind = message["t"]
        if kind == "running":
            self._interruptible = message["interruptible"]
        elif kind == "result":
            self._step, self._interruptible = None, True
            self._board.done(self, message)
        elif kind in ("intent", "need", "warn"):
            self._board.relay(message)

    def _lost(self):
        step, self._step = self._step, None
        self._close()
        self._board.forget(self)
        if step is not None:
            result = failure(step["id"], "the agent of %s ended in the middle of the step" % self._name)
            result["seconds"] = time.monotonic() - self._started
            self._board.done(self, result)

    def _refused(self, reason, message):
        self._close()
        self._board.identity_failed(self._name, reason, message)

    def _forget_password(self):
        if self._password is not None:
            os.close(self._password)
            self._password = None

    def _close(self):
        """End the start, or what is left of the agent: its line, its terminal (which hangs up), its process."""
        self.deadline = None
        self._forget_password()
        if self._line is not None:
            self._line.close()
            self._line = None
        for descriptor in (self._master, self._slave):
            if descriptor is not None:
                os.close(descriptor)
        self._master = self._slave = None
        if self._pid and not self._reaped(0.2):
            try:
                os.kill(self._pid, signal.SIGTERM)
            except OSError:
                pass  # sudo is root's, and we are not: its terminal has hung up

    def _reaped(self, seconds):
        until = time.monotonic() + seconds
        while family.reap(self._pid) is None:
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True

    def hang_up(self):
        """The link is gone: the other agent sees the end, and writes nothing more."""
        self._hung_up = time.monotonic()
        if self._line is not None:
            self._line.finish()

    def finish(self):
        """Wait for the other agent, which ends what may be cut off and finishes what may not."""
        if self._line is None:
            return
        until = self._hung_up + _PATIENCE if self._interruptible else float("inf")
        poll = select.poll()
        poll.register(self._line.inn, select.POLLIN)
        while not self._line.ended and self._running:
            left = until - time.monotonic()
            if left <= 0:
                break
            if poll.poll(int(min(left, 60.0) * 1000) + 1):
                try:
                    self._line.pull()
                except (frames.Broken, ValueError):
                    break
        self._close()
