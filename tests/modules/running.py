"""Runs a target module as the agent would, in this process, on the real machine."""

import json
import subprocess

from remedy.agent import bootstrap, runner
from remedy.agent.host import Host
from remedy.modules import check, find


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

    def lost(self):
        return False

    def running(self, seconds, interruptible, kind):
        pass


def params(module, /, *, internal=(), **given):
    """Return what a task with these parameters would send to the host."""
    spec = find(module)
    ready = dict(check(spec, given, None, templates_allowed=False))
    ready.update(internal)
    return ready


def run(module, /, *, in_check=False, talk=None, internal=(), environment=None, **given):
    """Run a module to its `result` frame."""
    talk = talk or Talk()
    host = Host(talk)
    step = {
        "id": "1",
        "module": find(module).import_name,
        "params": params(module, internal=internal, **given),
        "check": in_check,
        "environment": environment or {},
    }
    host.begin(step, "test")
    return runner.run(step, host, talk)


_STANDALONE = """
import json, os, sys
# As in the agent: what is left behind on a dead mount must hold nobody's pipe.
answer = os.fdopen(os.dup(1), "w")
nothing = os.open(os.devnull, os.O_RDWR)
for number in (0, 1, 2):
    os.dup2(nothing, number)
sources = json.loads(SOURCES)
memory_code = compile(sources["remedy.agent.importer"], "importer", "exec")
names = {"__name__": "remedy.agent.importer"}
exec(memory_code, names)
sys.meta_path.insert(0, names["Memory"](sources))
from remedy.agent import runner
from remedy.agent.host import Host

class Gone(BaseException):
    pass

class Talk:
    Gone = Gone
    waited = 0.0
    warnings = []
    def ask(self, intent): return {}
    def warn(self, text): self.warnings.append(text)
    def stopping(self): return False
    def lost(self): return False
    def running(self, seconds, interruptible, kind): pass

talk = Talk()
found = []
for step in json.loads(STEPS):
    host = Host(talk)
    host.begin(step, "test")
    found.append(dict(runner.run(step, host, talk), warnings=talk.warnings))
answer.write(json.dumps(found))
answer.flush()
"""


def step(module, /, *, in_check=False, internal=(), **given):
    """Return a step for `in_lab`."""
    spec = find(module)
    ready = params(module, internal=internal, **given)
    return {"id": "1", "module": spec.import_name, "params": ready, "check": in_check, "environment": {}}


def in_lab(lab, host, *steps, user="root", timeout=None):
    """Run steps in a lab host, from sources shipped as the agent ships them; return their result frames."""
    done = lab.run(host, ["python3", "-I", "-B", "-"], stdin=_program(steps), user=user, timeout=timeout)
    return json.loads(done.stdout)


def one(lab, host, module, /, **given):
    """Run one step in a lab host; return its result frame."""
    [frame] = in_lab(lab, host, step(module, **given))
    return frame


def in_python(interpreter, *steps):
    """Run steps on this machine in another Python, with warnings as errors and in the C locale."""
    argv = [interpreter, "-I", "-B", "-W", "error", "-"]
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": "/root"}
    done = subprocess.run(
        argv, input=_program(steps), stdout=subprocess.PIPE, env=environment, check=True, timeout=60
    )
    return json.loads(done.stdout)


def _program(steps):
    sources = bootstrap.sources([each["module"] for each in steps])
    return f"SOURCES = {json.dumps(sources)!r}\nSTEPS = {json.dumps(steps)!r}\n{_STANDALONE}".encode()
