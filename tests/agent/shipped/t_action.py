"""An Action that appends to a file; its proof is the size."""

import os

from remedy.agent.kinds import Action, Failed


class Append(Action):
    happened = "appended to"

    def key(self):
        return "append:" + self.params["path"]

    def ready(self):
        if self.params.get("why"):
            return self.params["why"]
        if not os.path.exists(self.params["path"]):
            raise Failed("there is nothing to append to")
        return None

    def state(self):
        return os.path.getsize(self.params["path"])

    def do(self):
        if not self.params.get("lazy"):
            with open(self.params["path"], "a") as file:
                file.write("x")
        return {"did": True}

    def proof(self, before):
        now = self.state()
        if now == before:
            raise Failed("nothing was appended")
        return now


def kind(params):
    return Append
