"""Answers what it is asked for, misbehaves as it is told."""

import os
import sys
import time

from remedy.agent.kinds import Failed, Probe


class Asked(Probe):
    def read(self):
        do = self.params.get("do")
        if do == "print":
            print("noise on standard output")
            sys.stdout.flush()
            os.write(1, b"more noise")
            os.system("echo and more; cat")
        if do == "fail":
            raise Failed("as asked", cause="permission", detail=7)
        if do == "crash":
            raise KeyError("nobody thought of this")
        if do == "die":
            os.kill(os.getpid(), self.params["signal"])
        if do == "strange":
            return {"value": object()}
        if do == "warn":
            self.host.warn("look here")
        if do == "content":
            return {"value": b"".join(self.host.content(self.params["source"])).decode()}
        if do == "hang":
            time.sleep(600)
        if do == "child":
            return {
                "value": self.host.in_child(lambda: time.sleep(self.params["seconds"]) or os.getpid(), 0.3)
            }
        if do == "errno":
            raise OSError(self.params["errno"], os.strerror(self.params["errno"]), self.params["path"])
        if do == "bytes":
            return {"stdout": self.host.run(**self.params["run"]).stdout}
        if do == "run":
            done = self.host.run(**self.params["run"])
            return {"rc": done.rc, "stdout": done.stdout.decode(), "stderr": done.stderr.decode()}
        return {
            "pid": os.getpid(),
            "uid": os.geteuid(),
            "open": _open(),
            "ppid": os.getppid(),
            "left": self.host.left(),
            "sid": os.getsid(0),
            "modules": sorted(sys.modules),
        }


def _open():
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink("/proc/self/fd/" + name)
        except OSError:
            pass  # the one that listed the folder
    return found


def kind(params):
    return Asked
