"""Fetch a file's content from the host, in Base64.

Returns `content`, `encoding` and `source`; `{{ result.content | b64decode }}` is the text. In check mode it
is the content that earlier tasks would have written.
"""

from remedy.agent.kinds import REQUIRED, Failed, Param, Probe

PARAMS = (Param("src", "path", default=REQUIRED, aliases=("path",), help="the file"),)

EXAMPLES = """
- slurp: {src: /etc/os-release}
  register: release
"""

_LIMIT = 64 << 20


def kind(params):
    return Slurp


class Slurp(Probe):
    def read(self):
        import base64

        files = self.host.files
        path = files.path(self.params["src"])
        found = files.stat(path)
        if found is None:
            raise Failed("there is no file at %s" % path)
        if found["type"] != "file":
            raise Failed("%s is a %s; only the content of files can be fetched" % (path, found["type"]))
        if found["size"] > _LIMIT:
            raise Failed(
                "%s has %d bytes; up to %d are fetched as a result, use the fetch module for more"
                % (path, found["size"], _LIMIT)
            )
        content = base64.b64encode(files.read(path)).decode("ascii")
        return {"content": content, "encoding": "base64", "source": path}
