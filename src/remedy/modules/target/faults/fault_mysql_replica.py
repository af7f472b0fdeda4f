"""Break a replica of MySQL or MariaDB: a row of its own, with which one of the primary collides, or a stopped thread.

`what: duplicate` waits until the table remedy_drill_NAME.kv of fault_mysql_writes is there, and writes the row `id`
into it without a binary log: when the primary inserts a row of that id, the SQL thread stops at error 1062.
`what: stopped` stops the SQL thread. `absent` removes that row where it still is, or starts the thread. Refused on a
server that is no replica. As root by the server's socket.
"""

import time

from remedy.agent.kinds import Failed, Param
from remedy.modules.target.faults._fault import STATE, Fault, name_param
from remedy.modules.target.faults._mysql_root import ask, wrong_name

PARAMS = (
    Param("what", default="duplicate", choices=("duplicate", "stopped"), help="How it is broken."),
    Param("id", "int", default=1, help="The row's id, for duplicate."),
    Param("socket", "path", help="The server's socket; else the client's own default."),
    name_param("writes"),
    STATE,
)

EXAMPLES = """
- fault_mysql_replica: {what: duplicate, id: 7}
- fault_mysql_replica: {what: stopped}
"""

_PATIENCE = 30  # seconds until the primary's table must be here
_NOTE = "remedy-drill: the replica"


def check_params(params):
    return wrong_name(params)


def kind(params):
    return Stopped if params["what"] == "stopped" else Duplicate


class _Replica(Fault):
    def _ask(self, sql):
        return ask(self.host, sql, self.params["socket"])

    @property
    def _noun(self):
        """Return what this server calls a replica: MySQL dropped the old word with 8.4."""
        version = self._ask("SELECT VERSION()")[0][0]
        old = "mariadb" in version.lower() or int(version.split(".")[0]) < 8
        return "SLAVE" if old else "REPLICA"

    def _status(self):
        return self._ask("SHOW %s STATUS" % self._noun)

    def _guard(self):
        if not self._status():
            raise Failed("the server is no replica")


class Duplicate(_Replica):
    @property
    def schema(self):
        return "remedy_drill_" + self.params["name"]

    def key(self):
        return "fault:duplicate:%s.kv:%d" % (self.schema, self.params["id"])

    def found(self):
        if not self._there():
            return None
        sql = "SELECT 1 FROM %s.kv WHERE id = %d AND note = '%s'" % (self.schema, self.params["id"], _NOTE)
        return True if self._ask(sql) else None

    def inject(self):
        self._guard()
        until = time.time() + _PATIENCE
        while not self._there():
            if time.time() > until:
                raise Failed(
                    "%s.kv is not here after %d s: run fault_mysql_writes on the primary first"
                    % (self.schema, _PATIENCE)
                )
            time.sleep(0.1)
        values = (self.schema, self.params["id"], _NOTE)
        self._ask("SET sql_log_bin = 0; INSERT INTO %s.kv VALUES (%d, '%s')" % values)

    def lift(self):
        if self.found():
            values = (self.schema, self.params["id"], _NOTE)
            self._ask("SET sql_log_bin = 0; DELETE FROM %s.kv WHERE id = %d AND note = '%s'" % values)

    def _there(self):
        return bool(
            self._ask(
                "SELECT 1 FROM information_schema.tables WHERE table_schema = '%s' AND table_name = 'kv'"
                % self.schema
            )
        )


class Stopped(_Replica):
    def key(self):
        return "fault:replica-stopped"

    def found(self):
        if not self._status():
            return None
        return True if self._thread() != "ON" else None

    def inject(self):
        self._guard()
        self._ask("STOP %s SQL_THREAD" % self._noun)

    def lift(self):
        if self._status():
            self._ask("START %s" % self._noun)

    def _thread(self):
        """Return whether the SQL thread runs: ON or OFF."""
        if self._noun == "SLAVE":
            return self._ask("SHOW GLOBAL STATUS LIKE 'Slave_running'")[0][1]
        sql = "SELECT IF(MIN(SERVICE_STATE) = 'ON', 'ON', 'OFF') FROM performance_schema.replication_applier_status"
        return self._ask(sql)[0][0]
