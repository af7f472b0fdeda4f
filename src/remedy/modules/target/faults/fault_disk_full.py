"""Fill a file system with one file of its own, to the last byte or so far that something is left.

The file is `.remedy-drill-NAME` in the folder; nobody's clean-up takes it, so it serves as ballast under another
fault, too (give each its own name). `leave` is what others than root can still write; with 0 root cannot write
either. What frees itself within 1 MiB of that counts as full. Never takes more than `most`. Returns `path`,
`bytes` and `free` (for others than root).
"""

import os

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.target.faults import _filling
from remedy.modules.target.faults._fault import MARK, STATE, Fault, name_param, wrong_name, wrong_path

PARAMS = (
    Param("path", "path", default=REQUIRED, help="A folder on the file system; `/` for the root."),
    Param("leave", "size", help="How much stays free, such as 20M; 0 unless percent is given."),
    Param("percent", "percent", help="How full it will be, as df counts it, in place of leave."),
    Param("most", "size", default=10 << 30, help="Refuse to take more than this."),
    name_param("full"),
    STATE,
)

EXAMPLES = """
- fault_disk_full: {path: /var/log}
- fault_disk_full: {path: /, percent: 92%, most: 50G}
- fault_disk_full: {path: /var/log, leave: 24M, name: ballast}
- fault_disk_full: {path: /var/log, state: absent}
"""

_SLACK = 1 << 20


def check_params(params):
    if params["leave"] is not None and params["percent"] is not None:
        return "give leave or percent, not both"
    for name in ("leave", "most"):
        if isinstance(params[name], int) and params[name] < 0:
            return "%s cannot be less than 0" % name
    return wrong_path(params) or wrong_name(params)


def kind(params):
    return DiskFull


class DiskFull(Fault):
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
        if _filling.size_of(self.path) is None:
            return None
        return self._missing() <= _SLACK

    def inject(self):
        missing = self._missing()
        have = _filling.size_of(self.path)
        if have is None and self._leave() and missing <= 0:
            text = "%s has only %d bytes free already, and %d are to be left: nothing to fill; leave less"
            free = _filling.room(os.path.dirname(self.path))[1]
            raise Failed(text % (self.params["path"], free, self._leave()))
        have = have or 0
        if have + missing > self.params["most"]:
            text = "filling %s would take %d bytes, and most is %d: give a higher most if that is meant"
            raise Failed(text % (self.params["path"], have + missing, self.params["most"]))
        for _ in range(4):  # the file's own administration takes room, too
            _filling.allocate(self.path, have + max(missing, 1))
            have, missing = _filling.size_of(self.path), self._missing()
            if missing <= _SLACK // 4:
                break
        if not self._leave():
            _filling.last_blocks(self.path)

    def lift(self):
        _filling.remove(self.path)

    def returns(self, have, now):
        free = _filling.room(os.path.dirname(self.path))[1]
        return {"path": self.path, "bytes": _filling.size_of(self.path) or 0, "free": free}

    def _leave(self):
        if self.params["percent"] is None:
            return self.params["leave"] or 0
        all_bytes = _filling.room(os.path.dirname(self.path))[2]
        return int(all_bytes * (100 - self.params["percent"]) / 100)

    def _missing(self):
        """Return how many bytes are still to be taken."""
        for_root, for_others, _, _ = _filling.room(os.path.dirname(self.path))
        leave = self._leave()
        return for_others - leave if leave else for_root - _filling.closed(os.path.dirname(self.path))
