"""Run a command line over bare SSH: the host needs no Python.

The login shell runs it as it stands, or `executable` does. Returns `rc`, `stdout`, `stderr` and
their `_lines`.
"""

from remedy.agent.kinds import REQUIRED, Command, Failed, Param

PLACE = "raw"

PARAMS = (
    Param("cmd", default=REQUIRED, help="The command line, as the task's bare text."),
    Param("executable", "path", help="The shell that runs it; the login shell when not given."),
    Param("reads", "bool", default=False, help="A promise that it only reads: allowed in diagnose."),
)

FREE_FORM = "cmd"

EXAMPLES = """
- raw: apt-get install -y python3-minimal
"""


def kind(params):
    return Raw


class Raw(Command):
    def run(self):
        raise Failed("raw runs through the transport, never in the agent; this is a fault in remedy")
