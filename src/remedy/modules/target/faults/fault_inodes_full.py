"""Use up the inodes of a file system with empty files in one folder of their own.

The folder is `.remedy-drill-NAME`. Nobody's clean-up takes them, so they serve as ballast under fault_old_files,
too. Never makes more than `most` files; file systems that make inodes as they need them (XFS, Btrfs) are refused by
that. Returns `path`, `files` and `free` (inodes).
"""

import errno
import os
import stat

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.agent.paths import native
from remedy.modules.target.faults import _filling
from remedy.modules.target.faults._fault import MARK, STATE, Fault, name_param, wrong_name, wrong_path

PARAMS = (
    Param("path", "path", default=REQUIRED, help="A folder on the file system."),
    Param("leave", "int", default=0, help="How many inodes stay free."),
    Param("most", "int", default=1000000, help="Refuse to make more files than this."),
    name_param("inodes"),
    STATE,
)

EXAMPLES = """
- fault_inodes_full: {path: /var/log}
- fault_inodes_full: {path: /tmp, leave: 500, name: ballast}
- fault_inodes_full: {path: /var/log, state: absent}
"""

_SLACK = 8  # what comes and goes on a host that lives


def check_params(params):
    if any(isinstance(params[name], int) and params[name] < 0 for name in ("leave", "most")):
        return "leave and most cannot be less than 0"
    return wrong_path(params) or wrong_name(params)


def kind(params):
    return InodesFull


class InodesFull(Fault):
    _path = None

    @property
    def path(self):
        if self._path is None:
            folder = _filling.folder(self.params["path"])
            self._path = os.path.join(folder, ".%s-%s" % (MARK, self.params["name"]))
        return self._path

    def key(self):
        return "fault:" + self.path

    def found(self):
        if self._files() is None:
            return None
        return self._missing() <= _SLACK

    def inject(self):
        missing = self._missing()
        if self._files() is None and self.params["leave"] and missing <= 0:
            text = "%s has only %d inodes free already, and %d are to be left: nothing to use up; leave less"
            free = missing + self.params["leave"]
            raise Failed(text % (self.params["path"], free, self.params["leave"]))
        if missing + len(self._files() or ()) > self.params["most"]:
            text = "%s has %d inodes to use up, and most is %d: give a higher most if that is meant"
            raise Failed(text % (self.params["path"], missing, self.params["most"]))
        try:
            if self._files() is None:
                os.mkdir(native(self.path), 0o700)
            first = max([int(name) for name in self._files()] or [0]) + 1
            for number in range(first, first + self._missing()):
                name = os.path.join(native(self.path), b"%d" % number)
                os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except OSError as error:
            if error.errno != errno.ENOSPC or self._missing() > _SLACK:
                raise

    def lift(self):
        for name in self._files() or ():
            os.unlink(os.path.join(native(self.path), name.encode("ascii")))
        os.rmdir(native(self.path))

    def returns(self, have, now):
        free = _filling.room(os.path.dirname(self.path))[3]
        return {"path": self.path, "files": len(self._files() or ()), "free": free}

    def _files(self):
        """Return the names of our files, None where there is no folder of ours."""
        try:
            found = os.lstat(native(self.path))
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(found.st_mode):
            raise Failed("%s is there, and no folder of this fault: give another name" % self.path)
        return [name for name in os.listdir(self.path) if name.isdigit()]

    def _missing(self):
        """Return how many inodes are still to be used up."""
        return _filling.room(os.path.dirname(self.path))[3] - self.params["leave"]
