"""A file whose content the control machine holds until the host asks for it: copy and template."""

import os

from remedy.agent.kinds import Failed
from remedy.modules.target._content import DIFF_LIMIT, Content

INTERNAL = ("source", "sha1", "size", "basename")


def sent(params, info, name=None):
    """Return what travels to the host instead of the content; `name` is used when dest is a folder."""
    mode = info["mode"] if params["mode"] == "preserve" else params["mode"]
    return dict(params, mode=mode, source=info["id"], sha1=info["sha1"], size=info["size"], basename=name)


def destination(files, written, name, follow):
    """Return the canonical path that `dest` means: within it when it is a folder."""
    path = files.path(written)
    if name is not None:
        found = files.stat(path)
        if written.endswith("/") or (found is not None and found["type"] == "directory"):
            path = os.path.join(path, name)
    return files.real(path, follow)


def check_sum(params, sha1):
    """Raise Failed unless the content is what `checksum` promises."""
    promised = params.get("checksum")
    if promised and promised.lower() != sha1:
        raise Failed(
            "the content has the checksum %s, not the expected %s" % (sha1, promised),
            checksum=sha1,
            expected_checksum=promised,
        )


class Sent(Content):
    """The file at `dest`, with content that travels only when it is not there yet."""

    def __init__(self, params, host):
        Content.__init__(self, params, host)
        self.makes_folders = params["dest"].endswith("/")

    def locate(self):
        return destination(self.files, self.params["dest"], self.params["basename"], self.params["follow"])

    def new(self, have):
        check_sum(self.params, self.params["sha1"])
        if have is not None and not self.params["force"]:
            self.why_not = "it is there, and force is false"
            return None
        return self.params["sha1"], self.params["size"]

    def needs(self, have, want):
        same = want is None or (have is not None and have.get("sha1") == want["sha1"])
        return [] if same else [self.params["source"]]

    def chunks(self, want):
        return self.host.content(self.params["source"])

    def origin(self, want):
        return self.params["source"]

    def after(self, want):
        if want["sha1"] != self.params["sha1"]:
            return None
        if want["size"] > DIFF_LIMIT:
            return {"after": "(%d bytes: larger than 100 kB, not shown)\n" % want["size"]}
        return {"after_source": self.params["source"]}

    def returns(self, have, now):
        return dict(Content.returns(self, have, now), src=self.params.get("src"))
