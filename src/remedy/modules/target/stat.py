"""Tell what is at a path: type, owner, permissions, size, times, checksum.

Returns `stat`, whose `exists` says whether there is anything. Unlike Ansible's, `get_mime` and
`get_attributes` are off unless asked for: each starts a program (`file`, `lsattr`). Without the program
`mimetype` and `charset` are "unknown", and `attributes` is missing. What an earlier task would have made in
check mode has no inode and no times.
"""

import os
import struct

from remedy.agent.files import digest
from remedy.agent.kinds import REQUIRED, Param, Probe
from remedy.agent.paths import failed, native
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

# letter, bit and name of the flags, in the order in which lsattr shows them
_FLAGS = (
    ("s", 0x1, "zero"),
    ("u", 0x2, "undelete"),
    ("S", 0x8, "synchronous"),
    ("D", 0x10000, "dirsync"),
    ("i", 0x10, "immutable"),
    ("a", 0x20, "append"),
    ("d", 0x40, "nodump"),
    ("A", 0x80, "noatime"),
    ("c", 0x4, "compressed"),
    ("E", 0x800, "encrypted"),
    ("j", 0x4000, "journalled"),
    ("I", 0x1000, "indexed"),
    ("t", 0x8000, "notail"),
    ("T", 0x20000, "blockroot"),
    ("e", 0x80000, "extents"),
    ("C", 0x800000, "nocow"),
    ("x", 0x2000000, "dax"),
    ("F", 0x40000000, "casefold"),
    ("N", 0x10000000, "inline"),
    ("P", 0x20000000, "project"),
    ("V", 0x100000, "verity"),
    ("m", 0x400, "nocompress"),
)


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
            if self.params["get_attributes"] and state["type"] in ("file", "directory"):
                fields.update(self._attributes(real))
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
        """Return version, attr_flags and attributes, as far as the file system has them (ioctl_iflags(2))."""
        from fcntl import ioctl

        fields = {}
        try:
            opened = os.open(native(path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return fields
        try:
            word = ioctl(opened, _number("f", 1), bytes(8))
            flags = [flag for flag in _FLAGS if struct.unpack_from("=I", word)[0] & flag[1]]
            fields["attr_flags"] = "".join(flag[0] for flag in flags)
            fields["attributes"] = [flag[2] for flag in flags]
            word = ioctl(opened, _number("v", 1), bytes(8))
            fields["version"] = str(struct.unpack_from("=I", word)[0])
        except OSError:
            pass  # file systems without flags, or without versions, refuse
        finally:
            os.close(opened)
        return fields


def _number(letter, number):
    """Return the number of an ioctl that reads a long, as _IOR does; some machines place its bits elsewhere."""
    shift = 29 if os.uname()[4].startswith(("ppc", "mips", "sparc", "alpha")) else 30
    return 2 << shift | struct.calcsize("l") << 16 | ord(letter) << 8 | number
