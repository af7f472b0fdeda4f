"""Use up the connections of PostgreSQL: processes log in, and hold their sessions.

They are of a role of their own, remedy_drill_NAME, an ordinary one, by TCP on 127.0.0.1 with a password. `doing` says
what they are at: idle; transaction: idle in one that has written `rows` rows of a table of their own; active: a
statement that does not end. By default they take every ordinary connection there is; `reserved` takes those kept for
superusers, too. All are of the unit `remedy-drill-postgres-NAME`. `absent` ends it, and drops the role with what is its
own. The program psql on the host makes them. Refused on a standby, where no role can be made. Returns `sessions` (held
at first) and `unit`.
"""

import json
import os
import uuid

from remedy.agent.kinds import Failed, Param
from remedy.modules.target.faults import _postgres_root
from remedy.modules.target.faults._daemon import Running
from remedy.modules.target.faults._fault import MARK, STATE, name_param

PARAMS = (
    Param("sessions", "int", default=0, help="How many to hold; 0: every ordinary one that is free."),
    Param("doing", default="idle", choices=("idle", "transaction", "active"), help="What they are at."),
    Param("rows", "int", default=100, help="How many rows each has written in its transaction."),
    Param("reserved", "bool", default=False, help="Hold those kept for superusers, too."),
    Param("port", "int", default=5432, help="The server's port."),
    name_param("drill"),
    STATE,
)

EXAMPLES = """
- fault_postgres_connections: {}
- fault_postgres_connections: {sessions: 5, doing: transaction, name: forgotten}
- fault_postgres_connections: {state: absent}
"""

_PROGRAM = """
import json, subprocess, time
path = sys.argv[1]
with open(path) as file:
    told = json.load(file)
held = []
class Refused(Exception):
    pass
def one(words, statements):
    process = subprocess.Popen(words + ["-qAtX"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env=dict(os.environ, **told["environment"]))
    process.stdin.write(statements.encode())
    process.stdin.flush()
    said = process.stdout.readline().decode("utf-8", "replace").strip()
    if said != "held":
        raise Refused(said)
    held.append(process)
def all_there_are(words, statements, full):
    # A session that has ended, or was refused, keeps its slot for a moment yet: refused once is not full.
    refused = 0
    while refused < 5:
        try:
            one(words, statements)
            refused = 0
        except Refused as error:
            if not any(word in str(error) for word in full):
                raise
            refused += 1
            time.sleep(0.1)
ordinary = [told["psql"], told["where"]]
if told["sessions"]:
    while len(held) < told["sessions"]:
        one(ordinary, told["statements"])
else:
    all_there_are(ordinary, told["statements"], ("too many", "reserved", "slots"))
if told["reserved"]:
    all_there_are(told["superuser"], "\\\\echo held\\n", ("too many",))
with open(path, "w") as file:
    json.dump({"sessions": len(held)}, file)
stay()
"""


def check_params(params):
    for name in ("sessions", "rows"):
        if isinstance(params[name], int) and params[name] < 0:
            return "%s must be 0 or more" % name
    return _postgres_root.wrong_name(params)


def kind(params):
    return Connections


class Connections(Running):
    def label(self):
        return "postgres-" + self.params["name"]

    @property
    def role(self):
        return "remedy_drill_" + self.params["name"]

    @property
    def file(self):
        return "/run/%s-postgres-%s" % (MARK, self.params["name"])

    def key(self):
        return "fault:postgres-connections:" + self.params["name"]

    def found(self):
        if self.daemon.pid() is not None:
            return True
        if os.path.lexists(self.file):
            return False
        return False if self._ask("SELECT 1 FROM pg_roles WHERE rolname = '%s'" % self.role) else None

    def inject(self):
        if self._ask("SELECT pg_is_in_recovery()") == [["t"]]:
            raise Failed("the server is a standby: break the primary")
        self.lift()
        password = uuid.uuid4().hex
        self._ask(
            "CREATE ROLE {0} LOGIN PASSWORD '{1}'; CREATE SCHEMA {0} AUTHORIZATION {0}; "
            "CREATE TABLE {0}.held (id bigserial PRIMARY KEY, pad text); ALTER TABLE {0}.held OWNER TO {0};".format(
                self.role, password
            )
        )
        statements = "\\echo held\n"
        if self.params["doing"] == "transaction":
            written = "INSERT INTO %s.held (pad) SELECT 'held by a drill' FROM generate_series(1, %d);\n"
            statements = "BEGIN;\n" + written % (self.role, self.params["rows"]) + statements
        elif self.params["doing"] == "active":
            statements += "SELECT pg_sleep(86400);\n"
        client = _postgres_root.psql(self.host)
        where = "host=127.0.0.1 port=%d user=%s dbname=postgres" % (self.params["port"], self.role)
        told = {
            "psql": client,
            "where": where,
            "superuser": ["runuser", "-u", _postgres_root.USER, "--", client, "port=%d" % self.params["port"]],
            # By a file that only root reads: no password stands on a command line.
            "environment": {"PGPASSWORD": password, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10"},
            "sessions": self.params["sessions"],
            "reserved": self.params["reserved"],
            "statements": statements,
        }
        with open(self.file, "w") as file:
            os.chmod(self.file, 0o600)
            json.dump(told, file)
        self.daemon.start(_PROGRAM, self.file)

    def lift(self):
        self.daemon.stop()
        if os.path.lexists(self.file):
            os.unlink(self.file)
        self._ask(
            "SET client_min_messages = warning; DO $$ BEGIN PERFORM pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE usename = '{0}'; FOR i IN 1..100 LOOP EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE "
            "usename = '{0}'); PERFORM pg_sleep(0.1), pg_stat_clear_snapshot(); END LOOP; END $$; "
            "DROP SCHEMA IF EXISTS {0} CASCADE; DROP ROLE IF EXISTS {0};".format(self.role)
        )

    def returns(self, have, now):
        try:
            with open(self.file) as file:
                sessions = json.load(file).get("sessions", 0)
        except (OSError, ValueError):
            sessions = 0
        return {"sessions": sessions, "unit": self.daemon.unit}

    def _ask(self, sql):
        return _postgres_root.ask(self.host, sql, self.params["port"])
