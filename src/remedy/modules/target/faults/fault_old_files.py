"""Leave old files that nobody uses, many or big ones, in a folder of their own.

The folder is `remedy-drill-NAME` in `path`. Both times of the files, of reading and of writing, lie `age` back. The
time of the last change of the inode (ctime) does not, because nothing can set it: what judges temporary files by all
three takes them for young until that time has passed. Returns `folder` and `files`.
"""

import os
import stat
import time

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.agent.paths import native
from remedy.modules.target.faults import _filling
from remedy.modules.target.faults._fault import MARK, STATE, Fault, name_param, wrong_name, wrong_path

PARAMS = (
    Param("path", "path", default=REQUIRED, help="The folder that their folder is in, such as /tmp."),
    Param("files", "int", default=10, help="How many there are."),
    Param("size", "size", default=1 << 20, help="How many bytes each of them holds; 0 uses up inodes alone."),
    Param("age", "duration", default=30 * 86400, help="How old they are."),
    Param("ending", default="", help="What their names end in, such as .log.1."),
    name_param("old"),
    STATE,
)

EXAMPLES = """
- fault_old_files: {path: /tmp, files: 20, size: 10M}
- fault_old_files: {path: /var/log, files: 5000, size: 0, ending: .log.1, name: jobs}
- fault_old_files: {path: /tmp, state: absent}
"""


def check_params(params):
    if isinstance(params["files"], int) and not 1 <= params["files"] <= 1000000:
        return "files: expected 1 to 1000000"
    if "/" in params["ending"]:
        return "ending is the end of a name, without /"
    return wrong_path(params) or wrong_name(params)


def kind(params):
    return OldFiles


class OldFiles(Fault):
    _folder = None

    @property
    def folder(self):
        if self._folder is None:
            path = _filling.folder(self.params["path"])
            self._folder = os.path.join(path, "%s-%s" % (MARK, self.params["name"]))
        return self._folder

    def key(self):
        return "fault:" + self.folder

    def found(self):
        if self._names() is None:
            return None
        size, age = self.params["size"], self.params["age"]
        return all(_filling.is_old(path, size, age) for path in self._wanted())

    def inject(self):
        size, age = self.params["size"], self.params["age"]
        if self._names() is None:
            os.mkdir(native(self.folder), 0o755)
        missing = [path for path in self._wanted() if not _filling.is_old(path, size, age)]
        if _filling.room(self.folder)[0] < len(missing) * size:
            raise Failed("%s has no room for %d files of %d bytes" % (self.folder, len(missing), size))
        for path in missing:
            _filling.write(path, size, age)
        then = time.time() - age
        os.utime(native(self.folder), (then, then))

    def lift(self):
        for name in self._names() or ():
            os.unlink(os.path.join(native(self.folder), name))
        os.rmdir(native(self.folder))

    def returns(self, have, now):
        return {"folder": self.folder, "files": len(self._names() or ())}

    def _wanted(self):
        """Return the paths that shall be there."""
        numbers = range(1, self.params["files"] + 1)
        return [os.path.join(self.folder, "old-%06d%s" % (each, self.params["ending"])) for each in numbers]

    def _names(self):
        """Return the names of our files, None where there is no folder of ours."""
        try:
            found = os.lstat(native(self.folder))
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(found.st_mode):
            raise Failed("%s is there, and no folder of this fault: give another name" % self.folder)
        return [name for name in os.listdir(native(self.folder)) if name.startswith(b"old-")]
