"""Runs a target module as the agent would, in this process, on the real machine."""

from remedy.agent import runner
from remedy.agent.host import Host
from remedy.modules import check, coerce, find


class Gone(BaseException):
    """The link ended."""


class Talk:
    """The control machine's side: says yes to every intent, and remembers what was asked and warned."""

    Gone = Gone
    waited = 0.0

    def __init__(self):
        self.intents = []
        self.warnings = []
        self.before_word = None

    def ask(self, intent):
        self.intents.append(intent)
        if self.before_word is not None:
            self.before_word()
        return {}

    def need(self, source):
        raise AssertionError(f"nothing was to be asked for, but {source} was")

    def warn(self, text):
        self.warnings.append(text)

    def stopping(self):
        return False

    def running(self, seconds, interruptible, kind):
        pass


def params(name, internal=(), **given):
    """Return what a task with these parameters would send to the host."""
    spec = find(name)
    ready = coerce(spec, check(spec, given, None, templates_allowed=False))
    ready.update(internal)
    return ready


def run(name, *, in_check=False, talk=None, internal=(), environment=None, **given):
    """Run a module to its `result` frame."""
    talk = talk or Talk()
    host = Host(talk)
    step = {
        "id": "1",
        "module": find(name).import_name,
        "params": params(name, internal, **given),
        "check": in_check,
        "environment": environment or {},
    }
    host.begin(step, "test")
    return runner.run(step, host, talk)
