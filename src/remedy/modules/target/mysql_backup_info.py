"""Tell how good the newest backup of a MySQL or MariaDB database is, and what the database holds now.

Of the newest file NAME*.sql or NAME*.sql.gz in `folder` (or of `backup`): its age, whether it is whole (packed
rightly, ends with the dump's last line, the SHA-256 of its manifest), the rows in it. Of the database: its tables and
rows, counted; which tables of the backup are `missing`, and which hold `fewer` rows. Where the server writes binary
logs, also what in them since the backup may have been the `accidents` (DROP, TRUNCATE, DELETE or UPDATE without
WHERE), each with the position just before it. Reads only; a whole backup is read once. Returns `backup` (None where
there is none), `trouble`, `database`, `missing`, `fewer`, `accidents`, `replay` (why the binary logs go no further than
the backup, or None).
"""

import os
import time

from remedy.agent.kinds import REQUIRED, Failed, Param, Probe
from remedy.modules.target import (
    _backups,
    _mysql_accidents,
    _mysql_dump,
    _mysql_swap,
    _mysql_tools,
)

PARAMS = (
    Param("name", default=REQUIRED, aliases=("db",), help="The database."),
    Param("folder", "path", default="/var/backups/mysql", help="Where backups lie."),
    Param("backup", "path", help="This file, and not the newest."),
    Param("max_age", "duration", default=0, help="An older backup is `old`; 0: none is."),
    Param("below", "percent", default=100, help="A table holds `fewer` rows when it has less than this share of the "
          "backup's."),
    *_mysql_tools.LOGIN,
)  # fmt: skip
VARIABLES = _mysql_tools.VARIABLES

EXAMPLES = """
- mysql_backup_info: {name: shop}
  register: shop
"""


def check_params(params):
    return _backups.wrong_name(params, "name") or _backups.wrong_path(params, "folder", "backup")


def kind(params):
    return Info


class Info(Probe):
    cost = "expensive"
    deadline = 0

    def read(self):
        client, name = _mysql_tools.Client(self.host, self.params), self.params["name"]
        told = {"backup": None, "trouble": None, "missing": [], "fewer": [], "accidents": [], "replay": None}
        told["database"] = self._database(client, name)
        path = self._path()
        if path is None:
            told["trouble"] = "there is no backup of %s in %s" % (name, self.params["folder"])
            return told
        known, about = _backups.manifest(path), os.stat(path)
        dump = _mysql_dump.read(path)
        made = known.get("made", about.st_mtime)
        digest = _backups.sha256(path)
        told["trouble"] = _backups.differing(known, digest) or dump["trouble"]
        told["backup"] = {
            "path": path,
            "made": made,
            "age": max(0.0, time.time() - made),
            "old": 0 < self.params["max_age"] < time.time() - made,
            "size": about.st_size,
            "sha256": digest,
            "manifest": bool(known),
            "position": dump["position"],
            "rows": dump["rows"],
        }
        now = told["database"]["rows"]
        views = told["database"]["views"]
        told["missing"] = sorted(each for each in dump["rows"] if each not in now and each not in views)
        told["fewer"] = [
            {"table": each, "rows": now[each], "backup": dump["rows"][each]}
            for each in sorted(now)
            if now[each] < dump["rows"].get(each, 0) * self.params["below"] / 100.0
        ]
        told.update(self._accidents(client, name, dump["position"]))
        return told

    def _path(self):
        if self.params["backup"]:
            return self.params["backup"] if os.path.isfile(self.params["backup"]) else None
        found = _backups.newest(self.params["folder"], self.params["name"], _mysql_dump.ENDINGS)
        return found[0]["path"] if found else None

    def _database(self, client, name):
        found = {"exists": name in client.schemas(), "rows": {}, "views": [], "bytes": 0, "copies": []}
        kinds = client.tables(name) if found["exists"] else {}
        found["views"] = [each for each in kinds if kinds[each] == "VIEW"]
        found["rows"] = client.counts(
            name, [each for each in kinds if kinds[each] in ("BASE TABLE", "SYSTEM VERSIONED")]
        )
        found["bytes"] = client.size(name)[1]
        for each, marks in sorted(_mysql_swap.marked(client).items()):
            if marks.get("of") == name:
                found["copies"].append(
                    {key: marks.get(key) for key in ("state", "sha256", "until", "served")}
                )
                found["copies"][-1]["name"] = each
        return found

    def _accidents(self, client, name, position):
        if position is None:
            return {"replay": "the backup holds no position in the binary logs"}
        try:
            found = _mysql_accidents.survey(client, name, position)
        except Failed as failed:
            return {"replay": failed.message}
        return {"accidents": found["accidents"], "last": found["last"]}
