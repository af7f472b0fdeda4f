"""MySQL and MariaDB by their own programs on the host: a client, the dump, the binary logs.

Who logs in is the user of the step, by the server's socket, or who an option file names. No password stands on a
command line.
"""

import re

from remedy.agent.kinds import Failed, Param

# Of accounts and grants alone; the rest is for whoever the socket or an option file lets in.
LOGIN = (
    Param("login_user", help="The account; else the option file's, else the user the step runs as."),
    Param("login_unix_socket", "path", help="The server's socket; else the client's own default."),
    Param("config_file", "path", help="An option file on the host whose [client] logs in; else the client's own."),
)  # fmt: skip
VARIABLES = {
    "login_user": "mysql_login_user",
    "login_unix_socket": "mysql_login_unix_socket",
    "config_file": "mysql_config_file",
}

# What would make `mariadb` take a part of a name for something else.
_ESCAPES = {"\\t": "\t", "\\n": "\n", "\\\\": "\\", "\\0": "\0"}
_LONG = 86400.0
TABLES = ("BASE TABLE", "SYSTEM VERSIONED")


class Client(object):
    """The client programs of one server."""

    def __init__(self, host, params):
        self.host = host
        self._params = params
        self._asked = None

    def program(self, *names):
        """Return the path of the first of some programs; raises Failed."""
        for name in names:
            path = self.host.which(name)
            if path is not None:
                return path
        raise Failed(
            "this host has none of the programs %s: install the client of its server" % ", ".join(names)
        )

    def words(self, *names):
        """Return a program with the options that log in."""
        found = [self.program(*names)]
        if self._params.get("config_file"):
            found.append("--defaults-extra-file=" + self._params["config_file"])  # must be the first
        if self._params.get("login_user"):
            found.append("--user=" + self._params["login_user"])
        if self._params.get("login_unix_socket"):
            found.append("--socket=" + self._params["login_unix_socket"])
        return found

    def rows(self, sql, database=None, timeout=60, account=None):
        """Return the rows that statements answer, each a list of texts; NULL is None; asked as `account`, if any."""
        words = account.words if account else self.words("mariadb", "mysql")
        words = words + ["--batch", "--binary-mode", "--skip-column-names"]
        words += ["--connect-timeout=10", "--default-character-set=utf8mb4"] + ([database] if database else [])
        done = self.host.run(
            words,
            input=sql.encode("utf-8"),
            c_locale=True,
            timeout=timeout,
            environment=account.environment if account else None,
            ok=None,
        )
        if done.rc != 0:
            raise Failed("MySQL: " + said(done), rc=done.rc)
        text = done.stdout.decode("utf-8", "replace")
        return [[_plain(cell) for cell in line.split("\t")] for line in text.split("\n")[:-1]]

    def one(self, sql, **options):
        """Return the first row, None where there is none."""
        found = self.rows(sql, **options)
        return found[0] if found else None

    @property
    def about(self):
        """What the server says of itself: version, mariadb, socket, datadir, basename of binary logs, read_only."""
        if self._asked is None:
            names = "VERSION(), @@socket, @@datadir, @@log_bin, @@log_bin_basename, @@global.read_only"
            row = self.one("SELECT " + names)
            self._asked = {
                "version": row[0],
                "mariadb": "mariadb" in row[0].lower(),
                "number": tuple(int(part) for part in re.findall(r"\d+", row[0].partition("-")[0])[:3]),
                "socket": row[1],
                "datadir": row[2],
                "binlogs": row[4] if row[3] == "1" else None,
                "read_only": row[5] != "0",
            }
        return self._asked

    def schemas(self):
        """Return the names of all databases."""
        return [row[0] for row in self.rows("SELECT schema_name FROM information_schema.schemata")]

    def tables(self, database):
        """Return {table: kind} of a database, the kind as the server says it: BASE TABLE, VIEW, SEQUENCE..."""
        sql = (
            "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = %s ORDER BY 1"
        )
        return {row[0]: row[1] for row in self.rows(sql % text(database))}

    def position(self):
        """Return [binary log, position], None where the server writes none."""
        if self.about["binlogs"] is None:
            return None
        new = not self.about["mariadb"] and self.about["number"] >= (8, 2)
        row = self.one("SHOW BINARY LOG STATUS" if new else "SHOW MASTER STATUS")
        return [row[0], int(row[1])] if row else None

    def counts(self, database, tables):
        """Return {table: rows}, counted."""
        if not tables:
            return {}
        sql = " UNION ALL ".join(
            "SELECT %s, COUNT(*) FROM %s.%s" % (text(each), name(database), name(each)) for each in tables
        )
        return {row[0]: int(row[1]) for row in self.rows(sql, timeout=_LONG)}

    def checksums(self, database, tables):
        """Return {table: checksum}, without tables that hold FLOAT: a dump rounds those."""
        sql = (
            "SELECT DISTINCT table_name FROM information_schema.columns WHERE table_schema = %s"
            " AND data_type = 'float'"
        )
        rounded = {row[0] for row in self.rows(sql % text(database))}
        exact = [each for each in tables if each not in rounded]
        if not exact:
            return {}
        asked = ", ".join("%s.%s" % (name(database), name(each)) for each in exact)
        found = self.rows("CHECKSUM TABLE %s" % asked, timeout=_LONG)
        return {row[0].partition(".")[2]: row[1] for row in found}

    def size(self, database):
        """Return (bytes of rows, bytes of rows and indexes) of a database, as far as the server's statistics know."""
        sql = (
            "SELECT COALESCE(SUM(data_length), 0), COALESCE(SUM(data_length + index_length), 0)"
            " FROM information_schema.tables WHERE table_schema = %s"
        )
        row = self.one(sql % text(database))
        return int(float(row[0])), int(float(row[1]))


def said(done):
    """Return what a program said when it failed, the end of it."""
    both = done.stderr.decode("utf-8", "replace").strip() or done.stdout.decode("utf-8", "replace").strip()
    lines = [line for line in both.split("\n") if line and set(line) != {"-"}]
    return "; ".join(lines)[-2000:] or "exit status %d" % done.rc


def text(value):
    """Return a text as a literal of SQL, whatever sql_mode says of backslashes."""
    return "'%s'" % value.replace("'", "''") if "\\" not in value else "x'%s'" % value.encode("utf-8").hex()


def name(value):
    """Return a name as SQL quotes it."""
    return "`%s`" % value.replace("`", "``")


def _plain(cell):
    if cell == "NULL":
        return None
    return re.sub(r"\\[tn0\\]", lambda found: _ESCAPES[found.group()], cell)
