"""PostgreSQL by its own programs on the host: psql, pg_dump, pg_restore, as the user that its socket lets in.

As root they run as `postgres` (peer authentication), else as the step's own user. A password can only stand in that
user's ~/.pgpass: none is given on a command line.
"""

import json
import os
import re

from remedy.agent.kinds import Failed, Param

LOGIN = (
    Param("login_user", help="The account, a superuser; else the one that is called as the system user."),
    Param("login_unix_socket", "path", help="The folder of the server's socket; else the client's own default."),
    Param("login_port", "int", default=5432, help="The server's port, which is a part of its socket's name."),
    Param("become_owner", default="postgres", help="Who the programs run as where the step is root."),
)  # fmt: skip
VARIABLES = {
    "login_user": "postgresql_login_user",
    "login_unix_socket": "postgresql_login_unix_socket",
    "login_port": "postgresql_login_port",
}

# Rows read the same whatever the server's or the role's settings are.
_PLAIN = (
    "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET bytea_output = 'hex';"
    " SET extra_float_digits = 3; SET statement_timeout = 0; SET lock_timeout = 0;"
    # Its owner chooses a database's search_path: nobody's functions stand before the server's own.
    " SET search_path = pg_catalog;\n"
)
_TABLES = (
    "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    " AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid"
    " AND d.deptype = 'e') ORDER BY 1"
)
# A sum over rows needs no order, and no memory for all of them. A table's owner may have made a cast of its rows to
# text, which ROW and format never call, and a column that is called like the table.
_SUM = ", coalesce(sum(('x' || substr(md5(format('%s', ROW(t.*))), 1, 8))::bit(32)::bigint), 0)"
_FOLDERS = "/usr/lib/postgresql"

# A database's own search_path, which its owner chooses, with the server's own names before all others. Written so that
# nothing is looked up by that path before it is this one.
NAMES_FIRST = (
    "SET search_path = pg_catalog;\n"
    "SELECT set_config('search_path', rtrim(concat('pg_catalog, ', reset_val), ', '), false) AS path FROM pg_settings"
    " WHERE name = 'search_path' \\gset remedy_\n"
)
ONE_MOMENT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n"


class Client(object):
    """The programs of one server."""

    def __init__(self, host, params):
        self.host = host
        self._params = params
        self._asked = None

    def runs(self, program):
        """Return a program, run as the right user, without options."""
        found = []
        if os.geteuid() == 0 and self._params.get("become_owner"):
            found = ["runuser", "-u", self._params["become_owner"], "--"]
        return found + [self._program(program)]

    def options(self):
        """Return the options that log in."""
        found = []
        if self._params.get("login_unix_socket"):
            found.append("--host=" + self._params["login_unix_socket"])
        if self._params.get("login_user"):
            found.append("--username=" + self._params["login_user"])
        return found + ["--port=%d" % self._params["login_port"], "--no-password"]

    def words(self, program):
        """Return a program with the options that log in, run as the right user."""
        return self.runs(program) + self.options()

    def _program(self, name):
        """Return a program of the newest version there is: an older one refuses a newer server."""
        try:
            versions = [each for each in os.listdir(_FOLDERS) if re.fullmatch(r"\d+(\.\d+)?", each)]
        except OSError:
            versions = []
        for each in sorted(versions, key=float, reverse=True):
            path = "%s/%s/bin/%s" % (_FOLDERS, each, name)
            if os.access(path, os.X_OK):
                return path
        path = self.host.which(name)
        if path is None:
            raise Failed("this host has no program %s: install PostgreSQL's client" % name)
        return path

    def psql(self, script, database="postgres", timeout=60, environment=None):
        """Run a script of psql; return what it prints; raises Failed with the server's words."""
        words = self.words("psql") + ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", database]
        done = self.host.run(
            words,
            input=script.encode("utf-8"),
            cwd="/",
            c_locale=True,
            timeout=timeout,
            environment=environment,
            ok=None,
        )
        if done.rc != 0:
            raise Failed("PostgreSQL: " + said(done), rc=done.rc)
        return done.stdout.decode("utf-8", "replace")

    def rows(self, sql, database="postgres", timeout=60):
        """Return the rows that a query answers, each a list of plain data."""
        answer = self.psql("SELECT json_agg(to_json(q)) FROM (%s) q" % sql, database, timeout).strip()
        return json.loads(answer) if answer else []

    @property
    def about(self):
        """What the server says of itself: version, number, data_directory, recovery."""
        if self._asked is None:
            self._asked = self.rows(
                "SELECT current_setting('server_version') AS version,"
                " current_setting('server_version_num')::int AS number,"
                " current_setting('data_directory') AS folder, pg_is_in_recovery() AS recovery"
            )[0]
        return self._asked

    def databases(self):
        """Return {name: about} of all databases: the row of pg_database, owner, comment, settings, bytes."""
        rows = self.rows(
            "SELECT to_json(d) AS row, pg_get_userbyid(d.datdba) AS owner, pg_encoding_to_char(d.encoding) AS encoding,"
            " shobj_description(d.oid, 'pg_database') AS comment, pg_database_size(d.oid) AS bytes,"
            " (SELECT json_agg(json_build_array(coalesce(r.rolname, ''), s.setconfig)) FROM pg_db_role_setting s"
            " LEFT JOIN pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = d.oid) AS settings"
            " FROM pg_database d"
        )
        return {each["row"]["datname"]: each for each in rows}

    def measured(self, database, sums):
        """Return {schema.table: {rows, checksum}} of one moment; without `sums` rows alone."""
        return measured(self.psql(ONE_MOMENT + measuring(sums), database, timeout=86400))

    def comment(self, database, said):
        """Write something down about a database; None: nothing."""
        said = said if said is None or isinstance(said, str) else json.dumps(said, sort_keys=True)
        self.psql("COMMENT ON DATABASE %s IS %s" % (name(database), "NULL" if said is None else text(said)))


def measuring(sums):
    """Return the script of psql that prints every table with its rows, and its checksum."""
    asked = "'SELECT %L, count(*)%s FROM %s t', q.t, {sum}, q.t".format(sum=text(_SUM if sums else ", NULL"))
    return "%sSELECT format(%s) FROM (%s) AS q(t) \\gexec\n" % (_PLAIN, asked, _TABLES)


def measured(answer):
    """Return {schema.table: {rows, checksum}} from what `measuring` has printed."""
    found = {}
    for line in answer.split("\n"):
        parts = line.rsplit("|", 2)
        if len(parts) == 3 and parts[1].isdigit():
            found[parts[0]] = {"rows": int(parts[1])}
            if parts[2]:
                found[parts[0]]["checksum"] = parts[2]
    return found


def marks(about):
    """Return what remedy wrote down about a database, None where the comment is not its own."""
    try:
        found = json.loads((about or {}).get("comment") or "")
    except ValueError:
        return None
    return found["remedy"] if isinstance(found, dict) and isinstance(found.get("remedy"), dict) else None


def said(done):
    """Return what a program said when it failed, the end of it."""
    both = done.stderr.decode("utf-8", "replace").strip() or done.stdout.decode("utf-8", "replace").strip()
    return "; ".join(line for line in both.split("\n") if line)[-2000:] or "exit status %d" % done.rc


def text(value):
    """Return a text as a literal of SQL."""
    quoted = "'%s'" % value.replace("'", "''")
    return " E" + quoted.replace("\\", "\\\\") if "\\" in value else quoted


def name(value):
    """Return a name as SQL quotes it."""
    return '"%s"' % value.replace('"', '""')
