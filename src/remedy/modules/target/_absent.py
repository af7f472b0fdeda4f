"""Nothing at a path, as `file` with state absent makes it."""

import os

from remedy.agent import atomic
from remedy.agent.kinds import Failed
from remedy.agent.paths import failed, native, text
from remedy.modules.target import _steady, _undo
from remedy.modules.target._inodes import Existing

_SHOWN = 100  # names in a diff
_LARGEST = 1 << 20  # bytes that are read for their number of lines


class Absent(Existing):
    """Nothing: a folder goes with all that is in it, up to a mount point, which is a refusal."""

    destructive = True
    deadline = 300

    def locate(self):
        return self.files.real(self.files.path(self.params["path"]), follow=False)

    def wanted(self, have):
        if self.path == "/":
            raise Failed("/ cannot be removed; name what is in it")
        inside = _undo.mounts_below(self.path) if have is not None else []
        if inside:
            raise Failed(
                "cannot remove %s: %s is a mount point; unmount it first" % (self.path, ", ".join(inside)),
                path=self.path,
            )
        return None

    def keep(self, have):
        return _undo.keep(self.files, self.path, have)

    def undo(self, kept):
        if kept["entries"]:
            _undo.restore(self.files, kept)
        else:
            self.write(self.read(), None)

    def write(self, have, want):
        if have is None:
            return
        if have["type"] == "directory":
            _undo.remove_tree(self.path)
            return
        try:
            folder, name = _steady.hold(self.path)
            try:
                os.unlink(name, dir_fd=folder)
            finally:
                os.close(folder)
            atomic.sync(os.path.dirname(self.path))
        except OSError as error:
            raise failed(error, "remove", self.path)

    def diff(self, have, want):
        if have is None:
            return None  # an undo
        return {"note": "%s: removed%s" % (self.path, self._about(have))}

    def _about(self, have):
        """Return in words what goes with it: how many lines, where a link led, what is below."""
        if have["type"] == "link":
            return " (a link to %s)" % have.get("target")
        if have["type"] == "file":
            number = self._lines()
            return "" if number is None else " (%d line%s)" % (number, "" if number == 1 else "s")
        if have["type"] != "directory":
            return " (%s)" % have["type"]
        names = []
        for folder, below, plain in os.walk(native(self.path)):
            names.extend(text(os.path.join(folder, name)) for name in below + plain)
            if len(names) > _SHOWN:
                names[_SHOWN:] = ["(and more)"]
                break
        return ", and what is in it:\n  " + "\n  ".join(names) if names else " (it is empty)"

    def _lines(self):
        """Return how many lines a text has, None where it is none or a large one."""
        if self.files.predicted(self.path):
            return None
        try:
            if (self.files.lstat(self.path) or {}).get("size", 0) > _LARGEST:
                return None
            content = self.files.read(self.path)
        except (Failed, OSError):
            return None
        return None if b"\0" in content else len(content.splitlines())

    def why(self, have):
        return "there is nothing"

    def predict(self, have, want):
        self.files.predict(self.path, None)

    def returns(self, have, now):
        return {"path": self.path, "state": "absent"}
