"""A Resource: one file with one text, written the plain way; it can be told to misbehave."""

import os
import signal
import time

from remedy.agent.kinds import Irreversible, Resource


class Line(Resource):
    def key(self):
        return "line:" + self.params["path"]

    def read(self):
        try:
            with open(self.params["path"]) as file:
                return {"text": file.read(), "kind": "line"}
        except FileNotFoundError:
            return None

    def wanted(self, have):
        if self.params.get("never"):
            return {"text": "unreachable", "kind": "line"}
        return {"text": self.params["text"], "kind": "line"}

    def keep(self, have):
        if self.params.get("irreversible"):
            return Irreversible("as asked")
        if self.params.get("weight"):
            return {"state": have, "content": b"x" * self.params["weight"]}
        return {"state": have}

    def needs(self, have, want):
        return [self.params["source"]] if self.params.get("source") else []

    def write(self, have, want):
        path = self.params["path"]
        if want is None:
            os.unlink(path)
            return
        sibling = path + ".sibling"
        try:
            with open(sibling, "w") as file:
                text = want["text"]
                if self.params.get("source"):
                    text = b"".join(self.host.content(self.params["source"])).decode()
                file.write(text)
                file.flush()
                time.sleep(self.params.get("slow", 0))
            if self.params.get("die"):
                os.kill(os.getpid(), signal.SIGKILL)
            os.rename(sibling, path)
        finally:
            if os.path.exists(sibling):
                os.unlink(sibling)
        if self.params.get("broken"):
            raise OSError(28, "No space left on device", path)

    def diff(self, have, want):
        return {"before": have["text"] if have else "", "after": want["text"] if want else ""}

    def returns(self, have, now):
        return {"path": self.params["path"], "had": have is not None}

    def predict(self, have, want):
        path = self.params["path"]
        self.host.files.predict(path, {"type": "file", "mode": "0644"}, want["text"].encode())


class Patient(Line):
    interruptible = False


def kind(params):
    return Patient if params.get("patient") else Line
