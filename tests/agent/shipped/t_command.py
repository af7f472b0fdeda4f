"""A Command: runs a shell line; `patient` must not be cut off."""

from remedy.agent.kinds import Command, Skipped, Unknown


class Shell(Command):
    def run(self):
        if self.params.get("skip"):
            raise Skipped("it exists")
        if self.params.get("unknown"):
            raise Unknown("it hangs on a package that is not there yet")
        done = self.host.run(self.params["line"], ok=None, shell=True, cwd=self.params.get("cwd"))
        return {"rc": done.rc, "stdout": done.stdout.decode(), "stderr": done.stderr.decode()}


class Patient(Shell):
    interruptible = False


def kind(params):
    return Patient if params.get("patient") else Shell
