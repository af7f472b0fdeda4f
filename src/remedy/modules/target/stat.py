"""Tell what is at a path: type, owner, permissions, size, times, checksum.

Returns `stat`, whose `exists` says whether there is anything. Unlike Ansible's, `get_mime` and
`get_attributes` are off unless asked for: each starts a program (`file`, `lsattr`). Without the program
`mimetype` and `charset` are "unknown", and `attributes` is missing. What an earlier task would have made in
check mode has no inode and no times.
"""

import os

from remedy.agent.atomic import failed, native
from remedy.agent.files import digest
from remedy.agent.kinds import REQUIRED, Param, Probe
from remedy.modules.target._facts import TYPES, access, from_mode, from_stat, link, names

PARAMS = (
    Param("path", "path", default=REQUIRED, aliases=("dest", "name"), help="what to look at"),
    Param("follow", "bool", default=False, help="look at what a link leads to"),
    Param("get_checksum", "bool", default=True, help="compute the checksum of a file"),
    Param(
        "checksum_algorithm",
        default="sha1",
        choices=("md5", "sha1", "sha224", "sha256", "sha384", "sha512"),
        aliases=("checksum", "checksum_algo"),
        help="how",
    ),
    Param(
        "get_mime",
        "bool",
        default=False,
        aliases=("mime", "mime_type", "mime-type"),
        help="ask `file` what the content is",
    ),
    Param(
        "get_attributes",
        "bool",
        default=False,
        aliases=("attr", "attributes"),
        help="ask `lsattr` for the flags of the file system",
    ),
)

EXAMPLES = """
- stat: {path: /etc/mysql/my.cnf}
  register: cnf
"""

_FLAGS = {
    "A": "noatime",
    "a": "append",
    "C": "nocow",
    "c": "compressed",
    "D": "dirsync",
    "d": "nodump",
    "e": "extents",
    "E": "encrypted",
    "i": "immutable",
    "I": "indexed",
    "j": "journalled",
    "N": "inline",
    "P": "project",
    "s": "zero",
    "S": "synchronous",
    "t": "notail",
    "T": "blockroot",
    "u": "undelete",
    "V": "verity",
    "x": "dax",
}


def kind(params):
    return Stat


class Stat(Probe):
    deadline = 300  # a checksum reads the whole file

    def read(self):
        files = self.host.files
        path = files.path(self.params["path"])
        state = files.stat(path) if self.params["follow"] else files.lstat(path)
        if state is None:
            return {"stat": {"exists": False}}
        real = files.real(path, self.params["follow"])
        fields = {"path": path, "exists": True}
        predicted = files.predicted(real)
        if predicted:
            fields.update(from_mode(TYPES[state["type"]] | int(state["mode"], 8)))
            fields.update(uid=state["uid"], gid=state["gid"], size=state["size"])
            fields.update(names(state["uid"], state["gid"]))
            if "target" in state:
                fields["lnk_target"] = state["target"]
        else:
            fields.update(self._found(real, state))
        if state["type"] == "file" and self.params["get_checksum"]:
            algorithm = self.params["checksum_algorithm"]
            readable = predicted or fields["readable"]
            if algorithm == "sha1" and predicted:
                fields["checksum"] = files.sha1(real)
            elif readable:
                fields["checksum"] = digest(files.chunks(real), algorithm)
        if not predicted:
            fields.update(self._mime(real) if self.params["get_mime"] else {})
            fields.update(self._attributes(real) if self.params["get_attributes"] else {})
        return {"stat": fields}

    def _found(self, path, state):
        try:
            found = os.lstat(native(path))
            fields = from_stat(found)
            if state["type"] == "link":
                fields.update(link(path))
        except OSError as error:
            raise failed(error, "look at", path)
        fields.update(access(path))
        for name, field in (
            ("st_blocks", "blocks"),
            ("st_blksize", "block_size"),
            ("st_rdev", "device_type"),
        ):
            fields[field] = getattr(found, name)
        return fields

    def _mime(self, path):
        unknown = {"mimetype": "unknown", "charset": "unknown"}
        program = self.host.which("file")
        if program is None:
            return unknown
        done = self.host.run(
            [program, "-b", "-h", "--mime-type", "--mime-encoding", "--", native(path)], ok=None
        )
        kind_of, _, charset = done.stdout.decode("utf-8", "replace").strip().partition(";")
        if done.rc != 0 or not charset:
            return unknown
        return {"mimetype": kind_of.strip(), "charset": charset.partition("=")[2].strip()}

    def _attributes(self, path):
        program = self.host.which("lsattr")
        if program is None:
            return {}
        done = self.host.run([program, "-vd", "--", native(path)], ok=None)
        words = done.stdout.decode("utf-8", "replace").split()
        if done.rc != 0 or len(words) < 2:
            return {}  # file systems without flags refuse
        flags = words[1].replace("-", "").strip()
        named = [_FLAGS[flag] for flag in flags if flag in _FLAGS]
        return {"version": words[0].strip(), "attr_flags": flags, "attributes": named}
