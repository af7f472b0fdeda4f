"""Let the binary logs of MySQL or MariaDB grow by writing through the client on the host, as root by its socket.

One row of the table `filler` in a schema of its own, remedy_drill_NAME, is written again and again until the
binary logs hold so many bytes. They can be purged only in their order, so `age` makes those of before old, too.
`absent` drops the schema; the binary logs stay: they go with a purge, never by hand. Refused on a server that is
read-only (a replica: what is written there breaks replication) or writes no binary logs, and where the disk has no
room. Returns `schema`, `files` and `bytes` of the binary logs.
"""

import os
import time

from remedy.agent.kinds import Failed, Param
from remedy.agent.paths import native
from remedy.modules.target.faults import _filling
from remedy.modules.target.faults._fault import STATE, Fault, name_param

PARAMS = (
    Param("size", "size", default=100 << 20, help="How many bytes the binary logs hold together."),
    Param(
        "age",
        "duration",
        default=0,
        help="How old all but the newest file are at least then; 0: as they are.",
    ),
    Param("socket", "path", help="The server's socket; else the client's own default."),
    name_param("binlogs"),
    STATE,
)

EXAMPLES = """
- fault_binlogs: {size: 2G, age: 5d}
- fault_binlogs: {state: absent}
"""

_ROW = 256 << 10  # bytes of a row: large enough to be quick, and below every default of max_allowed_packet
_ROUND = 32  # rows between two looks at the binary logs
_SPARE = 32 << 20  # what must stay free beside them


def check_params(params):
    name = params["name"]
    if not name.replace("_", "").isalnum() or len(name) > 40 or any(ord(letter) > 127 for letter in name):
        return "name '%s': expected up to 40 letters, digits and _" % name
    return None


def kind(params):
    return Binlogs


class Binlogs(Fault):
    @property
    def schema(self):
        return "remedy_drill_" + self.params["name"]

    def key(self):
        return "fault:schema:" + self.schema

    def found(self):
        there = self._ask("SELECT 1 FROM information_schema.schemata WHERE schema_name = '%s'" % self.schema)
        if not there:
            return None
        return sum(self._binlogs().values()) >= self.params["size"] and not self._young()

    def inject(self):
        self._guard()
        self._ask(
            "CREATE DATABASE IF NOT EXISTS {0}; CREATE TABLE IF NOT EXISTS {0}.filler "
            "(id INT PRIMARY KEY, pad LONGTEXT CHARACTER SET latin1) ENGINE=InnoDB".format(self.schema)
        )
        while True:
            missing = self.params["size"] - sum(self._binlogs().values())
            if missing <= 0:
                break
            # As a text in the statement: so it is in the log whatever the format.
            row = "REPLACE INTO %s.filler VALUES (1, '%s');\n" % (self.schema, os.urandom(_ROW // 2).hex())
            self._ask(row * min(_ROUND, missing // _ROW + 1))

        then = time.time() - self.params["age"]
        for path in self._young():
            os.utime(path, (then, then))

    def lift(self):
        self._ask("DROP DATABASE IF EXISTS " + self.schema)

    def returns(self, have, now):
        sizes = self._binlogs()
        return {"schema": self.schema, "files": len(sizes), "bytes": sum(sizes.values())}

    def _guard(self):
        logs, closed = self._ask("SELECT @@global.log_bin, @@global.read_only")[0]
        if logs != "1":
            raise Failed("the server writes no binary logs (log_bin is off)")
        if closed != "0":
            raise Failed("the server is read-only: break the primary, not a replica")
        missing = self.params["size"] - sum(self._binlogs().values())
        free = _filling.room(self._place())[1]
        if free < missing + _SPARE:
            # A server that finds its disk full hangs until there is room.
            text = "%s has no room for %d bytes of binary logs: %d are free, and %d must stay so"
            raise Failed(text % (self._place(), missing, free, _SPARE))

    def _young(self):
        """Return the files younger than `age`, but for the newest, which is still written."""
        if not self.params["age"]:
            return []
        then, place = time.time() - self.params["age"], self._place()
        files = [native(os.path.join(place, name)) for name in sorted(self._binlogs())[:-1]]
        return [path for path in files if os.stat(path).st_mtime > then]

    def _place(self):
        """Return the folder of the binary logs."""
        base, folder = self._ask("SELECT @@global.log_bin_basename, @@global.datadir")[0]
        return os.path.dirname(os.path.join(folder, base))

    def _binlogs(self):
        """Return {name: bytes} of the binary logs, {} where there are none."""
        if self._ask("SELECT @@global.log_bin")[0][0] != "1":
            return {}
        return {row[0]: int(row[1]) for row in self._ask("SHOW BINARY LOGS")}

    def _ask(self, sql):
        """Return the rows that statements answer, as lists of texts."""
        program = self.host.which("mariadb") or self.host.which("mysql")
        if program is None:
            raise Failed("this host has neither the program mariadb nor mysql")
        words = [program, "--batch", "--skip-column-names", "--connect-timeout=10", "--user=root"]
        words += ["--socket=" + self.params["socket"]] if self.params["socket"] else []
        done = self.host.run(words, input=sql.encode("ascii"), c_locale=True, timeout=self.host.left() or 60)
        return [line.split("\t") for line in done.stdout.decode("utf-8", "replace").splitlines()]
