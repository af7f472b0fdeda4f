"""Break a configuration file: append a line, or put one text in the place of another.

The file as it was is kept on the host, in /var/lib/remedy-drill, from where `absent` brings it back, with its owner,
mode and times, whatever has become of the file since. Who reads the file is not told: restart or reload it with
`service`. Returns `path` and `original` (where it is kept).
"""

import os
import stat

from remedy.agent import atomic
from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.agent.paths import native
from remedy.modules.target.faults import _filling, _folder
from remedy.modules.target.faults._fault import MARK, STATE, Fault, wrong_path

PARAMS = (
    Param("path", "path", default=REQUIRED, help="The file."),
    Param("line", help="A line to append."),
    Param("search", help="A text in the file, whose first occurrence goes."),
    Param("replace", default="", help="What stands in its place then."),
    STATE,
)

EXAMPLES = """
- fault_config: {path: /etc/nginx/nginx.conf, line: "this is no directive"}
- fault_config: {path: /etc/mysql/my.cnf, search: "port = 3306", replace: "port = many"}
- fault_config: {path: /etc/nginx/nginx.conf, state: absent}
"""

_FOLDER = "/var/lib/" + MARK


def check_params(params):
    if params["state"] == "present" and (params["line"] is None) == (params["search"] is None):
        return "give line, or search and replace"
    if params["search"] == "":
        return "search must not be empty"
    return wrong_path(params)


def kind(params):
    return Config


class Config(Fault):
    _path = None

    @property
    def path(self):
        if self._path is None:
            self._path = self.host.files.real(self.host.files.path(self.params["path"]))
        return self._path

    @property
    def original(self):
        return os.path.join(_FOLDER, "config-" + self.path.replace("%", "%25").replace("/", "%2F"))

    def key(self):
        return "fault:config:" + self.path

    def found(self):
        if _filling.size_of(self.original) is None:
            return False if _folder.left(_FOLDER) else None
        if self.params["state"] == "absent":
            return True
        return self._now() == self._broken(_content(self.original))

    def inject(self):
        if _filling.size_of(self.original) is None:
            if _filling.size_of(self.path) is None:
                raise Failed("there is no file %s to break" % self.path)
            broken = self._broken(_content(self.path))
            _folder.make(_FOLDER)
            _copy(self.path, self.original)
        else:
            broken = self._broken(_content(self.original))
        self.host.files.write(self.path, [broken])

    def lift(self):
        if _filling.size_of(self.original) is not None:
            if self._now() != _content(self.original):
                _copy(self.original, self.path)
            _times(self.original, self.path)
            _filling.remove(self.original)
        _folder.drop(_FOLDER)

    def returns(self, have, now):
        return {"path": self.path, "original": self.original if now is not None else None}

    def _now(self):
        return _content(self.path) if _filling.size_of(self.path) is not None else None

    def _broken(self, content):
        """Return what the file shall hold."""
        if self.params["line"] is not None:
            end = b"" if content.endswith(b"\n") or not content else b"\n"
            return content + end + native(self.params["line"]) + b"\n"
        search = native(self.params["search"])
        if search not in content:
            raise Failed("%s does not hold the text '%s'" % (self.path, self.params["search"]))
        return content.replace(search, native(self.params["replace"]), 1)


def _content(path):
    with open(native(path), "rb") as file:
        return file.read()


def _copy(source, path):
    """Copy a file in one step, with owner, mode, extended attributes and times."""
    found = os.lstat(native(source))
    atomic.write(
        path,
        [_content(source)],
        stat.S_IMODE(found.st_mode),
        found.st_uid,
        found.st_gid,
        atomic.xattrs(native(source)),
    )
    _times(source, path)


def _times(source, path):
    found = os.lstat(native(source))
    os.utime(native(path), ns=(found.st_atime_ns, found.st_mtime_ns))
