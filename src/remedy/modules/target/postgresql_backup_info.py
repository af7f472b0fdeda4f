"""Tell how good the newest backup of a PostgreSQL database is, and what the database holds now.

Of the newest archive NAME*.dump (.pgdump, .custom, .tar) in `folder` (or of `backup`): its age, whether it is whole
(pg_restore -l, unpacked to its end, the SHA-256 of its manifest), the tables in it. Of the database: its tables and
rows, counted; which tables of the backup are `missing`, and which hold `fewer` rows than its manifest says. Reads only.
Returns `backup` (None where there is none), `trouble`, `database`, `missing` and `fewer`.
"""

import os
import time

from remedy.agent.kinds import REQUIRED, Param, Probe
from remedy.modules.target import _backups, _postgres_archive, _postgres_tools

PARAMS = (
    Param("name", default=REQUIRED, aliases=("db",), help="The database."),
    Param("folder", "path", default="/var/backups/postgresql", help="Where backups lie."),
    Param("backup", "path", help="This file, and not the newest."),
    Param("max_age", "duration", default=0, help="An older backup is `old`; 0: none is."),
    Param("below", "percent", default=100, help="A table holds `fewer` rows when it has less than this share of the "
          "backup's."),
    *_postgres_tools.LOGIN,
)  # fmt: skip
VARIABLES = _postgres_tools.VARIABLES

EXAMPLES = """
- postgresql_backup_info: {name: shop}
  register: shop
"""


def check_params(params):
    return _backups.wrong_name(params, "name") or _backups.wrong_path(
        params, "folder", "backup", "login_unix_socket"
    )


def kind(params):
    return Info


class Info(Probe):
    cost = "expensive"
    deadline = 0

    def read(self):
        client, name = _postgres_tools.Client(self.host, self.params), self.params["name"]
        told = {"backup": None, "trouble": None, "missing": [], "fewer": []}
        told["database"] = self._database(client, name)
        path = self._path()
        if path is None:
            told["trouble"] = "there is no backup of %s in %s" % (name, self.params["folder"])
            return told
        known, about = _backups.manifest(path), os.stat(path)
        archive = _postgres_archive.read(client, path)
        made = known.get("made", about.st_mtime)
        digest = _backups.sha256(path)
        told["trouble"] = _backups.differing(known, digest) or archive["trouble"]
        rows = {each: known["tables"][each]["rows"] for each in known.get("tables") or {}}
        told["backup"] = {
            "path": path,
            "made": made,
            "age": max(0.0, time.time() - made),
            "old": 0 < self.params["max_age"] < time.time() - made,
            "size": about.st_size,
            "sha256": digest,
            "manifest": bool(known),
            "tables": archive["tables"],
            "rows": rows,
            "created": archive["about"].get("Archive created at"),
        }
        now = told["database"]["rows"]
        plain = {each.replace('"', "") for each in now}
        told["missing"] = sorted(each for each in archive["tables"] if each not in plain)
        told["fewer"] = [
            {"table": each, "rows": now[each], "backup": rows[each]}
            for each in sorted(now)
            if now[each] < rows.get(each, 0) * self.params["below"] / 100.0
        ]
        return told

    def _path(self):
        if self.params["backup"]:
            return self.params["backup"] if os.path.isfile(self.params["backup"]) else None
        found = _backups.newest(self.params["folder"], self.params["name"], _postgres_archive.ENDINGS)
        return found[0]["path"] if found else None

    def _database(self, client, name):
        known = client.databases()
        found = {"exists": name in known, "rows": {}, "bytes": 0, "copies": []}
        if found["exists"] and known[name]["row"]["datallowconn"]:
            found["bytes"] = known[name]["bytes"]
            found["rows"] = {each: about["rows"] for each, about in client.measured(name, sums=False).items()}
        for each in sorted(known):
            marks = _postgres_tools.marks(known[each])
            if marks is not None and marks.get("of") == name:
                found["copies"].append(
                    {key: marks.get(key) for key in ("state", "sha256", "until", "served")}
                )
                found["copies"][-1]["name"] = each
        return found
