"""Leave archived journals of systemd on the disk: copies of one that is there, each of so many bytes.

They are `remedy-drill-NAME@....journal` beside this machine's own; journalctl counts, shows and vacuums them as its
own, and shows no line twice, because it knows the entries. They are older, by their names, than what was archived
really. journald removes them, too, where its own limits (SystemMaxUse) call for it. Only where journald keeps its
journals on the disk. Returns `folder`, `files` and `bytes`.
"""

import os
import re
import struct

from remedy.agent.kinds import Failed, Param
from remedy.agent.paths import native
from remedy.modules.target.faults import _filling
from remedy.modules.target.faults._fault import MARK, STATE, Fault, name_param, wrong_name

PARAMS = (
    Param("files", "int", default=6, help="How many there are."),
    Param(
        "size", "size", default=8 << 20, help="How many bytes each takes; at least what the copied one does."
    ),
    name_param("journal"),
    STATE,
)

EXAMPLES = """
- fault_journal: {files: 20, size: 16M}
- fault_journal: {state: absent}
"""

_TOP = "/var/log/journal"
_HOUR = 3600 * 1000000  # microseconds
_CHUNK = 1 << 16
_STATE = 16  # where the header says whether the file is written
_ARCHIVED = 2
# From the sixteenth byte after the ids on: see journal-def.h, struct Header.
_SIZES = struct.Struct("<72x16sQQ48xQQQQQ")


def check_params(params):
    if isinstance(params["files"], int) and not 1 <= params["files"] <= 10000:
        return "files: expected 1 to 10000"
    return wrong_name(params)


def kind(params):
    return Journal


class Journal(Fault):
    def key(self):
        return "fault:journals:" + self.params["name"]

    def found(self):
        ours = self._ours()
        if not ours:
            return None
        sizes = [_filling.size_of(path) or 0 for path in ours]
        return len([size for size in sizes if size >= self.params["size"]]) >= self.params["files"]

    def inject(self):
        folder = self._folder()
        if folder is None:
            raise Failed(
                "journald keeps nothing on this disk: %s has no folder for this machine; "
                "Storage=persistent in journald.conf makes it" % _TOP
            )
        source, header = self._template(folder)
        for path in self._ours():
            _filling.remove(path)
        size = max(self.params["size"], header.whole)
        if _filling.room(folder)[0] < size * self.params["files"]:
            raise Failed("%s has no room for %d journals of %d bytes" % (folder, self.params["files"], size))
        for number in range(self.params["files"]):
            then = header.begun - (self.params["files"] - number) * _HOUR
            name = "%s@%s-%016x-%016x.journal" % (self._prefix(), header.series, header.first, then)
            _copy(source, os.path.join(folder, name), header.whole, size)

    def lift(self):
        for path in self._ours():
            _filling.remove(path)

    def returns(self, have, now):
        ours = self._ours()
        sizes = [_filling.size_of(path) or 0 for path in ours]
        return {"folder": self._folder(), "files": len(ours), "bytes": sum(sizes)}

    def _prefix(self):
        return "%s-%s" % (MARK, self.params["name"])

    def _folder(self):
        """Return the folder of this machine's journals on the disk, None where there is none."""
        with open("/etc/machine-id", encoding="ascii", errors="replace") as file:
            path = os.path.join(_TOP, file.read().strip())
        return path if os.path.isdir(path) and path != _TOP + "/" else None

    def _ours(self):
        folder = self._folder()
        if folder is None:
            return []
        name = re.compile(re.escape(self._prefix()) + r"@[0-9a-f-]+\.journal~?")
        return [os.path.join(folder, each) for each in sorted(os.listdir(folder)) if name.fullmatch(each)]

    def _template(self, folder):
        """Return the smallest journal with an entry, archived ones first, and its header."""
        found = []
        for place in (folder, folder.replace(_TOP, "/run/log/journal", 1)):
            for name in sorted(os.listdir(place)) if os.path.isdir(place) else ():
                path = os.path.join(place, name)
                if name.endswith(".journal") and not name.startswith(MARK):
                    header = _Header(path)
                    if header.entries:
                        found.append(("@" not in name, header.whole, path, header))
        if not found:
            raise Failed("there is no journal with an entry to copy below %s" % folder)
        _, _, path, header = min(found, key=lambda each: each[:3])
        return path, header


class _Header(object):
    """What a journal says of itself: `whole` (bytes), `entries`, `series` (hex), its first entry: `first`, `begun`."""

    def __init__(self, path):
        with open(native(path), "rb") as file:
            head = file.read(_SIZES.size)
        self.entries = 0
        if head[:8] == b"LPKSHHRH" and len(head) == _SIZES.size:
            series, header, arena, self.entries, _, self.first, _, self.begun = _SIZES.unpack(head)
            self.series = "".join("%02x" % byte for byte in series)
            self.whole = header + arena


def _copy(source, path, whole, size):
    """Copy a journal as an archived one, and let it take `size` bytes; a part of it is removed again."""
    try:
        with open(native(source), "rb") as old, open(native(path), "xb") as new:
            os.fchmod(new.fileno(), 0o640)
            at = 0
            while at < whole:
                piece = old.read(min(_CHUNK, whole - at))
                if not piece:
                    break
                if at == 0:
                    piece = piece[:_STATE] + bytes([_ARCHIVED]) + piece[_STATE + 1 :]
                if piece.strip(b"\0"):
                    new.seek(at)
                    new.write(piece)
                at += len(piece)
            new.flush()
            os.posix_fallocate(new.fileno(), 0, size)
    except OSError:
        _filling.remove(path)
        raise
