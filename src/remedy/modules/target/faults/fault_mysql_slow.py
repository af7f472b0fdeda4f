"""Keep slow statements running on MySQL or MariaDB: each reads a table without an index, row by row, for very long.

The table is `events` in a schema of its own, remedy_drill_NAME, whose column `customer` lacks an index; the
statements are of an account of the same name. They take next to no processor: they wait. Started by the process of
the unit `remedy-drill-mysql-NAME`, which goes when the last of them has ended. `absent` ends them, and drops account
and schema. Returns `schema` and `statements` (running now).
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
    Param("statements", "int", default=3, help="How many run."),
    Param("rows", "int", default=3000, help="How many rows the table has; each third is read, one a second."),
    Param("socket", "path", help="The server's socket; else the one the server names."),
    name_param("slow"),
    STATE,
)

EXAMPLES = """
- fault_mysql_slow: {statements: 5}
- fault_mysql_slow: {state: absent}
"""

_RUN = """
import selectors
watch = selectors.DefaultSelector()
for number in range(told["statements"]):
    line = log_in(told["address"], told["user"].encode(), told["password"].encode())
    ask(line, ("USE " + told["user"]).encode())
    send(line, 0, b"\\x03" + told["query"].encode())
    watch.register(line, selectors.EVENT_READ)
ready()
while watch.get_map():
    for key, _ in watch.select():
        # An answer or the end: either way this one runs no more.
        watch.unregister(key.fileobj)
        key.fileobj.close()
"""
_QUERY = "SELECT COUNT(*) FROM events WHERE customer = 1 AND SLEEP(1) = 0"


def check_params(params):
    for name in ("statements", "rows"):
        if isinstance(params[name], int) and params[name] < 1:
            return "%s must be 1 or more" % name
    return _mysql_root.wrong_name(params)


def kind(params):
    return Slow


class Slow(Running):
    def label(self):
        return "mysql-slow-" + self.params["name"]

    @property
    def schema(self):
        return "remedy_drill_" + self.params["name"]

    @property
    def file(self):
        return "/run/%s-mysql-%s" % (MARK, self.params["name"])

    def key(self):
        return "fault:mysql-slow:" + self.params["name"]

    def found(self):
        there = self._ask("SELECT 1 FROM information_schema.schemata WHERE schema_name = '%s'" % self.schema)
        if not there and self.daemon.pid() is None:
            return None
        return self._running() >= self.params["statements"]

    def inject(self):
        self.lift()
        password = uuid.uuid4().hex
        rows = ", ".join("(%d, 'made by a drill')" % (number % 3) for number in range(self.params["rows"]))
        self._ask(
            "SET SESSION sql_log_bin = 0; CREATE DATABASE {0}; "
            "CREATE TABLE {0}.events (id BIGINT PRIMARY KEY AUTO_INCREMENT, customer INT, note CHAR(20)); "
            "CREATE USER {0}@localhost IDENTIFIED BY '{1}'; GRANT ALL ON {0}.* TO {0}@localhost; "
            "INSERT INTO {0}.events (customer, note) VALUES {2}; ANALYZE TABLE {0}.events".format(
                self.schema, password, rows
            )
        )
        told = {
            "address": self.params["socket"] or self._ask("SELECT @@socket")[0][0],
            "user": self.schema,
            "password": password,
            "statements": self.params["statements"],
            "query": _QUERY,
        }
        # By a file that only root reads: no password stands on a command line.
        with open(self.file, "w") as file:
            os.chmod(self.file, 0o600)
            json.dump(told, file)
        try:
            self.daemon.start(PROGRAM % self.file + _RUN)
        finally:
            os.unlink(self.file)
        if self._running() < self.params["statements"]:
            raise Failed("the statements do not run: look at the server's sessions")

    def lift(self):
        self.daemon.stop()
        # A server does not notice at once that its client is gone while it works.
        for row in self._ask("SELECT id FROM information_schema.processlist WHERE user = '%s'" % self.schema):
            self._ask("KILL %d" % int(row[0]), gone=True)
        self._ask(
            "SET SESSION sql_log_bin = 0; DROP USER IF EXISTS {0}@localhost; DROP DATABASE IF EXISTS {0}".format(
                self.schema
            )
        )

    def returns(self, have, now):
        return {"schema": self.schema, "statements": self._running()}

    def _running(self):
        found = self._ask(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE user = '%s' AND command = 'Query'"
            % self.schema
        )
        return int(found[0][0])

    def _ask(self, sql, gone=False):
        try:
            return _mysql_root.ask(self.host, sql, self.params["socket"])
        except Failed as failed:
            if gone and "1094" in failed.message + str(failed.result.get("stderr", "")):
                return []  # it has ended by itself
            raise
