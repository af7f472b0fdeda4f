"""The worker: the process in which the steps of one identity run, one after the other.

It holds none of the channel's descriptors: a worker that hangs in the kernel can be left behind.
"""

import os
import signal
import time

from remedy.agent import process
from remedy.agent.channel import Pipe
from remedy.agent.kinds import Failed

_PATIENCE = 2.0  # seconds for what was lent to be taken back; if it takes longer, nobody waits


class Gone(BaseException):
    """The link is gone: nothing may be written any more. No Exception, so that no module swallows it."""


class Ended(BaseException):
    """The worker was told to end (SIGTERM); what is open is cleaned up on the way out."""


class Talk(object):
    """The worker's side of the conversation; `waited` counts the seconds spent waiting for an answer."""

    Gone = Gone

    def __init__(self, pipe, memory):
        self._pipe = pipe
        self._memory = memory
        self._host = None
        self._step = None
        self._interruptible = True
        self._parent = os.getppid()
        self._lent = {}
        self.waited = 0.0

    def serve(self):
        """Run the steps that come, until the other side is gone."""
        from remedy.agent.host import Host

        self._host = Host(self)
        while True:
            message = self._pipe.receive()
            if message is None:
                return
            if message["t"] == "code":
                self._memory.add(message["sources"])
            elif message["t"] == "step":
                self._run(message)

    def _run(self, message):
        from remedy.agent import outcome, runner

        step = self._step = message["step"]
        self._host.begin(step, message["mark"])
        predicted = message.get("predicted")
        if predicted is not None:
            self._host.files.forget()
            self._host.files.learn(predicted)
            if not predicted:  # a real step came between, and another check pass begins
                self._host.foreseen.clear()
        before = self._host.predictions
        result = runner.run(step, self._host, self)
        after = self._host.predictions
        result["predicted"] = after if step.get("check") and after != before else None
        if result["status"] in ("ok", "changed") and not step.get("check") and not step.get("lent"):
            self._settle(result["object"])
        try:
            self._send(result)
        except (TypeError, ValueError) as error:
            self._send(outcome.failure(step["id"], "the module returned what cannot travel: %s" % error))

    def running(self, seconds, interruptible, kind):
        """Tell how long the step may take, and whether it may be interrupted."""
        self._interruptible = interruptible
        frame = {"t": "running", "seconds": seconds, "interruptible": interruptible, "kind": kind}
        self._send(frame)

    def ask(self, intent):
        """Send an intent and wait for the word: the contents are then at hand; raises Failed when it is no."""
        self._send(intent)
        word = self._answer("word")
        if word.get("refuse") is not None:
            raise Failed(word["refuse"])
        self._host.contents = word.get("contents") or {}

    def lend(self, module, have, want, kept):
        """Promise that the change of the step is taken back, whatever becomes of this agent; raises Failed."""
        from remedy.agent import lending

        key = module.key()
        if key in self._lent:
            raise Failed("%s is lent already" % key)
        self._lent[key] = lending.promise(module, have, want, kept, float(self._step["lent"]))

    def _settle(self, key):
        """A later step has put the object back, or changed it for good."""
        lent = self._lent.pop(key, None)
        if lent is not None:
            lent.settle()

    def leave(self):
        """Let what is still lent be taken back before the worker is gone, and with it the host's lock."""
        while self._lent:
            self._lent.popitem()[1].fall_due(_PATIENCE)

    def need(self, source):
        """Return the content of a source; raises Failed when the control machine has none."""
        self._send({"t": "need", "source": source, "step": self._step["id"]})
        answer = self._answer("content")
        if answer.get("error") is not None:
            raise Failed(answer["error"])
        return answer["data"]

    def warn(self, text):
        """Pass a warning on."""
        self._send({"t": "warn", "text": text, "step": self._step["id"]})

    def lost(self):
        """Return whether the agent was killed, and with it who would end what this step has started."""
        return self._interruptible and os.getppid() != self._parent

    def stopping(self):
        """Return whether the other side has closed the line, or asks to stop."""
        return self._pipe.ready()

    def _answer(self, kind):
        started = time.monotonic()
        try:
            while True:
                message = self._pipe.receive()
                if message is None:
                    raise Gone()
                if message["t"] == kind:
                    return message
        finally:
            self.waited += time.monotonic() - started

    def _send(self, message):
        try:
            self._pipe.send(message)
        except OSError:
            raise Gone()


def work(inn, out, memory):
    """Be the worker on these two descriptors; does not return."""
    code = 1
    try:
        os.setsid()
        process.close_all_but({inn, out})
        signal.signal(signal.SIGTERM, _end)
        signal.signal(signal.SIGHUP, _end)
        talk = Talk(Pipe(inn, out), memory)
        try:
            talk.serve()
        finally:
            talk.leave()
        code = 0
    except (Gone, Ended):
        code = 0
    finally:
        os._exit(code)


def _end(number, frame):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise Ended()
