"""Use up the connections of MySQL or MariaDB: a process logs in again and again, and holds the sessions.

They are of an account of their own, remedy_drill_NAME, and idle; `transaction` leaves each in a transaction with
`rows` changed rows of a schema of the same name. By default it takes every ordinary connection there is; `reserved`
takes the one kept for administrators, too. The process is the unit `remedy-drill-mysql-NAME`. `absent` ends it, and
drops account and schema. The client program on the host makes them, as root by the server's socket. Returns
`sessions` (held now) and `unit`.
"""

import json
import os
import uuid

from remedy.agent.kinds import Failed, Param
from remedy.modules.target.faults import _mysql_root
from remedy.modules.target.faults._daemon import Running
from remedy.modules.target.faults._fault import MARK, STATE, name_param
from remedy.modules.target.faults._mysql_client import PROGRAM

PARAMS = (
    Param("sessions", "int", default=0, help="How many to hold; 0: every ordinary one that is free."),
    Param("reserved", "bool", default=False, help="Hold the one kept for administrators, too."),
    Param("transaction", "bool", default=False, help="Leave each in an open transaction."),
    Param("rows", "int", default=100, help="How many rows each has changed in it."),
    Param("socket", "path", help="The server's socket; else the one the server names."),
    Param("address", help="Log in by TCP at this address of the host, not by the socket (MariaDB)."),
    Param("port", "int", default=3306, help="The port there."),
    name_param("drill"),
    STATE,
)

EXAMPLES = """
- fault_mysql_connections: {}
- fault_mysql_connections: {sessions: 20, transaction: true, name: shop}
- fault_mysql_connections: {state: absent}
"""

_HOLD = """
import selectors, time
lines, watch = [], selectors.DefaultSelector()
def one(user):
    line = log_in(told["address"], user.encode(), told["password"].encode())
    lines.append(line)
    for statement in told["statements"]:
        ask(line, statement.encode())
    watch.register(line, selectors.EVENT_READ)
def taken(error):
    return error.number in (1040, 1203)
try:
    while not told["sessions"] or len(lines) < told["sessions"]:
        one(told["user"])
except LoginError as error:
    if told["sessions"] or not taken(error):
        raise
if told["reserved"]:
    told["statements"] = []
    until = time.monotonic() + 10
    while True:
        try:
            one(told["reserved"])
            break
        except LoginError as error:
            # Whoever has just made the accounts as root may be on the way out still.
            if not taken(error) or time.monotonic() > until:
                raise
            time.sleep(0.05)
with open(told["file"], "w") as file:
    file.write(str(len(lines)))
ready()
while True:
    # A session that the server has ended is let go of, so that whoever looks counts only those that are held.
    for key, _ in watch.select():
        if not key.fileobj.recv(65536):
            watch.unregister(key.fileobj)
            key.fileobj.close()
"""


def check_params(params):
    for name in ("sessions", "rows"):
        if isinstance(params[name], int) and params[name] < 0:
            return "%s must be 0 or more" % name
    return _mysql_root.wrong_name(params)


def kind(params):
    return Connections


class Connections(Running):
    def label(self):
        return "mysql-" + self.params["name"]

    @property
    def account(self):
        return "remedy_drill_" + self.params["name"]

    @property
    def file(self):
        return "/run/%s-mysql-%s" % (MARK, self.params["name"])

    def key(self):
        return "fault:mysql-connections:" + self.params["name"]

    def found(self):
        pid = self.daemon.pid()
        if pid is not None:
            return self._held(pid) >= self._first()
        if os.path.lexists(self.file):
            return False
        there = self._ask(
            "SELECT 1 FROM mysql.user WHERE User LIKE '%s%%'" % self.account.replace("_", "\\_")
        )
        return False if there else None

    def inject(self):
        self.lift()
        password = uuid.uuid4().hex
        admin = self.account + "_a"
        self._ask(
            "SET SESSION sql_log_bin = 0; CREATE DATABASE IF NOT EXISTS {0}; "
            "CREATE TABLE {0}.held (id BIGINT PRIMARY KEY AUTO_INCREMENT, pad CHAR(100)) ENGINE=InnoDB; "
            "CREATE USER {0}@'%' IDENTIFIED BY '{1}'; CREATE USER {0}@localhost IDENTIFIED BY '{1}'; "
            "GRANT ALL ON {0}.* TO {0}@'%'; GRANT ALL ON {0}.* TO {0}@localhost; "
            "CREATE USER {2}@'%' IDENTIFIED BY '{1}'; "
            # From MariaDB 11 on the kept connection is not for SUPER.
            "GRANT SUPER /*M!100502 , CONNECTION ADMIN */ ON *.* TO {2}@'%'".format(self.account, password, admin)
        )
        statements = ["USE " + self.account, "SET SESSION wait_timeout = 86400"]
        if self.params["transaction"]:
            values = ", ".join(["('held by a drill')"] * max(1, self.params["rows"]))
            statements += ["BEGIN", "INSERT INTO held (pad) VALUES " + values]
        told = {
            "address": [self.params["address"], self.params["port"]]
            if self.params["address"]
            else self._socket(),
            "user": self.account,
            "password": password,
            "sessions": self.params["sessions"],
            "reserved": admin if self.params["reserved"] else "",
            "statements": statements,
            "file": self.file,
        }
        # By a file that only root reads: no password stands on a command line.
        with open(self.file, "w") as file:
            os.chmod(self.file, 0o600)
            json.dump(told, file)
        self.daemon.start(PROGRAM % self.file + _HOLD)

    def lift(self):
        self.daemon.stop()
        if os.path.lexists(self.file):
            os.unlink(self.file)
        users = ", ".join(
            "'%s'@'%s'" % each
            for each in ((self.account, "%"), (self.account, "localhost"), (self.account + "_a", "%"))
        )
        self._ask(
            "SET SESSION sql_log_bin = 0; DROP USER IF EXISTS %s; DROP DATABASE IF EXISTS %s"
            % (users, self.account)
        )

    def returns(self, have, now):
        pid = self.daemon.pid()
        return {"sessions": self._held(pid) if pid is not None else 0, "unit": self.daemon.unit}

    def _held(self, pid):
        """Return how many sockets the process has, but for the one of its selector."""
        folder, count = "/proc/%d/fd" % pid, 0
        for name in os.listdir(folder):
            try:
                count += os.readlink(os.path.join(folder, name)).startswith("socket:") and int(name) > 2
            except OSError:
                continue
        return count

    def _first(self):
        """Return how many it held at first."""
        try:
            with open(self.file) as file:
                return int(file.read())
        except (OSError, ValueError):
            return 1

    def _socket(self):
        if self.params["socket"]:
            return self.params["socket"]
        found = self._ask("SELECT @@socket")
        if not found:
            raise Failed("the server did not name its socket; name it with socket")
        return found[0][0]

    def _ask(self, sql):
        return _mysql_root.ask(self.host, sql, self.params["socket"])
