"""Back up one database of PostgreSQL into a file on the host: pg_dump's archive, with what every table held.

The tables are counted and summed up in the very snapshot that is dumped, so the manifest beside the file (FILE.json)
tells what must come back, whatever is written meanwhile. The file is made beside its name, unpacked once to its end,
put on the disk, and only then called NAME-TIME.dump. The room is looked at before. Roles are not in it (pg_dumpall
--roles-only).
Returns `path`, `made` (its time), `tables`, `size` and `sha256`.
"""

import time

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.target import _backups, _postgres_archive, _postgres_tools

PARAMS = (
    Param("name", default=REQUIRED, aliases=("db",), help="The database."),
    Param("folder", "path", default="/var/backups/postgresql", help="Where backups lie; it is made where it is "
          "missing."),
    Param("max_age", "duration", default=0, help="A whole backup not older than this is enough; 0: a new one each "
          "time."),
    Param("checksums", "bool", default=True, help="Sum up the content of each table, which reads all rows once more."),
    *_postgres_tools.LOGIN,
)  # fmt: skip
VARIABLES = _postgres_tools.VARIABLES

EXAMPLES = """
- postgresql_backup: {name: shop}
- postgresql_backup: {name: shop, folder: /srv/backups, max_age: 1d}
"""

_KEPT = ("owner", "encoding", "comment", "settings")

# Through a pipe: pg_dump 16 and newer opens a file that is its standard output for appending, and what it writes anew
# at the end, its table of contents, comes behind the data (seen with 17): an archive cut off there looks whole.
_INTO_3 = (
    '\\! { { %s --snapshot="$REMEDY_SNAPSHOT"; echo "dump $?" >&4; } | cat >&3; echo "written $?"; } 4>&1\n'
)


def check_params(params):
    return _backups.wrong_name(params, "name") or _backups.wrong_path(params, "folder", "login_unix_socket")


def kind(params):
    return Backup


class Backup(_backups.Backup):
    server = "postgresql"
    endings = _postgres_archive.ENDINGS

    def client(self, host, params):
        return _postgres_tools.Client(host, params)

    def write(self, have, want):
        name, client = self.params["name"], self._client
        about = client.databases().get(name)
        if about is None:
            raise Failed("there is no database %s to back up" % name)
        _backups.room(self.params["folder"], about["bytes"], "the dump of %s" % name)
        _backups.ready(self.params["folder"])
        made = time.time()
        path = self.path(made)
        known = {"engine": "postgresql", "database": name, "made": made, "server": client.about["version"]}
        known["options"] = dict({each: about[each] for each in _KEPT}, row=about["row"])
        self._made = dict(_backups.keep(path, self._dump, known), path=path)

    def _dump(self, path):
        client, name = self._client, self.params["name"]
        dump = [client.runs("pg_dump")[-1]] + client.options() + ["-Fc", "-d", name]
        script = (
            _postgres_tools.ONE_MOMENT
            + "SELECT pg_export_snapshot() AS snapshot \\gset\n\\setenv REMEDY_SNAPSHOT :snapshot\n"
            + _INTO_3 % _quoted(dump)
            + _postgres_tools.measuring(self.params["checksums"])
        )
        # The file is ours, whoever the programs run as: they get it open.
        words = ["sh", "-c", 'out=$1; shift; exec "$@" 3> "$out"', "sh", path]
        words += client.words("psql") + ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", name]
        done = self.host.run(words, input=script.encode("utf-8"), cwd="/", c_locale=True, ok=None)
        answer = done.stdout.decode("utf-8", "replace")
        if done.rc != 0 or not {"dump 0", "written 0"} <= set(answer.split("\n")):
            raise Failed("the dump of %s failed: %s" % (name, _postgres_tools.said(done)))
        _postgres_archive.refuse(_postgres_archive.read(client, path), path)
        return {"tables": _postgres_tools.measured(answer)}


def _quoted(words):
    return " ".join("'%s'" % word.replace("'", "'\\''") for word in words)
