"""Let MySQL or MariaDB raise errors that its log tells of: 1062 (a duplicate key), 1146 (a table that is not there).

They come from events of the server's own scheduler, in a schema of its own, remedy_drill_NAME: one inserts a key
that is there already, one reads a table that is not. The scheduler is turned on for it, and put back as it was by
`absent`, which drops the schema; what the log says of it stays there. Returns `schema`.
"""

import os
import time

from remedy.agent.kinds import Failed, Param
from remedy.modules.target.faults import _mysql_root
from remedy.modules.target.faults._fault import MARK, STATE, Fault, name_param

PARAMS = (
    Param("errors", "list", elements="int", default=[1062, 1146], help="Which; 1062 and 1146 there are."),
    Param("socket", "path", help="The server's socket; else the client's own default."),
    name_param("errors"),
    STATE,
)

EXAMPLES = """
- fault_mysql_errors: {errors: [1062]}
- fault_mysql_errors: {state: absent}
"""

_EVENTS = {
    1062: "INSERT INTO {0}.orders VALUES (1)",
    1146: "INSERT INTO {0}.orders SELECT id FROM {0}.customers",
}
_SECONDS = 20


def check_params(params):
    wrong = [each for each in params["errors"] or () if each not in _EVENTS]
    if wrong:
        return "errors: expected 1062 and 1146, not %s" % wrong[0]
    return _mysql_root.wrong_name(params)


def kind(params):
    return Errors


class Errors(Fault):
    @property
    def schema(self):
        return "remedy_drill_" + self.params["name"]

    @property
    def file(self):
        return "/run/%s-mysql-%s" % (MARK, self.params["name"])

    def key(self):
        return "fault:mysql-errors:" + self.params["name"]

    def found(self):
        there = self._ask("SELECT 1 FROM information_schema.schemata WHERE schema_name = '%s'" % self.schema)
        if not there:
            return False if os.path.lexists(self.file) else None
        return self._ran() >= len(self.params["errors"])

    def inject(self):
        self.lift()
        with open(self.file, "w") as file:
            file.write(self._ask("SELECT @@GLOBAL.event_scheduler")[0][0])
        made = (
            "SET SESSION sql_log_bin = 0; CREATE DATABASE {0}; CREATE TABLE {0}.orders (id INT PRIMARY KEY); "
        )
        made += "INSERT INTO {0}.orders VALUES (1); SET GLOBAL event_scheduler = 'ON'; "
        for number in self.params["errors"]:
            made += "CREATE EVENT {0}.raise_%d ON SCHEDULE AT NOW() ON COMPLETION PRESERVE DO %s; " % (
                number,
                _EVENTS[number],
            )
        self._ask(made.format(self.schema))
        until = time.monotonic() + _SECONDS
        while self._ran() < len(self.params["errors"]):
            if time.monotonic() > until:
                raise Failed("the server's scheduler did not run the events within %d s" % _SECONDS)
            time.sleep(0.1)

    def lift(self):
        before = None
        if os.path.lexists(self.file):
            with open(self.file) as file:
                before = file.read().strip()
        self._ask("SET SESSION sql_log_bin = 0; DROP DATABASE IF EXISTS %s" % self.schema)
        if before in ("ON", "OFF"):
            self._ask("SET GLOBAL event_scheduler = '%s'" % before)
        if before is not None:
            os.unlink(self.file)

    def returns(self, have, now):
        return {"schema": self.schema}

    def _ran(self):
        """Return how many of the events have been run."""
        found = self._ask(
            "SELECT COUNT(*) FROM information_schema.events WHERE event_schema = '%s' AND last_executed IS NOT NULL"
            % self.schema
        )
        return int(found[0][0])

    def _ask(self, sql):
        return _mysql_root.ask(self.host, sql, self.params["socket"])
