"""What a MySQL or MariaDB server wrote into its error log: the lines of the last while that any of some patterns finds.

The log is a file, or the journal of the server's unit where it writes to standard error. Returns `lines` (time:
seconds since 1970, text; the newest last), `source` (the file, or the unit) and `why`: why it cannot be read, ""
otherwise.
"""

import calendar
import os
import re
import time

from remedy.agent.kinds import Param, Probe
from remedy.agent.paths import native

PARAMS = (
    Param("path", "path", help="The log's file; None: the unit's journal."),
    Param("unit", help="The server's unit."),
    Param("since", "duration", default=3600, help="Lines of so long ago and later."),
    Param("patterns", "list", elements="str", help="Regular expressions."),
)

_LARGEST = 4 << 20
_LINES = 500
# 2024-05-01T10:00:00.123456Z (MySQL; Z, or +02:00), 2024-05-01  9:00:00 (MariaDB, local time).
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)(T|\s+)(\d{1,2}):(\d\d):(\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)?")


def kind(params):
    return MysqlLog


class MysqlLog(Probe):
    def read(self):
        patterns = [re.compile(each) for each in self.params["patterns"] or ()]
        then = time.time() - self.params["since"]
        source = self.params["path"] or self.params["unit"]
        try:
            text = self._file() if self.params["path"] else self._journal(then)
        except (FileNotFoundError, PermissionError) as error:
            return {"lines": [], "source": source, "why": "%s: %s" % (source, error.strerror)}
        found, when = [], 0.0
        for line in text.splitlines():
            when = moment(line) or when
            if when >= then and any(each.search(line) for each in patterns):
                found.append({"time": when, "text": line[:600]})
        return {"lines": found[-_LINES:], "source": source, "why": ""}

    def _file(self):
        with open(native(self.params["path"]), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - _LARGEST))
            return file.read().decode("utf-8", "replace")

    def _journal(self, then):
        if not self.params["unit"]:
            raise FileNotFoundError(2, "the server has no unit, and names no log")
        words = [
            "journalctl",
            "--unit=" + self.params["unit"],
            "--since=@%d" % then,
            "--output=cat",
            "--no-pager",
        ]
        done = self.host.run(words + ["--quiet", "--lines=20000"], ok=None, c_locale=True, timeout=30)
        if done.rc:
            raise FileNotFoundError(2, done.stderr.decode("utf-8", "replace").strip() or "no journal")
        return done.stdout[-_LARGEST:].decode("utf-8", "replace")


def moment(line):
    """Return the time at the head of a line, None where there is none."""
    known = _TIME.match(line)
    if not known:
        return None
    year, month, day, apart, hour, minute, second, zone = known.groups()
    numbers = tuple(int(part) for part in (year, month, day, hour, minute, second))
    if apart != "T":
        return time.mktime(numbers + (0, 0, -1))
    ahead = 0
    if zone and zone != "Z":
        ahead = (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60) * (-1 if zone[0] == "-" else 1)
    return float(calendar.timegm(numbers + (0, 0, 0)) - ahead)
