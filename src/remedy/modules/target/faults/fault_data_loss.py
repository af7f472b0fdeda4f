"""Lose data of a drill's own database (fault_database): after some last commits its orders are dropped or deleted.

The last commits come one by one, each an order and its line in the ledger, so that it can be measured afterwards how
much came back. Returns `database`, `at` (the time of the accident), `last_commit` (of the last order before it; both
seconds since the epoch, by the host's clock), `orders` and `ledger` (rows before it), and `checks`: queries with what
they answered just before, as mysql_restore and postgresql_restore take them. `absent` drops the database, for nobody
can bring back what was lost. Refused on a replica or standby.
"""

import time

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.target.faults import fault_database
from remedy.modules.target.faults._fault import STATE, name_param

PARAMS = (
    Param("engine", default=REQUIRED, choices=("mysql", "postgresql"), help="The server: mysql is MariaDB's, too."),
    Param("how", default="drop", choices=("drop", "delete"), help="The table orders is dropped, or all its rows are "
          "deleted."),
    Param("commits", "int", default=20, help="So many transactions come last, 20 ms apart; at most 1000."),
    name_param("dr"),
    STATE,
)  # fmt: skip

EXAMPLES = """
- fault_data_loss: {engine: mysql}
- fault_data_loss: {engine: postgresql, how: delete, commits: 100}
"""

_MYSQL = (
    "INSERT INTO orders (customer, amount, at) VALUES ('late {0}', {0}, NOW(6));"
    " INSERT INTO ledger (order_id, at) VALUES (LAST_INSERT_ID(), NOW(6)); COMMIT; DO SLEEP(0.02);\n"
)
_POSTGRES = (
    "BEGIN; WITH made AS (INSERT INTO orders (customer, amount, note, at)"
    " VALUES ('late {0}', {0}, 'late', clock_timestamp()) RETURNING id)"
    " INSERT INTO ledger (order_id, at) SELECT id, clock_timestamp() FROM made; COMMIT; SELECT pg_sleep(0.02);\n"
)
_SUMS = {
    "mysql": "SELECT CONCAT(COUNT(*), ' ', COALESCE(SUM(CRC32(CONCAT_WS('|', {0}))), 0)) FROM {1}",
    "postgresql": "SELECT count(*) || ' ' || coalesce(sum(('x' || substr(md5(concat_ws('|', {0})), 1, 8))"
    "::bit(32)::bigint), 0) FROM {1}",
}
_COLUMNS = {"orders": "id, customer, amount, note, at", "ledger": "id, order_id, at"}


def check_params(params):
    if isinstance(params["commits"], int) and not 0 <= params["commits"] <= 1000:
        return "commits: expected 0 to 1000"
    return fault_database.wrong_name(params)


def kind(params):
    return Loss


class Loss(fault_database.OnDatabase):
    _told = None

    def key(self):
        return "fault:data loss:%s:%s" % (self.params["engine"], self.database)

    def found(self):
        if self.database not in self.databases():
            return None
        return True if self._orders() in (None, 0) else None

    def _orders(self):
        """Return how many orders there are, None where the table is gone."""
        if self.mysql:
            there = "orders" in self.client.tables(self.database)
        else:
            there = self.has("public.orders")
        return int(self._one("SELECT COUNT(*) FROM orders")) if there else None

    def _one(self, sql):
        answer = self.run(sql, self.database)
        return answer[0][0] if self.mysql else answer.strip()

    def inject(self):
        self.refuse_replica()
        if self.database not in self.databases():
            raise Failed("there is no database %s to lose: fault_database makes it" % self.database)
        commits = range(1, self.params["commits"] + 1)
        if self.mysql:
            self.run(
                "SET autocommit = 0;\n" + "".join(_MYSQL.format(each) for each in commits), self.database
            )
            epoch = "SELECT UNIX_TIMESTAMP(MAX(at)) FROM ledger"
        else:
            self.run("".join(_POSTGRES.format(each) for each in commits), self.database)
            epoch = "SELECT extract(epoch FROM max(at)) FROM ledger"
        told = {"database": self.database, "last_commit": float(self._one(epoch)), "checks": []}
        for table in sorted(_COLUMNS):
            told[table] = int(self._one("SELECT COUNT(*) FROM %s" % table))
            query = _SUMS[self.params["engine"]].format(_COLUMNS[table], table)
            told["checks"].append({"query": query, "expect": self._one(query)})
        told["at"] = time.time()
        self.run(self._accident(), self.database)
        self._told = told

    def _accident(self):
        if self.mysql:
            way = "DROP TABLE orders" if self.params["how"] == "drop" else "DELETE FROM orders"
            return "SET SESSION foreign_key_checks = 0; " + way
        if self.params["how"] == "drop":
            return "DROP TABLE orders CASCADE"
        return "SET session_replication_role = replica; DELETE FROM orders"

    def lift(self):
        self.drop()

    def returns(self, have, now):
        return self._told or {}
