"""Run a command line through a shell: pipes, redirection and variables work.

The shell is /bin/sh unless `executable` names another. Returns what `command` returns.
"""

from remedy.agent.kinds import REQUIRED, Param
from remedy.modules.target.command import COMMON, RunCommand

PARAMS = (
    Param("cmd", default=REQUIRED, help="The command line, or the task's bare text."),
    Param("executable", "path", default="/bin/sh", help="The shell that runs it."),
) + COMMON

FREE_FORM = "cmd"

EXAMPLES = """
- shell: journalctl -u nginx --since -1h | tail -n 20
  args:
    reads: true
"""


def kind(params):
    return RunShell


class RunShell(RunCommand):
    def argv(self):
        line = self.params["cmd"]
        return [self._expand(self.params["executable"]), "-c", line], line
