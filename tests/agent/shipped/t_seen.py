"""A Probe that reads a file through the host's view, predictions included."""

from remedy.agent.kinds import Probe


class Seen(Probe):
    def read(self):
        files = self.host.files
        path = self.params["path"]
        state = files.lstat(path)
        return {"text": None if state is None else files.read(path).decode()}


def kind(params):
    return Seen
