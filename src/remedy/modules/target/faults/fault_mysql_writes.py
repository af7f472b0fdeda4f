"""Write on a primary of MySQL or MariaDB what its replicas find hard: rows, and slow transactions that pile up there.

In a schema of its own, remedy_drill_NAME, with the table `kv` (id, note); replicas get it by replication. `insert` adds
rows, each in a transaction of its own. `transactions` many, written by `clients` at once, take `pause` each on the
primary, where they overlap, and again on a replica, which with one worker applies them one after the other: they are
statements with SLEEP in the binary log. Returns when the primary is done with them. `absent` drops the schema, on the
replicas too. Refused on a server that is read-only or a replica itself. As root by the server's socket.
"""

from remedy.agent.kinds import Failed, Param
from remedy.modules.target.faults._fault import STATE, Fault, name_param
from remedy.modules.target.faults._mysql_root import ask, wrong_name

PARAMS = (
    Param("insert", "list", elements="int", default=[], help="Rows to insert, by their id, from 1 to 999."),
    Param("transactions", "int", default=0, help="How many slow transactions."),
    Param("pause", "float", default=0.05, help="Seconds that each of them takes."),
    Param("clients", "int", default=8, help="How many clients write them at once; 1 to 32."),
    Param("socket", "path", help="The server's socket; else the client's own default."),
    name_param("writes"),
    STATE,
)

EXAMPLES = """
- fault_mysql_writes: {transactions: 800, pause: 0.05}
- fault_mysql_writes: {insert: [7, 8]}
- fault_mysql_writes: {state: absent}
"""

_FIRST = 1000  # ids of the rows that the slow transactions update
_RUN = """
client=$1; shift
for script in "$@"; do printf '%s' "$script" | $client & done
failed=0
for job in $(jobs -p); do wait $job || failed=1; done
exit $failed
"""


def check_params(params):
    if isinstance(params["clients"], int) and not 1 <= params["clients"] <= 32:
        return "clients must be 1 to 32"
    if any(isinstance(each, int) and not 1 <= each < _FIRST for each in params["insert"] or ()):
        return "insert takes ids from 1 to %d" % (_FIRST - 1)
    return wrong_name(params)


def kind(params):
    return Writes


class Writes(Fault):
    @property
    def schema(self):
        return "remedy_drill_" + self.params["name"]

    def key(self):
        return "fault:writes:" + self.schema

    def found(self):
        if not self._ask("SHOW DATABASES LIKE '%s'" % self.schema.replace("_", "\\_")):
            return None
        rows = {int(row[0]) for row in self._ask("SELECT id FROM %s.kv" % self.schema)}
        return set(self._wanted()) <= rows

    def inject(self):
        self._guard()
        self._ask(
            "CREATE DATABASE IF NOT EXISTS {0}; CREATE TABLE IF NOT EXISTS {0}.kv "
            "(id INT PRIMARY KEY, note TEXT) ENGINE=InnoDB".format(self.schema)
        )
        rows = {int(row[0]) for row in self._ask("SELECT id FROM %s.kv" % self.schema)}
        for id in self._wanted():
            if id not in rows:
                self._ask("INSERT INTO %s.kv VALUES (%d, 'remedy-drill: the primary')" % (self.schema, id))
        if self.params["transactions"]:
            self._load()

    def lift(self):
        self._ask("DROP DATABASE IF EXISTS " + self.schema)

    def returns(self, have, now):
        return {"schema": self.schema}

    def _wanted(self):
        clients = self.params["clients"] if self.params["transactions"] else 0
        return list(self.params["insert"] or ()) + [_FIRST + number for number in range(clients)]

    def _load(self):
        clients = self.params["clients"]
        statement = "UPDATE %s.kv SET note = CONCAT('remedy-drill', SLEEP(%s)) WHERE id = %%d;\n" % (
            self.schema,
            self.params["pause"],
        )
        scripts = []
        for number in range(clients):
            times = self.params["transactions"] // clients + (number < self.params["transactions"] % clients)
            scripts.append("SET binlog_format = STATEMENT;\n" + statement % (_FIRST + number) * times)
        program = self.host.which("mariadb") or self.host.which("mysql")
        client = (
            program + " --user=root" + (" --socket=" + self.params["socket"] if self.params["socket"] else "")
        )
        self.host.run(["sh", "-c", _RUN, "sh", client] + scripts, timeout=self.host.left() or 120)

    def _guard(self):
        if self._ask("SELECT @@global.read_only, @@global.log_bin")[0] != ["0", "1"]:
            raise Failed("the server is read-only or writes no binary log: break the primary, not a replica")

    def _ask(self, sql):
        return ask(self.host, sql, self.params["socket"])
