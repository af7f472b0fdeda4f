"""Back up one database of MySQL or MariaDB into a file on the host, by the server's own dump program.

In one transaction, with views, triggers, routines and events, and the position in the binary logs, so that
mysql_restore can go on from there. The file is made beside its name, read to its end, put on the disk, and only then
called NAME-TIME.sql.gz. FILE.json, beside it, holds its SHA-256, each table's rows as they stand in the file, and
checksums where nothing was written meanwhile (never of tables with FLOAT, which a dump rounds). The room is looked
at before. Returns `path`, `made` (its time), `position`, `tables`, `size` and `sha256`.

Tables of engines without transactions are dumped as well, and named in a warning: they may not fit the others.
"""

import time

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.target import _backups, _mysql_dump, _mysql_swap, _mysql_tools

PARAMS = (
    Param("name", default=REQUIRED, aliases=("db",), help="The database."),
    Param("folder", "path", default="/var/backups/mysql", help="Where backups lie; it is made where it is missing."),
    Param("max_age", "duration", default=0, help="A whole backup not older than this is enough; 0: a new one each "
          "time."),
    Param("compress", "bool", default=True, help="Pack it with gzip."),
    Param("checksums", "bool", default=True, help="Record CHECKSUM TABLE of each table, which reads all rows once "
          "more."),
    *_mysql_tools.LOGIN,
)  # fmt: skip
VARIABLES = _mysql_tools.VARIABLES

EXAMPLES = """
- mysql_backup: {name: shop}
- mysql_backup: {name: shop, folder: /srv/backups, max_age: 1d}
"""

_SYSTEM = ("mysql", "information_schema", "performance_schema", "sys")


def check_params(params):
    if params["name"] in _SYSTEM:
        return (
            "name '%s': expected a database of an application, not one of the server's own" % params["name"]
        )
    return _backups.wrong_name(params, "name") or _backups.wrong_path(params, "folder")


def kind(params):
    return Backup


class Backup(_backups.Backup):
    server = "mysql"
    endings = _mysql_dump.ENDINGS
    tells = ("path", "made", "position", "tables", "size", "sha256")

    def client(self, host, params):
        return _mysql_tools.Client(host, params)

    def ending(self):
        return ".sql.gz" if self.params["compress"] else ".sql"

    def write(self, have, want):
        name, client = self.params["name"], self._client
        if name not in client.schemas():
            raise Failed("there is no database %s to back up" % name)
        _backups.room(self.params["folder"], client.size(name)[0], "the dump of %s" % name)
        _backups.ready(self.params["folder"])
        made = time.time()
        path = self.path(made)
        known = {"engine": "mysql", "database": name, "made": made, "server": client.about["version"]}
        known["charset"] = _mysql_swap.charset(client, name)
        self._made = dict(_backups.keep(path, self._dump, known), path=path)

    def _dump(self, path):
        client, name = self._client, self.params["name"]
        words = client.words("mariadb-dump", "mysqldump")
        words += ["--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob"]
        words += self._position_option(words[0]) + [name]
        script = _backups.TO_GZIP if self.params["compress"] else _backups.TO_FILE
        done = self.host.run(["sh", "-c", script, "sh", path] + words, c_locale=True, ok=None)
        if done.rc != 0:
            raise Failed("the dump of %s failed: %s" % (name, _mysql_tools.said(done)))
        found = _mysql_dump.read(path)
        _mysql_dump.refuse(found, path)
        kinds = client.tables(name)
        tables = {each: {"rows": found["rows"][each]} for each in found["rows"] if kinds.get(each) != "VIEW"}
        if self.params["checksums"]:
            sums = client.checksums(name, sorted(each for each in tables if each in kinds))
            # Only where nobody wrote since the dump's snapshot are they those of the dump.
            if found["position"] is not None and client.position() == found["position"]:
                for each in sums:
                    tables[each]["checksum"] = sums[each]
        self._name_old_engines(name)
        return {"position": found["position"], "tables": tables}

    def _position_option(self, program):
        if self._client.about["binlogs"] is None:
            return []
        version = self.host.run([program, "--version"], c_locale=True).stdout
        if b"MariaDB" in version or b"mariadb" in version:
            return ["--master-data=2"]
        new = self._client.about["number"] >= (8, 0, 26)
        return ["--source-data=2" if new else "--master-data=2", "--set-gtid-purged=OFF"]

    def _name_old_engines(self, name):
        sql = (
            "SELECT table_name, engine FROM information_schema.tables WHERE table_schema = %s AND engine NOT IN"
            " (SELECT engine FROM information_schema.engines WHERE transactions = 'YES')"
        )
        found = self._client.rows(sql % _mysql_tools.text(name))
        if found:
            shown = ", ".join("%s (%s)" % (row[0], row[1]) for row in found[:8])
            self.host.warn("without transactions, so perhaps not of the same moment as the rest: " + shown)
