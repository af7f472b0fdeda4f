"""Make a database for a drill: orders and a ledger with rows, a view, in MySQL or MariaDB also a trigger.

It is called remedy_drill_NAME, and made through the client on the host: as root by MySQL's socket, as postgres by
PostgreSQL's. `absent` drops it, with the restored and damaged copies that remedy has made of it. Refused on a replica
or standby. Returns `database`.
"""

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.target import _mysql_swap, _mysql_tools, _postgres_tools
from remedy.modules.target.faults._fault import STATE, Fault, name_param

PARAMS = (
    Param("engine", default=REQUIRED, choices=("mysql", "postgresql"), help="The server: mysql is MariaDB's, too."),
    Param("rows", "int", default=1000, help="The rows of its larger table, at most 100000."),
    name_param("dr"),
    STATE,
)  # fmt: skip

EXAMPLES = """
- fault_database: {engine: mysql, rows: 5000}
- fault_database: {engine: mysql, state: absent}
"""

_MYSQL = """SET SESSION foreign_key_checks = 0; CREATE DATABASE IF NOT EXISTS {0} CHARACTER SET utf8mb4; USE {0};
DROP TABLE IF EXISTS ledger, orders;
CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer VARCHAR(40), amount DECIMAL(10,2), note TEXT,
  at DATETIME(6)) ENGINE=InnoDB;
CREATE TABLE ledger (id INT PRIMARY KEY AUTO_INCREMENT, order_id INT NOT NULL, at DATETIME(6),
  FOREIGN KEY (order_id) REFERENCES orders (id)) ENGINE=InnoDB;
INSERT INTO orders (customer, amount, note, at) WITH RECURSIVE n (i) AS
  (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
  SELECT CONCAT('customer ', a.i), a.i * 1.25, 'one (1), it''s paid', NOW(6) FROM n a JOIN n b
  WHERE b.i <= CEIL({1} / 1000) LIMIT {1};
INSERT INTO ledger (order_id, at) SELECT id, at FROM orders WHERE id % 2 = 0;
CREATE OR REPLACE VIEW totals AS SELECT COUNT(*) AS orders, SUM(amount) AS amount FROM orders;
CREATE TRIGGER paid BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = COALESCE(NEW.note, 'by trigger');
"""
_POSTGRES = """CREATE TABLE orders
  (id serial PRIMARY KEY, customer text, amount numeric(10,2), note text, at timestamptz);
CREATE TABLE ledger (id serial PRIMARY KEY, order_id int NOT NULL REFERENCES orders, at timestamptz);
INSERT INTO orders (customer, amount, note, at) SELECT 'customer ' || i, i * 1.25, 'one|1, it''s paid',
  clock_timestamp() FROM generate_series(1, {1}) i;
INSERT INTO ledger (order_id, at) SELECT id, at FROM orders WHERE id % 2 = 0;
CREATE VIEW totals AS SELECT count(*) AS orders, sum(amount) AS amount FROM orders;
"""


def check_params(params):
    return wrong_name(params) or (
        None
        if not isinstance(params["rows"], int) or 1 <= params["rows"] <= 100000
        else "rows: expected 1 to 100000"
    )


def wrong_name(params):
    """Return what is wrong with the name, which becomes a part of a database's."""
    name = params["name"]
    if not name.replace("_", "").isalnum() or len(name) > 20 or any(ord(letter) > 127 for letter in name):
        return "name '%s': expected up to 20 letters, digits and _" % name
    return None


def kind(params):
    return Database


class OnDatabase(Fault):
    """A fault in a drill's own database; `server` speaks to it."""

    def __init__(self, params, host):
        Fault.__init__(self, params, host)
        self.database = "remedy_drill_" + params["name"]
        self.mysql = params["engine"] == "mysql"
        login = {"become_owner": "postgres", "login_port": 5432}
        self.client = (_mysql_tools if self.mysql else _postgres_tools).Client(host, login)

    def databases(self):
        """Return the names of all databases."""
        return self.client.schemas() if self.mysql else list(self.client.databases())

    def run(self, sql, database=None):
        """Run statements."""
        if self.mysql:
            return self.client.rows(sql, database=database, timeout=120)
        return self.client.psql(sql, database or "postgres", timeout=120)

    def has(self, table):
        """Say whether PostgreSQL's database has a table, by its name with the schema."""
        script = "SET search_path = pg_catalog; SELECT to_regclass('%s') IS NOT NULL;" % table
        return self.run(script, self.database).strip() == "t"

    def refuse_replica(self):
        """Raise Failed where what is written would break replication, or is refused."""
        if self.client.about["read_only"] if self.mysql else self.client.about["recovery"]:
            raise Failed("the server is read-only: break the primary, not a replica")

    def drop(self):
        """Drop the database, and the copies of it that remedy has made."""
        if self.mysql:
            ours = [
                each
                for each, marks in _mysql_swap.marked(self.client).items()
                if marks.get("of") == self.database
            ]
            for each in [self.database] + ours:
                self.run("DROP DATABASE IF EXISTS %s" % _mysql_tools.name(each))
            return
        for each, about in self.client.databases().items():
            marks = _postgres_tools.marks(about) or {}
            if each == self.database or marks.get("of") == self.database:
                name = _postgres_tools.name(each)
                self.run("ALTER DATABASE %s ALLOW_CONNECTIONS false" % name)
                self.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'" % each)
                self.run("DROP DATABASE IF EXISTS %s" % name)


class Database(OnDatabase):
    def key(self):
        return "fault:database:%s:%s" % (self.params["engine"], self.database)

    def found(self):
        if self.database not in self.databases():
            return None
        if self.mysql:
            return {"ledger", "orders"} <= set(self.client.tables(self.database))
        return self.has("public.ledger") and self.has("public.orders")

    def inject(self):
        self.refuse_replica()
        if self.mysql:
            self.run(_MYSQL.format(self.database, self.params["rows"]))
            return
        if self.database in self.databases():
            self.drop()
        self.run("CREATE DATABASE %s" % self.database)
        self.run(_POSTGRES.format(self.database, self.params["rows"]), self.database)

    def lift(self):
        self.drop()

    def returns(self, have, now):
        return {"database": self.database}
